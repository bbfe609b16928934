//! What the laws cannot say: restarts, losses, limits and foreign hands, each on a server of its own.

mod entries;
mod limits;
mod losses;
mod private_server;
mod restarts;
mod system;
