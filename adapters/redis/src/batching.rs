//! Batching: the commands of many callers, sent together.

use std::{sync::Arc, time::Duration};

use redis::{Cmd, Pipeline, Value};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::yield_now,
    time::timeout,
};

use crate::{connection::Shared, error::Failure};

/// How many batches may be under way: while the server works on one, another travels, and the answers
/// of a third are handed out.
const UNDER_WAY: usize = 3;

/// How many commands are sent together at most.
const MOST: usize = 256;

/// How many commands may wait to be sent; further callers wait for a place.
const WAITING: usize = 4_096;

/// Sends together the commands that come while earlier batches are under way.
///
/// A command that travels alone costs both sides a round: a write, a read, two tasks to wake, and on a
/// server with a log another write and perhaps a sync. Under load one round does for all that wait;
/// without load a command goes at once.
pub(crate) struct Batcher {
    answer_timeout: Duration,
    asked: mpsc::Sender<Asked>,
}

/// A command, and who waits for its answer.
struct Asked {
    command: Cmd,
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

    /// Sends a command, with others, and waits for its answer.
    ///
    /// A command whose caller gave up before it was sent is not sent.
    pub(crate) async fn ask(&self, command: Cmd) -> Result<Value, Failure> {
        let (answer, answered) = oneshot::channel();
        let asking = async {
            // The tasks outlive this call, unless they were ended with the whole program.
            let asked = self.asked.send(Asked { command, answer }).await;
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
        let mut commands = Pipeline::with_capacity(batch.len());
        commands.ignore_errors();
        let mut callers = Vec::with_capacity(batch.len());
        for Asked { command, answer } in batch.drain(..) {
            commands.add_command(command);
            callers.push(answer);
        }
        match connection.ask_each(&commands).await {
            Ok(answers) => {
                let mut answers = answers.into_iter();
                for caller in callers {
                    let answer = answers.next();
                    let answer =
                        answer.unwrap_or(Err(Failure::Strange("an answer to each command")));
                    // The caller may have given up meanwhile.
                    let _ = caller.send(answer);
                }
            }
            Err(failure) => {
                for caller in callers {
                    let _ = caller.send(Err(failure.clone()));
                }
            }
        }
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
