//! Batching: the creations of many callers, numbered together.

use std::{sync::Arc, time::Duration};

use redis::{Pipeline, Value};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::yield_now,
    time::timeout,
};

use crate::{
    connection::Shared,
    error::Failure,
    reply,
    scripts::{Call, JoiningScript},
};

/// How many batches may be under way: while the server works on one, another travels.
const UNDER_WAY: usize = 2;

/// How many calls are sent together at most.
///
/// The answers of a run come all at once, so with longer ones the callers, this program and the server wait
/// for each other in turns; with shorter ones a server that syncs each write does so more often. Of 4 to 256
/// calls in one to eight batches, this made the most of two cores, with either way of syncing.
const MOST: usize = 24;

/// How many calls may wait to be sent; further callers wait for a place.
const WAITING: usize = 4_096;

/// Sends together the calls that come while earlier batches are under way, and joins those of one script.
///
/// A call that travels alone costs both sides a round: a write, a read, two tasks to wake, and on a server
/// with a log another write and perhaps a sync. A run of the script that numbers takes Redis 7.0 about 8 µs,
/// and each creation in it another 8 to 10. So under load one round and one run do for all that wait; without
/// load a call goes at once.
///
/// A command that the server refuses as a whole, for instance since the shard's slot is migrating, is refused
/// to all calls that it joins.
pub(crate) struct Batcher {
    answer_timeout: Duration,
    asked: mpsc::Sender<Asked>,
}

/// A call, and who waits for its answer.
struct Asked {
    script: Arc<JoiningScript>,
    call: Call,
    answer: oneshot::Sender<Result<Value, Failure>>,
}

impl Batcher {
    /// Spawns the tasks that send, which end once this is dropped.
    pub(crate) fn begin(connection: &Shared) -> Self {
        let (asked, waiting) = mpsc::channel(WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..UNDER_WAY {
            tokio::spawn(send(connection.clone(), Arc::clone(&waiting)));
        }
        Self {
            answer_timeout: connection.answer_timeout,
            asked,
        }
    }

    /// Sends a call, with others, and waits for its own answer.
    ///
    /// A call whose caller gave up before it was sent is not sent.
    pub(crate) async fn ask(
        &self,
        script: &Arc<JoiningScript>,
        call: Call,
    ) -> Result<Value, Failure> {
        let (answer, answered) = oneshot::channel();
        let asked = Asked {
            script: Arc::clone(script),
            call,
            answer,
        };
        let asking = async {
            // The tasks outlive this call, unless they were ended with the whole program.
            let asked = self.asked.send(asked).await;
            asked.map_err(|_| Failure::Late)?;
            answered.await.map_err(|_| Failure::Late)?
        };
        let answer = timeout(self.answer_timeout, asking).await;
        answer.map_err(|_| Failure::Late)?
    }
}

/// Sends batch after batch, each once the one before it is answered.
async fn send(connection: Shared, waiting: Arc<Mutex<mpsc::Receiver<Asked>>>) {
    let mut batch = Vec::new();
    while gather(&mut *waiting.lock().await, &mut batch).await {
        batch.retain(|asked| !asked.answer.is_closed());
        if batch.is_empty() {
            continue;
        }
        // A stable sort: calls of the same script stay in the order in which they came.
        batch.sort_by_key(|asked| Arc::as_ptr(&asked.script));
        let mut commands = Pipeline::new();
        commands.ignore_errors();
        let mut joined = Vec::new();
        for together in batch.chunk_by(|one, next| Arc::ptr_eq(&one.script, &next.script)) {
            if let [first, ..] = together {
                let calls: Vec<&Call> = together.iter().map(|asked| &asked.call).collect();
                commands.add_command(first.script.command(&calls));
                joined.push(together.len());
            }
        }
        let mut answers = match connection.ask_each(&commands).await {
            Ok(answers) => answers,
            Err(failure) => vec![Err(failure); joined.len()],
        }
        .into_iter();
        let mut callers = batch.drain(..).map(|asked| asked.answer);
        for count in joined {
            let answer = answers.next();
            let answer = answer.unwrap_or(Err(Failure::Strange("an answer to each command")));
            for (caller, answer) in callers.by_ref().take(count).zip(apart(answer, count)) {
                // The caller may have given up meanwhile.
                let _ = caller.send(answer);
            }
        }
    }
}

/// Takes the answer to several joined calls apart: the first is that to the first call.
fn apart(answer: Result<Value, Failure>, calls: usize) -> Vec<Result<Value, Failure>> {
    match answer.and_then(reply::list) {
        Ok(answers) if answers.len() == calls => answers.into_iter().map(Ok).collect(),
        Ok(_) => vec![Err(Failure::Strange("an answer to each call")); calls],
        Err(failure) => vec![Err(failure); calls],
    }
}

/// Takes all that waits, once there is something; `false` once nothing can come any more.
async fn gather(waiting: &mut mpsc::Receiver<Asked>, batch: &mut Vec<Asked>) -> bool {
    if waiting.recv_many(batch, MOST).await == 0 {
        return false;
    }
    // Lets tasks that are about to ask join this batch.
    yield_now().await;
    while batch.len() < MOST
        && let Ok(asked) = waiting.try_recv()
    {
        batch.push(asked);
    }
    true
}
