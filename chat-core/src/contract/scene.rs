//! The fixture of the laws: applications, chats and messages that are easy to make.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use crate::{
    model::{
        Admission, Application, ApplicationId, ApplicationName, ChatKey, ChatTitle, Content,
        Creation, Draft, Epoch, IdempotencyKey, MessageBody, MessageKey, NewApplication, Number,
        Sender, Sequence, Shard, Sighting, Submission, Timestamp,
    },
    ports::{
        AddApplication, Counter, Numbering, Ports, Queue, Repository, StoreBatch, StoreOutcome,
    },
    service::{Numberer, ServiceError},
};

/// How many calls must finish before no more are [cut off](Scene::cut_off): more than one, since the number
/// of waits varies.
const ENDED: u32 = 3;

/// How many waits a call may have before it counts as endless.
const MOST_WAITS: usize = 300;

/// A system that a law runs against.
#[derive(Clone)]
pub struct Scene {
    /// The ports under test, among others.
    pub ports: Ports,
    numberer: Arc<Numberer>,
}

impl Scene {
    /// Sets the scene.
    #[must_use]
    pub fn new(ports: Ports) -> Self {
        let numberer = Arc::new(Numberer::new(&ports));
        Self { ports, numberer }
    }

    /// The counter.
    #[must_use]
    pub fn counter(&self) -> &dyn Counter {
        &*self.ports.counter
    }

    /// The queue.
    #[must_use]
    pub fn queue(&self) -> &dyn Queue {
        &*self.ports.queue
    }

    /// The repository.
    #[must_use]
    pub fn repository(&self) -> &dyn Repository {
        &*self.ports.repository
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// Adds an application.
    pub async fn application(&self) -> Application {
        let tokens = &self.ports.tokens;
        let new = NewApplication {
            id: ApplicationId::make(self.now(), tokens.uid()),
            token: tokens.application_token(),
            name: name("an application"),
            created_at: self.now(),
        };
        match self.repository().add_application(&new).await.unwrap() {
            AddApplication::Added(application) => application,
            AddApplication::Taken => panic!("a new token or id is taken"),
        }
    }

    /// Creates a chat of a new application through the counter.
    pub async fn chat(&self) -> ChatKey {
        let application = self.application().await.id;
        self.chat_of(application).await
    }

    /// Creates a chat of an application through the counter.
    pub async fn chat_of(&self, application: ApplicationId) -> ChatKey {
        let creation = self.create(chat(application)).await;
        ChatKey {
            application,
            chat: creation.number.into(),
        }
    }

    /// Creates something through the counter, seeding as services do.
    pub async fn create(&self, content: Content) -> Creation {
        self.numberer.create(content, None).await.unwrap().item
    }

    /// Creates something under a key; tells also whether it had been created before.
    ///
    /// # Errors
    ///
    /// Fails as the service does.
    pub async fn create_with_key(
        &self,
        content: Content,
        with: &str,
    ) -> Result<(Creation, bool), ServiceError> {
        let created = self.numberer.create(content, Some(key(with))).await?;
        Ok((created.item, created.replayed))
    }

    /// Gets a shard's server admitted, and opens the shard, as services do.
    pub async fn open(&self, shard: Shard) {
        self.numberer.opener.open(shard).await.unwrap();
    }

    /// Gets a sighted server admitted, provided that no other run has overtaken it.
    pub async fn admit(&self, sighting: &Sighting) -> Admission {
        let read = self.repository().shard(sighting.shard).await.unwrap();
        let admission = self.repository().admit(sighting, read).await.unwrap();
        admission.expect("the record is the one that was read")
    }

    /// Makes a draft of a content.
    #[must_use]
    pub fn draft(&self, content: Content) -> Draft {
        Draft {
            uid: self.ports.tokens.uid(),
            created_at: self.now(),
            content,
        }
    }

    /// Hands a content to the counter once, without opening shards or seeding.
    pub async fn submit(&self, content: Content) -> Numbering {
        let submission = Submission {
            draft: self.draft(content),
            key: None,
        };
        self.counter().create(&submission).await.unwrap()
    }

    /// Makes a creation by hand, as if some counter had given it a number.
    #[must_use]
    pub fn creation(&self, content: Content, of: u64) -> Creation {
        Creation {
            number: number(of),
            epoch: Epoch::FIRST,
            draft: self.draft(content),
        }
    }

    /// Stores creations as they would come from a queue.
    pub async fn store(&self, creations: &[Creation]) -> Vec<StoreOutcome> {
        let creations = creations
            .iter()
            .map(|creation| (creation.clone(), false))
            .collect();
        let batch = StoreBatch {
            creations,
            not_before: Timestamp::MIN,
            positions: Vec::new(),
        };
        self.repository().store(&batch).await.unwrap().outcomes
    }

    /// Adds an application with a stored chat, by hand.
    pub async fn stored_chat(&self) -> ChatKey {
        let application = self.application().await.id;
        self.stored_chat_of(application, 1).await
    }

    /// Stores a chat of an application, by hand.
    pub async fn stored_chat_of(&self, application: ApplicationId, of: u64) -> ChatKey {
        self.store(&[self.creation(chat(application), of)]).await;
        ChatKey {
            application,
            chat: number(of).into(),
        }
    }

    /// Stores messages of a chat by hand, and hands out their creations.
    pub async fn stored_messages(&self, chat: ChatKey, numbers: &[u64]) -> Vec<Creation> {
        let creations: Vec<_> = numbers
            .iter()
            .map(|of| self.creation(message(chat, &format!("message {of}")), *of))
            .collect();
        self.store(&creations).await;
        creations
    }

    /// How many messages a chat counts; 0 for one that is not found.
    pub async fn messages_count(&self, key: ChatKey) -> u64 {
        let chat = self.repository().chat(key).await.unwrap().found();
        chat.map_or(0, |chat| chat.messages_count)
    }

    /// Makes a call over and over and drops it, as a timeout does: the first one where it first waits, each
    /// later one a wait further on, until several finish.
    pub async fn cut_off(&self, mut call: impl AsyncFnMut()) {
        let mut ended = 0;
        for waits in 1..=MOST_WAITS {
            let mut call = pin!(call());
            let mut waited = 0;
            let has_ended = poll_fn(|context| {
                waited += 1;
                match call.as_mut().poll(context) {
                    Poll::Ready(()) => Poll::Ready(true),
                    Poll::Pending if waited == waits => Poll::Ready(false),
                    Poll::Pending => Poll::Pending,
                }
            });
            ended += u32::from(has_ended.await);
            if ended == ENDED {
                return;
            }
        }
        panic!("no call came to its end in {MOST_WAITS} waits");
    }

    /// Asks again and again, letting the clock run, until there is an answer.
    pub async fn eventually<T>(&self, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
        for _ in 0..120 {
            if let Some(answer) = ask().await {
                return answer;
            }
            self.ports.clock.sleep(Duration::from_secs(1)).await;
        }
        panic!("{what} did not happen in two minutes");
    }
}

pub(super) fn name(text: &str) -> ApplicationName {
    ApplicationName::parse(text).unwrap()
}

pub(super) fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text.as_bytes()).unwrap()
}

pub(super) fn number(number: u64) -> Number {
    Number::try_new(number).unwrap()
}

pub(super) fn body(text: &str) -> MessageBody {
    MessageBody::parse(text).unwrap()
}

pub(super) fn title(text: &str) -> ChatTitle {
    ChatTitle::parse(text).unwrap()
}

pub(super) fn chat(application: ApplicationId) -> Content {
    Content::Chat {
        application,
        title: Some(title("a chat")),
    }
}

pub(super) fn message(chat: ChatKey, text: &str) -> Content {
    Content::Message {
        chat,
        sender: Sender::parse("ann").ok(),
        body: body(text),
    }
}

pub(super) fn message_key(chat: ChatKey, of: u64) -> MessageKey {
    MessageKey {
        application: chat.application,
        chat: chat.chat,
        message: number(of).into(),
    }
}

pub(super) fn messages_of(chat: ChatKey) -> Sequence {
    Sequence::Messages(chat)
}
