//! What belongs to a chat or an application that is nowhere.

#[path = "weakened/shim.rs"]
mod shim;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chat_core::{
    PortError,
    memory::{CounterLimits, Memory},
    model::{
        ApplicationId, ApplicationName, ChatNumber, Content, Creation, DeadLetterReason, Draft,
        Epoch, Limit, MessageBody, Number, Sequence, Shard, Uid,
    },
    ports::{Basis, Clock as _, Consumer, Ports, Queue as _, Repository},
    service::{Policy, ServiceError, Services},
};
use futures_util::future::join_all;
use shim::{RepositoryShim, Weak};

/// Nobody has to wait for the lease of whoever looked first.
#[tokio::test]
async fn everybody_is_told_at_once_that_a_chat_is_nowhere() {
    let memory = Memory::new();
    let services = Services::new(&memory.ports(), &Policy::default());
    let name = ApplicationName::parse("an application").unwrap();
    let token = services.applications.create(name).await.unwrap().token;
    services.chats.create(&token, None, None).await.unwrap();
    let before = memory.clock.now();
    for _ in 0..20 {
        let body = MessageBody::parse("hello").unwrap();
        let nowhere = ChatNumber::try_new(77).unwrap();
        let sent = services.messages.create(&token, nowhere, None, body, None);
        let refused = sent.await.unwrap_err();
        assert!(matches!(refused, ServiceError::NotFound), "{refused}");
    }
    assert_eq!(memory.clock.now(), before, "somebody waited");
}

/// Counts how often the database was asked where a sequence goes on.
struct Asked {
    inner: Arc<dyn Repository>,
    times: AtomicUsize,
}

#[async_trait]
impl RepositoryShim for Arc<Asked> {
    fn inner(&self) -> &dyn Repository {
        &*self.inner
    }

    async fn basis(
        &self,
        sequence: &Sequence,
        shard: Shard,
        epoch: Epoch,
        alive: Option<Epoch>,
    ) -> Result<Basis, PortError> {
        self.times.fetch_add(1, Ordering::Relaxed);
        self.inner.basis(sequence, shard, epoch, alive).await
    }
}

/// Requests for a chat that is nowhere cost the database little, however many come at once.
#[tokio::test]
async fn many_who_look_at_once_for_what_is_nowhere_share_one_answer() {
    let memory = Memory::paced(CounterLimits::default());
    let asked = Arc::new(Asked {
        inner: memory.repository.clone(),
        times: AtomicUsize::default(),
    });
    let ports = Ports {
        repository: Arc::new(Weak(Arc::clone(&asked))),
        ..memory.ports()
    };
    let services = Services::new(&ports, &Policy::default());
    let name = ApplicationName::parse("an application").unwrap();
    let token = services.applications.create(name).await.unwrap().token;
    let nowhere = ChatNumber::try_new(77).unwrap();
    let send = async |_| {
        let body = MessageBody::parse("hello").unwrap();
        let sent = services.messages.create(&token, nowhere, None, body, None);
        sent.await.unwrap_err()
    };
    let before = asked.times.load(Ordering::Relaxed);
    for refused in join_all((0..500).map(send)).await {
        assert!(matches!(refused, ServiceError::NotFound), "{refused}");
    }
    let times = asked.times.load(Ordering::Relaxed) - before;
    assert!(times < 10, "the database was asked {times} times");
}

/// The database may have been restored from a backup older than the application, or be another one.
#[tokio::test]
async fn what_belongs_to_no_application_is_set_aside_and_not_dropped() {
    let memory = Memory::new();
    let services = Services::new(&memory.ports(), &Policy::default());
    let creation = Creation {
        number: Number::FIRST,
        epoch: Epoch::FIRST,
        draft: Draft {
            uid: Uid::new(5),
            created_at: memory.clock.now(),
            content: Content::Chat {
                application: ApplicationId::new(987_654_321),
                title: None,
            },
        },
    };
    memory.queue.publish(&creation, false).await.unwrap();
    let worker = Consumer("worker".to_owned());
    let stored = services.persister.run_once(&worker, Duration::ZERO);
    let stored = stored.await.unwrap();
    assert_eq!((stored.done, stored.set_aside), (0, 1));
    assert!(memory.queue.is_empty());
    let letters = services.dead_letters.list(None, Limit::try_new(9).unwrap());
    let letters = letters.await.unwrap().items;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].letter.reason, DeadLetterReason::NoApplication);
    assert_eq!(letters[0].creation, Some(creation));
    // It can be given up, and leaves nothing behind.
    let id = &letters[0].letter.id;
    services.dead_letters.drop_letter(id).await.unwrap();
    let left = services.chats.list_all(None, Limit::try_new(9).unwrap());
    assert_eq!(left.await.unwrap().items.len(), 0);
}
