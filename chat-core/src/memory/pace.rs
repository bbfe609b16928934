//! Yielding around an effect, so that callers can be interleaved and dropped.

/// Whether calls yield to other tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// A call takes effect and completes when it is first polled.
    Straight,
    /// A call yields once before and once after its effect.
    GivesWay,
}

impl Pace {
    /// Runs one atomic effect at this pace.
    pub(super) async fn around<T>(self, effect: impl FnOnce() -> T) -> T {
        self.give_way().await;
        let answer = effect();
        self.give_way().await;
        answer
    }

    async fn give_way(self) {
        if self == Self::GivesWay {
            tokio::task::yield_now().await;
        }
    }
}
