//! A counter's server that came back is admitted once for all who wait, and a failure is told to all.

#![expect(clippy::unwrap_used, reason = "a failing call fails the test")]

#[path = "weakened/shim.rs"]
mod shim;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use chat_core::{
    PortError, PortErrorKind,
    contract::Scene,
    memory::Memory,
    model::{Admission, ChatKey, Content, MessageBody, Shard, ShardRecord, Sighting},
    ports::{Ports, Repository},
    service::ServiceError,
};
use futures_util::future::{join_all, poll_immediate};
use shim::{RepositoryShim, Weak};

/// How many callers find the shard closed.
const CALLERS: usize = 50;

/// Counts admissions, and fails as many reads of the record as `away_for` says.
struct Watched {
    inner: Arc<dyn Repository>,
    admitted: AtomicUsize,
    away_for: AtomicUsize,
}

#[async_trait]
impl RepositoryShim for Arc<Watched> {
    fn inner(&self) -> &dyn Repository {
        &*self.inner
    }

    async fn shard(&self, shard: Shard) -> Result<Option<ShardRecord>, PortError> {
        // Let other callers come meanwhile.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        let is_away = self
            .away_for
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |times| {
                times.checked_sub(1)
            });
        if is_away.is_ok() {
            let away = PortError::new(PortErrorKind::Unavailable, "watched", "read a record");
            return Err(away.caused_by("a cut"));
        }
        self.inner.shard(shard).await
    }

    async fn admit(
        &self,
        sighting: &Sighting,
        read: Option<ShardRecord>,
    ) -> Result<Option<Admission>, PortError> {
        self.admitted.fetch_add(1, Ordering::Relaxed);
        self.inner.admit(sighting, read).await
    }
}

/// A system with a chat whose counter's server has just started again.
async fn restarted() -> (Scene, Arc<Watched>, ChatKey) {
    let memory = Memory::new();
    let ports = memory.ports();
    let watched = Arc::new(Watched {
        inner: Arc::clone(&ports.repository),
        admitted: AtomicUsize::default(),
        away_for: AtomicUsize::default(),
    });
    let repository = Arc::new(Weak(Arc::clone(&watched)));
    let scene = Scene::new(Ports {
        repository,
        ..ports
    });
    let chat = scene.chat().await;
    memory.counter.restart();
    watched.admitted.store(0, Ordering::Relaxed);
    (scene, watched, chat)
}

async fn create(scene: &Scene, chat: ChatKey, key: usize) -> Result<u64, ServiceError> {
    let content = Content::Message {
        chat,
        sender: None,
        body: MessageBody::parse("hello").unwrap(),
    };
    let created = scene.create_with_key(content, &format!("key-{key}")).await;
    created.map(|(creation, _)| creation.number.get())
}

#[tokio::test]
async fn a_server_that_came_back_is_admitted_once_for_all() {
    let (scene, watched, chat) = restarted().await;
    let creating = join_all((0..CALLERS).map(|key| create(&scene, chat, key)));
    let mut numbers: Vec<u64> = creating.await.into_iter().map(Result::unwrap).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=CALLERS as u64).collect::<Vec<_>>());
    assert_eq!(watched.admitted.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_repository_that_is_away_is_asked_once_and_told_to_all() {
    let (scene, watched, chat) = restarted().await;
    watched.away_for.store(1, Ordering::Relaxed);
    let creating = join_all((0..CALLERS).map(|key| create(&scene, chat, key)));
    for outcome in creating.await {
        let Err(ServiceError::Port(error)) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(
            (error.kind, error.adapter),
            (PortErrorKind::Unavailable, "watched")
        );
        assert_eq!(error.source.unwrap().to_string(), "a cut");
    }
    assert_eq!(create(&scene, chat, 0).await.unwrap(), 1);
}

#[tokio::test]
async fn who_goes_away_while_a_server_is_admitted_holds_nobody_up() {
    let (scene, watched, chat) = restarted().await;
    {
        let mut going = Box::pin(create(&scene, chat, 0));
        assert!(poll_immediate(&mut going).await.is_none());
        let mut staying = Box::pin(create(&scene, chat, 1));
        assert!(poll_immediate(&mut staying).await.is_none());
        drop(going);
        assert_eq!(staying.await.unwrap(), 1);
    }
    assert_eq!(watched.admitted.load(Ordering::Relaxed), 1);
}
