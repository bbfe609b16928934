//! Indices of its own for each test, on the server at `CHAT_TEST_ELASTICSEARCH_URL`.

use std::{
    env,
    process::{self, Command},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use chat_adapter_elasticsearch::{ElasticsearchConfig, ElasticsearchSearchIndex};

/// Names that nobody else uses; what is made under them is removed at the end of the test.
pub(crate) struct FreshIndex {
    /// How to open it.
    pub(crate) config: ElasticsearchConfig,
}

impl FreshIndex {
    /// Chooses names; `None` without a server.
    pub(crate) fn name() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Ok(url) = env::var("CHAT_TEST_ELASTICSEARCH_URL") else {
            let required = env::var("CHAT_TEST_REQUIRE").unwrap_or_default();
            assert!(
                !required
                    .split(',')
                    .any(|name| name.trim() == "elasticsearch"),
                "CHAT_TEST_REQUIRE names elasticsearch, but CHAT_TEST_ELASTICSEARCH_URL is not set"
            );
            eprintln!("skipped, since CHAT_TEST_ELASTICSEARCH_URL is not set");
            return None;
        };
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let config = ElasticsearchConfig {
            prefix: format!("law-{}-{count}-", process::id()),
            replicas: Some(0),
            refresh: Duration::from_millis(50),
            ..ElasticsearchConfig::new(url)
        };
        let fresh = Self { config };
        // A process of the same id that was killed may have left some.
        fresh.remove();
        Some(fresh)
    }

    /// Opens it as a process would.
    pub(crate) fn open(&self) -> Arc<ElasticsearchSearchIndex> {
        Arc::new(ElasticsearchSearchIndex::try_new(&self.config).expect("the settings are right"))
    }

    /// Removes all indices of these names.
    ///
    /// By `curl`, since the caller may be in the middle of a runtime, and cannot wait for a future.
    fn remove(&self) {
        let url = format!("{}/{}*", self.config.url, self.config.prefix);
        let ended = Command::new("curl")
            .args(["-sS", "-X", "DELETE", &url])
            .output();
        if !ended.is_ok_and(|ended| ended.status.success()) {
            eprintln!("indices {}* are left", self.config.prefix);
        }
    }
}

impl Drop for FreshIndex {
    fn drop(&mut self) {
        self.remove();
    }
}
