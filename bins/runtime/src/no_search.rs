//! What stands for the search index where there is none.

use async_trait::async_trait;
use chat_core::{
    PortError, PortErrorKind,
    model::Generation,
    ports::{Applied, IndexChange, SearchHit, SearchIndex, SearchQuery},
};

/// An index that is never there: searching answers that it is unavailable, and all else goes on.
pub(crate) struct NoSearch;

fn absent<T>() -> Result<T, PortError> {
    // It reads as a sentence wherever it is told: what is missing is no backend's failure.
    let operation = "search, since it has no search index";
    Err(PortError::new(
        PortErrorKind::Unavailable,
        "this system",
        operation,
    ))
}

#[async_trait]
impl SearchIndex for NoSearch {
    async fn apply(&self, _: &Generation, _: &[IndexChange]) -> Result<Vec<Applied>, PortError> {
        absent()
    }

    async fn find(&self, _: &SearchQuery) -> Result<Vec<SearchHit>, PortError> {
        absent()
    }

    async fn create_generation(&self, _: &Generation) -> Result<(), PortError> {
        absent()
    }

    async fn serve_generation(&self, _: &Generation) -> Result<(), PortError> {
        absent()
    }

    async fn remove_generation(&self, _: &Generation) -> Result<(), PortError> {
        absent()
    }

    async fn generations(&self) -> Result<Vec<u64>, PortError> {
        absent()
    }

    async fn check(&self) -> Result<(), PortError> {
        absent()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_missing_is_said() {
        let error = NoSearch.check().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "this system failed to search, since it has no search index: the backend is unavailable"
        );
        assert!(error.is_retryable());
    }
}
