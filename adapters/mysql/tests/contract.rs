//! The laws, on MySQL or MariaDB.

#[expect(dead_code, reason = "the laws open it and nothing else")]
mod fresh;

use std::sync::Arc;

use chat_adapter_mysql::MySqlRepository;
use chat_core::{contract::repository_contract, memory::Memory, ports::Ports};
use fresh::FreshDatabase;

async fn mysql() -> Option<(Ports, FreshDatabase)> {
    let database = FreshDatabase::name()?;
    let repository = MySqlRepository::open(&database.config)
        .await
        .expect("a new database opens");
    let ports = Ports {
        repository: Arc::new(repository),
        ..Memory::new().ports()
    };
    Some((ports, database))
}

mod repository {
    use super::*;
    repository_contract!(mysql());
}
