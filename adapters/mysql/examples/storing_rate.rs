//! Compares storing with a plain loop of multi-row inserts of the same rows, on one connection each.
//!
//! `CHAT_TEST_MYSQL_URL=mysql://root@127.0.0.1:3306/ cargo run --release -p chat-adapter-mysql
//! --example storing_rate [rows a batch] [chats] [batches a round]`

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement prints what it finds, and may fail"
)]

use std::time::{Duration, Instant};

use chat_adapter_mysql::{MySqlConfig, MySqlRepository};
use chat_core::{
    contract::Scene,
    memory::Memory,
    model::{
        ChatKey, Content, Creation, EpochMark, Incarnation, MessageBody, Position, Sender, Shard,
        Sighting, Timestamp,
    },
    ports::{Ports, Repository, StoreBatch},
};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Executor as _, MySql, MySqlConnection, QueryBuilder,
    mysql::MySqlConnectOptions,
};

const ROUNDS: usize = 7;

#[tokio::main]
async fn main() {
    let arguments: Vec<usize> = std::env::args()
        .skip(1)
        .map(|argument| argument.parse().unwrap())
        .collect();
    let argument = |at: usize, usual| arguments.get(at).copied().unwrap_or(usual);
    let (rows, chats, batches) = (argument(0, 1_000), argument(1, 50), argument(2, 40));
    let server = std::env::var("CHAT_TEST_MYSQL_URL").unwrap();
    let name = format!("chat_rate_{}", std::process::id());
    let url = format!("{}/{name}", server.trim_end_matches('/'));
    let repository = std::sync::Arc::new(
        MySqlRepository::open(&MySqlConfig::new(&url))
            .await
            .unwrap(),
    );
    let mut plain: MySqlConnection = url
        .parse::<MySqlConnectOptions>()
        .unwrap()
        .connect()
        .await
        .unwrap();
    plain
        .execute("CREATE TABLE plain_messages LIKE messages")
        .await
        .unwrap();
    let scene = Scene::new(Ports {
        repository: repository.clone(),
        ..Memory::new().ports()
    });
    // As with a worker: changes are noted for the index, and the queue's position is stored.
    repository.add_generation().await.unwrap();
    let sighting = Sighting {
        shard: Shard::ONLY,
        address: "here".to_owned(),
        incarnation: Incarnation("one".to_owned()),
        mark: EpochMark::Missing { nonce: 1 },
        complete: false,
        position: Position::default(),
    };
    repository.admit(&sighting, None).await.unwrap();
    let application = scene.application().await.id;
    let mut keys = Vec::new();
    for number in 1..=chats as u64 {
        keys.push(scene.stored_chat_of(application, number).await);
    }
    let mut next = vec![1_u64; chats];
    let mut ratios = Vec::new();
    let mut sums = [Duration::ZERO; 2];
    for round in 0..ROUNDS {
        let work: Vec<Vec<Creation>> = (0..batches)
            .map(|_| batch(&scene, &keys, &mut next, rows))
            .collect();
        let mut took = [Duration::ZERO; 2];
        // The two sides take turns in going first.
        for turn in 0..2 {
            let is_plain = (round + turn) % 2 == 0;
            let began = Instant::now();
            for creations in &work {
                if is_plain {
                    insert(&mut plain, creations).await;
                } else {
                    store(&*repository, creations).await;
                }
            }
            took[usize::from(is_plain)] = began.elapsed();
        }
        if round == 0 {
            continue;
        }
        let [stored, plain] = took;
        sums[0] += stored;
        sums[1] += plain;
        ratios.push(plain.as_secs_f64() / stored.as_secs_f64());
        println!(
            "store {:8.0} rows/s, plain inserts {:8.0} rows/s, ratio {:.2}",
            (rows * batches) as f64 / stored.as_secs_f64(),
            (rows * batches) as f64 / plain.as_secs_f64(),
            plain.as_secs_f64() / stored.as_secs_f64()
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "{rows} rows a batch over {chats} chats: median ratio {:.2}, of the sums {:.2}",
        ratios[ratios.len() / 2],
        sums[1].as_secs_f64() / sums[0].as_secs_f64()
    );
    repository.close().await;
    plain
        .execute(AssertSqlSafe(format!("DROP DATABASE `{name}`")))
        .await
        .unwrap();
}

fn batch(scene: &Scene, keys: &[ChatKey], next: &mut [u64], rows: usize) -> Vec<Creation> {
    (0..rows)
        .map(|row| {
            let at = row % keys.len();
            let number = next[at];
            next[at] += 1;
            let content = Content::Message {
                chat: keys[at],
                sender: Sender::parse("ann").ok(),
                body: MessageBody::parse(format!(
                    "message {number} of chat {at}, about as long as what people say in a chat: some \
                     ninety characters"
                ))
                .unwrap(),
            };
            scene.creation(content, number)
        })
        .collect()
}

async fn store(repository: &dyn Repository, creations: &[Creation]) {
    let position = Position {
        major: creations.last().map_or(0, |last| last.number.get()),
        minor: 0,
    };
    let batch = StoreBatch {
        creations: creations.iter().map(|it| (it.clone(), false)).collect(),
        not_before: Timestamp::MIN,
        positions: vec![(Shard::ONLY, position)],
    };
    let report = repository.store(&batch).await.unwrap();
    assert_eq!(report.outcomes.len(), creations.len());
}

async fn insert(connection: &mut MySqlConnection, creations: &[Creation]) {
    let mut insert = QueryBuilder::<MySql>::new(
        "INSERT INTO plain_messages (application_id, chat_number, number, uid, version, sender, body, \
         created_at, updated_at, deleted_at) ",
    );
    insert.push_values(creations, |mut row, creation| {
        let message = creation.as_message().unwrap();
        row.push_bind(message.key.application.get())
            .push_bind(message.key.chat.get())
            .push_bind(message.key.message.get())
            .push_bind(creation.draft.uid.to_bytes().to_vec())
            .push_bind(1_u64)
            .push_bind(message.sender.map(String::from))
            .push_bind(String::from(message.body))
            .push_bind(message.created_at.as_micros())
            .push_bind(message.updated_at.as_micros())
            .push_bind(None::<i64>);
    });
    insert.build().execute(connection).await.unwrap();
}
