//! Queue on RabbitMQ: durable quorum queues, confirmed publishes, manual acknowledgement.
//!
//! Numbers come from elsewhere: a counter of another technology remembers each creation as pending until it
//! is stored, and is told when the broker has confirmed it. So while a broker is away storing is delayed,
//! but nothing is lost or refused.
//!
//! The broker moves an entry that it has delivered too often to a second queue. That says nothing about the
//! entry, which may have been held by workers that were killed; so workers take from both queues, and what
//! comes from the second one is tried alone.
//!
//! A message passes through these files, in order: [`queue`](RabbitMqQueue) publishes it on a connection
//! that `link` keeps, in the form that `entry` gives it, and `receiver` hands it to a worker.

mod config;
mod entry;
mod error;
mod link;
mod queue;
mod receiver;
mod seen;

pub use config::RabbitMqConfig;
pub use error::OpenError;
pub use queue::RabbitMqQueue;
