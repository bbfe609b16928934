//! The laws, on an Elasticsearch server.

mod fresh;

use std::sync::Arc;

use chat_core::{contract::search_contract, ports::SearchIndex};
use fresh::FreshIndex;

async fn elasticsearch() -> Option<(Arc<dyn SearchIndex>, FreshIndex)> {
    let fresh = FreshIndex::name()?;
    let index = fresh.open();
    index.examine().await.expect("the server can be used");
    Some((index, fresh))
}

mod search {
    use super::*;
    search_contract!(elasticsearch());
}
