//! The live set: several processes on Redis, MariaDB and Elasticsearch, in some tests with RabbitMQ,
//! keep what they answered, and find it again, whatever happens to them.
//!
//! Each test starts programs and servers of its own, whatever set the other tests run on.

mod kills;
mod rabbitmq;
mod searching;
