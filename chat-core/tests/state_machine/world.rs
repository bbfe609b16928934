//! Actors that are polled by hand, and the checks after each step.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use chat_core::{
    memory::{CounterSnapshot, Memory},
    model::{
        ApplicationId, ApplicationName, ApplicationToken, ChatKey, ChatNumber, DeadLetterReason,
        IdempotencyKey, MessageKey, MessageNumber, Number, NumberRange, Order, Sequence,
    },
    ports::{Clock as _, Consumer, Counter as _, Lookup, Parent, Ports, Repository as _},
    service::{Policy, Services},
};

use crate::{
    actors::{create_chat, delete, delete_chat, list, read, read_chat, send, update},
    ledger::Ledger,
    steps::{Deed, Faults, Step},
};

/// How many actors there are at once.
const ACTORS: usize = 8;

type Actor = Pin<Box<dyn Future<Output = Result<(), String>>>>;

/// One case.
pub(crate) struct World {
    memory: Memory,
    ports: Ports,
    faults: Faults,
    apis: [Services; 2],
    application: ApplicationId,
    token: ApplicationToken,
    ledger: Rc<RefCell<Ledger>>,
    actors: Vec<Actor>,
    snapshot: Option<CounterSnapshot>,
    texts: u32,
}

/// Polls a future to its end, which must not depend on another actor.
fn complete<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..1_000_000 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
    panic!("it does not end");
}

impl World {
    pub(crate) fn new(memory: Memory, ports: Ports, faults: Faults) -> Self {
        let policy = Policy {
            batch: 3,
            patience: Duration::from_secs(1),
            ..Policy::default()
        };
        let apis = [
            Services::new(&ports, &policy),
            Services::new(&ports, &policy),
        ];
        let name = ApplicationName::parse("a case").unwrap();
        let created = complete(apis[0].applications.create(name)).unwrap();
        Self {
            memory,
            ports,
            faults,
            apis,
            application: created.id,
            token: created.token,
            ledger: Rc::default(),
            actors: Vec::new(),
            snapshot: None,
            texts: 0,
        }
    }

    /// Runs the steps, then lets everybody finish and everything settle.
    pub(crate) fn run(mut self, steps: &[Step]) -> Result<(), String> {
        for step in steps {
            self.step(step)?;
            self.check()?;
        }
        while let Some(mut actor) = self.actors.pop() {
            complete(&mut actor)?;
            self.check()?;
        }
        self.settle()?;
        self.check()?;
        self.check_settled()
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let count = self.actors.len();
        match step {
            Step::Begin(deed) if count < ACTORS => self.begin(deed),
            Step::Go(index) if count > 0 => {
                let index = index % count;
                let mut context = Context::from_waker(Waker::noop());
                if let Poll::Ready(outcome) = self.actors[index].as_mut().poll(&mut context) {
                    drop(self.actors.swap_remove(index));
                    outcome?;
                }
            }
            Step::Finish(index) if count > 0 => complete(self.actors.swap_remove(index % count))?,
            Step::Crash(index) if count > 0 => drop(self.actors.swap_remove(index % count)),
            Step::Begin(_) | Step::Go(_) | Step::Finish(_) | Step::Crash(_) => {}
            Step::Expire(index) => {
                if let Some(sequence) = self.sequence(*index) {
                    self.memory.counter.expire(&sequence);
                }
            }
            Step::Forget(index) => {
                if let Some(sequence) = self.sequence(*index) {
                    self.memory.counter.forget(&sequence);
                }
            }
            Step::Restart => self.memory.counter.restart(),
            Step::Redeliver => self.memory.queue.relieve_all(),
            Step::Wait(millis) => {
                self.memory
                    .clock
                    .advance(Duration::from_millis(u64::from(*millis)));
            }
            Step::Snapshot => self.snapshot = Some(self.memory.counter.snapshot()),
            Step::RollBack => {
                if let Some(snapshot) = &self.snapshot {
                    self.memory.counter.roll_back(snapshot);
                }
            }
            Step::Flush => self.memory.counter.flush(),
        }
        Ok(())
    }

    fn sequence(&self, index: usize) -> Option<Sequence> {
        let sequences = self.memory.counter.sequences();
        (!sequences.is_empty()).then(|| sequences[index % sequences.len()])
    }

    /// A text that nobody used before.
    fn text(&mut self, kind: &str) -> String {
        self.texts += 1;
        format!("{kind} {}", self.texts)
    }

    fn begin(&mut self, deed: &Deed) {
        let ledger = Rc::clone(&self.ledger);
        let token = self.token.clone();
        let lossy = self.faults == Faults::Lossy;
        let pick_chat = |index: usize| ledger.borrow().pick_chat(index);
        let pick_message = |index: usize| ledger.borrow().pick_message(index);
        let actor: Actor = match *deed {
            Deed::CreateChat { api, key } => {
                let what = self.keyed("chat", "chat", key);
                Box::pin(create_chat(
                    self.apis[api].clone(),
                    token,
                    ledger,
                    what,
                    lossy,
                ))
            }
            Deed::Send { api, chat, key } => {
                let Some(chat) = pick_chat(chat) else { return };
                let what = self.keyed(&format!("message of {chat}"), "message", key);
                Box::pin(send(
                    self.apis[api].clone(),
                    token,
                    ledger,
                    chat,
                    what,
                    lossy,
                ))
            }
            Deed::ReadChat { api, chat } => {
                let Some(chat) = pick_chat(chat) else { return };
                Box::pin(read_chat(
                    self.apis[api].clone(),
                    token,
                    ledger,
                    chat,
                    lossy,
                ))
            }
            Deed::Read { api, message } => {
                let Some(message) = pick_message(message) else {
                    return;
                };
                Box::pin(read(self.apis[api].clone(), token, ledger, message, lossy))
            }
            Deed::List {
                api,
                chat,
                limit,
                descending,
            } => {
                let Some(chat) = pick_chat(chat) else { return };
                let order = if descending {
                    Order::Descending
                } else {
                    Order::Ascending
                };
                let api = self.apis[api].clone();
                Box::pin(list(api, token, ledger, chat, limit, order, lossy))
            }
            Deed::Update { api, message } => {
                let Some(message) = pick_message(message) else {
                    return;
                };
                let body = self.text("update");
                Box::pin(update(
                    self.apis[api].clone(),
                    token,
                    ledger,
                    message,
                    body,
                    lossy,
                ))
            }
            Deed::Delete { api, message } => {
                let Some(message) = pick_message(message) else {
                    return;
                };
                Box::pin(delete(self.apis[api].clone(), token, ledger, message))
            }
            Deed::DeleteChat { api, chat } => {
                let Some(chat) = pick_chat(chat) else { return };
                Box::pin(delete_chat(self.apis[api].clone(), token, ledger, chat))
            }
            Deed::Store { worker } => {
                let persister = self.apis[0].persister.clone();
                Box::pin(async move {
                    let worker = Consumer(format!("worker {worker}"));
                    let stored = persister.run_once(&worker, Duration::ZERO).await;
                    stored.map(drop).map_err(|error| error.to_string())
                })
            }
            Deed::Audit => {
                let reconciler = self.apis[1].reconciler.clone();
                Box::pin(async move {
                    let audited = reconciler.run_once("the audit").await;
                    audited.map(drop).map_err(|error| error.to_string())
                })
            }
        };
        self.actors.push(actor);
    }

    /// The text of a create, and its key: the same key always goes with the same text.
    fn keyed(
        &mut self,
        place: &str,
        kind: &str,
        key: Option<u8>,
    ) -> (String, Option<IdempotencyKey>) {
        match key {
            None => (self.text(kind), None),
            Some(key) => {
                let text = format!("{kind} with key {key} as {place}").replace(' ', "-");
                let key = IdempotencyKey::parse(text.as_bytes()).unwrap();
                (text, Some(key))
            }
        }
    }

    /// What must hold after every step.
    fn check(&self) -> Result<(), String> {
        let repository = &self.memory.repository;
        let chats = complete(repository.audit_chats(None, 1_000)).unwrap();
        let applications = complete(repository.audit_applications(None, 1_000)).unwrap();
        if !chats.repaired.is_empty() || !applications.repaired.is_empty() {
            return Err(format!(
                "a chat or application does not count its rows: {chats:?}"
            ));
        }
        let letters = complete(self.ports.repository.dead_letters(None, 10)).unwrap();
        if let Some(letter) = letters
            .iter()
            .find(|it| it.reason == DeadLetterReason::NumberTaken)
        {
            return Err(format!(
                "a number was given twice, as the repository saw: {letter:?}"
            ));
        }
        let ledger = self.ledger.borrow();
        if self.faults == Faults::Lossless {
            for (chat, number, entry) in ledger.living() {
                self.check_kept(chat, number, &entry.possible)?;
            }
        }
        for (chat, (_, thread)) in &ledger.chats {
            for (number, entry) in &thread.messages {
                if (entry.deleted || thread.deleted)
                    && let Lookup::Found(_) =
                        complete(repository.message(self.key(*chat, *number))).unwrap()
                {
                    return Err(format!("deleted message {number} of chat {chat} came back"));
                }
            }
        }
        Ok(())
    }

    fn key(&self, chat: ChatNumber, message: MessageNumber) -> MessageKey {
        MessageKey {
            application: self.application,
            chat,
            message,
        }
    }

    /// Checks that an answered message is stored or pending, with a body that it may have.
    fn check_kept(
        &self,
        chat: ChatNumber,
        number: MessageNumber,
        possible: &BTreeSet<String>,
    ) -> Result<(), String> {
        let key = self.key(chat, number);
        let stored = complete(self.memory.repository.message(key)).unwrap();
        let body = match stored {
            Lookup::Found(message) => Some(message.body),
            Lookup::Gone => None,
            Lookup::Absent => {
                let sequence = Sequence::Messages(key.chat_key());
                let pending = complete(self.memory.counter.pending(&sequence, number.into()));
                pending
                    .unwrap()
                    .and_then(|creation| creation.as_message())
                    .map(|it| it.body)
            }
        };
        match body {
            Some(body) if possible.contains(body.as_str()) => Ok(()),
            Some(body) => Err(format!(
                "message {number} of chat {chat} reads `{}`, which nobody wrote there",
                body.as_str()
            )),
            None => Err(format!(
                "message {number} of chat {chat} was answered and is nowhere"
            )),
        }
    }

    /// Lets workers and the audit do all that is left.
    fn settle(&mut self) -> Result<(), String> {
        let worker = Consumer("the last worker".to_owned());
        // A create has a shard that fell behind admitted again; in production one always comes.
        for _ in 0..2 {
            self.begin(&Deed::CreateChat { api: 0, key: None });
            complete(self.actors.pop().expect("it has begun"))?;
            self.memory.queue.relieve_all();
            let stored = complete(self.apis[0].persister.run_once(&worker, Duration::ZERO));
            stored.map_err(|error| error.to_string())?;
        }
        for _ in 0..100 {
            self.memory.clock.advance(Duration::from_mins(2));
            let stored = complete(self.apis[0].persister.run_once(&worker, Duration::ZERO));
            let audited = complete(self.apis[0].reconciler.run_once("the last audit"));
            let stored = stored.map_err(|error| error.to_string())?;
            let audited = audited.map_err(|error| error.to_string())?;
            if stored.received == 0 && audited.rescued == 0 {
                return Ok(());
            }
        }
        Err("work does not come to an end".to_owned())
    }

    /// What must hold once everything has settled.
    fn check_settled(&self) -> Result<(), String> {
        if self.faults == Faults::Lossy {
            return Ok(());
        }
        let far = self.memory.clock.as_ref();
        let later = far.now().plus(Duration::from_secs(1));
        let pending = complete(self.memory.counter.pending_since(later, None, 10)).unwrap();
        if !pending.is_empty() {
            return Err(format!("something is pending for ever: {pending:?}"));
        }
        let ledger = self.ledger.borrow();
        for (chat, (_, thread)) in &ledger.chats {
            let key = ChatKey {
                application: self.application,
                chat: *chat,
            };
            let all: Vec<_> = (1..=200)
                .map(|number| Number::try_new(number).unwrap())
                .collect();
            let range = NumberRange::all();
            let slice = complete(self.memory.repository.messages(key, &range, 500, &all)).unwrap();
            if slice.parent != Parent::Live {
                continue;
            }
            for (expected, number) in (1..).zip(slice.known.keys()) {
                if number.get() != expected {
                    return Err(format!("chat {chat} has a gap below message {number}"));
                }
            }
            for skipped in &thread.skipped {
                let live = slice.rows.iter().any(|row| row.key.message == *skipped);
                let wanted = thread
                    .messages
                    .get(skipped)
                    .is_none_or(|entry| !entry.deleting);
                if live && wanted {
                    return Err(format!(
                        "message {skipped} of chat {chat} was skipped by a list"
                    ));
                }
            }
        }
        let range = NumberRange::all();
        let numbers: Vec<_> = (1..=100).map(|it| Number::try_new(it).unwrap()).collect();
        let known = complete(
            self.memory
                .repository
                .chats(self.application, &range, 0, &numbers),
        )
        .unwrap();
        for (expected, number) in (1..).zip(known.known.keys()) {
            if number.get() != expected {
                return Err(format!("there is a gap below chat {number}"));
            }
        }
        Ok(())
    }
}
