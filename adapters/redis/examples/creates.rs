//! How many creates a second the counter gives, beside a naive `INCR` and `XADD`, in one run.
//!
//! ```sh
//! CHAT_TEST_REDIS_URL=redis://127.0.0.1 cargo run --release -p chat-adapter-redis --example creates
//! ```
//!
//! Rounds of both take turns, so that whatever else the machine does falls on both; only the ratio of
//! the two means something. `one` as an argument has all callers write into one chat.

use std::{
    env,
    error::Error,
    io::{self, Write as _},
    sync::Arc,
    time::{Duration, Instant},
};

use chat_adapter_redis::{Redis, RedisConfig, RedisLimits};
use chat_core::{
    contract::Scene,
    memory::Memory,
    model::{ChatKey, Content, Creation, MessageBody, Sender, Submission},
    ports::{Numbering, Ports, Settlement},
};
use redis::aio::ConnectionManager;
use tokio::task::JoinSet;

/// How many callers create at the same time.
const CALLERS: usize = 64;

/// How long one round is.
const ROUND: Duration = Duration::from_secs(2);

/// How many rounds each of the two has.
const ROUNDS: usize = 5;

/// The text of every message.
const BODY: &str =
    "The quick brown fox jumps over the lazy dog, and then it has a rest in the shade.";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("CHAT_TEST_REDIS_URL")?;
    let config = RedisConfig {
        prefix: "creates:".to_owned(),
        limits: RedisLimits {
            high_bytes: 1 << 30,
            ..RedisLimits::default()
        },
        ..RedisConfig::new(&*url)
    };
    let ports = Memory::new().ports();
    let opened = Redis::open(&config, Arc::clone(&ports.clock), Arc::clone(&ports.tokens)).await?;
    let scene = Scene::new(Ports {
        counter: opened.counter,
        queue: opened.queue,
        ..ports
    });
    let manager = redis::aio::ConnectionManagerConfig::new().set_pipeline_buffer_size(4_096);
    let settings = redis::io::tcp::TcpSettings::default().set_nodelay(true);
    let place = redis::IntoConnectionInfo::into_connection_info(&*url)?.set_tcp_settings(settings);
    let naive = redis::Client::open(place)?;
    let naive = ConnectionManager::new_with_config(naive, manager).await?;

    let racer = Racer { scene, naive };

    let one = env::args().any(|argument| argument == "one");
    let mut chats = vec![racer.scene.chat().await];
    while chats.len() < CALLERS {
        let chat = if one {
            chats[0]
        } else {
            racer.scene.chat().await
        };
        chats.push(chat);
    }
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let (naively, _) = racer.race(&chats, Way::Naive).await;
        let (by_counter, created) = racer.race(&chats, Way::Counter).await;
        let settling = Instant::now();
        let settlements: Vec<_> = created.iter().map(|it| Settlement::of(it, None)).collect();
        for some in settlements.chunks(500) {
            racer.scene.counter().settle(some, &[]).await?;
        }
        let settled = per_second(settlements.len(), settling.elapsed());
        ratios.push(by_counter / naively);
        writeln!(
            io::stdout(),
            "round {round}: naive {naively:.0}/s, counter {by_counter:.0}/s, ratio {:.2}; settled \
             {settled:.0}/s",
            by_counter / naively
        )?;
    }
    ratios.sort_by(f64::total_cmp);
    writeln!(io::stdout(), "median ratio {:.2}", ratios[ROUNDS / 2])?;
    let mut deleting = redis::cmd("DEL");
    deleting
        .arg("naive:q")
        .exec_async(&mut racer.naive.clone())
        .await?;
    Ok(())
}

/// What a round does over and over.
#[derive(Clone, Copy)]
enum Way {
    /// Counts and enqueues, and remembers nothing.
    Naive,
    /// Creates by the counter.
    Counter,
}

#[derive(Clone)]
struct Racer {
    scene: Scene,
    naive: ConnectionManager,
}

impl Racer {
    /// Has one caller a chat do the same for a round, and tells how often a second it was done.
    async fn race(&self, chats: &[ChatKey], way: Way) -> (f64, Vec<Creation>) {
        let until = Instant::now() + ROUND;
        let mut callers = JoinSet::new();
        for chat in chats.iter().copied() {
            let racer = self.clone();
            callers.spawn(async move {
                let mut done = 0;
                let mut created = Vec::new();
                while Instant::now() < until {
                    match way {
                        Way::Naive => racer.naively(chat).await,
                        Way::Counter => created.extend(racer.create(chat).await),
                    }
                    done += 1;
                }
                (done, created)
            });
        }
        let done = callers.join_all().await;
        let count: usize = done.iter().map(|(count, _)| count).sum();
        let created = done.into_iter().flat_map(|(_, created)| created).collect();
        (per_second(count, ROUND), created)
    }

    async fn naively(&self, chat: ChatKey) {
        let payload = self.scene.draft(message(chat)).encode();
        let key = format!("naive:{}:{}", chat.application, chat.chat);
        let mut commands = redis::pipe();
        commands.cmd("INCR").arg(key).cmd("XADD");
        commands.arg("naive:q").arg("*").arg("d").arg(payload);
        let answer = commands.exec_async(&mut self.naive.clone()).await;
        answer.expect("the server answers");
    }

    async fn create(&self, chat: ChatKey) -> Option<Creation> {
        let draft = self.scene.draft(message(chat));
        let submission = Submission { draft, key: None };
        match self.scene.counter().create(&submission).await {
            Ok(Numbering::Accepted { number, epoch, .. }) => Some(Creation {
                number,
                epoch,
                draft: submission.draft,
            }),
            other => panic!("a create was answered {other:?}"),
        }
    }
}

fn message(chat: ChatKey) -> Content {
    Content::Message {
        chat,
        sender: Sender::parse("ann").ok(),
        body: MessageBody::parse(BODY).expect("the text makes a body"),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a ratio needs no more than it keeps"
)]
fn per_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
