//! What stands for the search index where there is none.

use async_trait::async_trait;
use chat_core::{
    PortError, PortErrorKind,
    model::Generation,
    ports::{Applied, IndexChange, SearchHit, SearchIndex, SearchQuery},
};

/// An index that is never there: searching answers that it is unavailable, and all else goes on.
pub(crate) struct NoSearch;

fn absent<T>(operation: &'static str) -> Result<T, PortError> {
    let error = PortError::new(PortErrorKind::Unavailable, "none", operation);
    Err(error.caused_by("this system has no search index"))
}

#[async_trait]
impl SearchIndex for NoSearch {
    async fn apply(&self, _: &Generation, _: &[IndexChange]) -> Result<Vec<Applied>, PortError> {
        absent("apply changes")
    }

    async fn find(&self, _: &SearchQuery) -> Result<Vec<SearchHit>, PortError> {
        absent("find messages")
    }

    async fn create_generation(&self, _: &Generation) -> Result<(), PortError> {
        absent("create a generation")
    }

    async fn serve_generation(&self, _: &Generation) -> Result<(), PortError> {
        absent("serve a generation")
    }

    async fn remove_generation(&self, _: &Generation) -> Result<(), PortError> {
        absent("remove a generation")
    }

    async fn generations(&self) -> Result<Vec<u64>, PortError> {
        absent("list generations")
    }

    async fn check(&self) -> Result<(), PortError> {
        absent("check")
    }
}
