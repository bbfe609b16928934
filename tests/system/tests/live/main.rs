//! The live set: many processes on Redis, MariaDB and Elasticsearch, and some on RabbitMQ too, keep what
//! they answered, and find it again, whatever happens to them.
//!
//! Each test has programs and servers of its own, on whatever set the others run.

mod kills;
mod rabbitmq;
mod searching;
