//! The one task that writes: what waits is committed together.

use std::{sync::Mutex, time::Duration};

use chat_core::{PortError, PortErrorKind, model::Submission, ports::Numbering};
use futures_util::future::BoxFuture;
use sqlx::{Connection as _, SqliteConnection};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    creating,
    error::{kind, port_error, writer_error},
};

/// How many requests may wait for the writer.
const WAITING: usize = 4_096;

/// How many requests are committed together at most.
const TOGETHER: usize = 512;

/// How long a request waits for its commit.
const PATIENCE: Duration = Duration::from_secs(10);

/// Hands requests to the writing task.
pub(crate) struct Writer {
    requests: mpsc::Sender<Request>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// Something to be written.
enum Request {
    /// A creation; all that are waiting are numbered and inserted by the same few statements.
    Create(Create),
    /// Anything else, by itself within the common transaction.
    Work(Work),
    /// Finish and stop.
    Close,
}

/// A creation and where its answer goes.
struct Create {
    submission: Submission,
    answer: oneshot::Sender<Result<Numbering, PortError>>,
}

/// Does its writes, and gives what is to be told to the caller once the commit has succeeded or not.
type Work = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Done> + Send>;

/// Work that was done, or failed and has to be undone.
struct Done {
    succeeded: bool,
    tell: Box<dyn FnOnce(Result<(), Failure>) + Send>,
}

/// Why a whole transaction came to nothing.
#[derive(Clone)]
struct Failure {
    kind: PortErrorKind,
    what: String,
}

impl Failure {
    fn of(error: &sqlx::Error) -> Self {
        Self {
            kind: kind(error),
            what: error.to_string(),
        }
    }

    fn told(&self, operation: &'static str) -> PortError {
        writer_error(self.kind, operation, self.what.clone())
    }
}

impl Writer {
    pub(crate) fn start(connection: SqliteConnection) -> Self {
        let (requests, waiting) = mpsc::channel(WAITING);
        let task = tokio::spawn(run(connection, waiting));
        Self {
            requests,
            task: Mutex::new(Some(task)),
        }
    }

    /// Numbers and stores a submission.
    pub(crate) async fn create(&self, submission: Submission) -> Result<Numbering, PortError> {
        let (answer, told) = oneshot::channel();
        let request = Request::Create(Create { submission, answer });
        match self.requests.try_send(request) {
            Ok(()) => awaited("number a creation", told).await,
            Err(mpsc::error::TrySendError::Full(_)) => Ok(Numbering::Overloaded {
                retry_after: Duration::from_secs(1),
            }),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(closed("number a creation")),
        }
    }

    /// Runs `work` in a transaction, which it may share with others, and answers after the commit.
    ///
    /// Where `work` fails, what it wrote is undone.
    pub(crate) async fn write<T, F>(&self, operation: &'static str, work: F) -> Result<T, PortError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>
            + Send
            + 'static,
    {
        let (answer, told) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            Box::pin(async move {
                let result = work(connection).await;
                let succeeded = result.is_ok();
                let tell = Box::new(move |commit: Result<(), Failure>| {
                    let result = match (result, commit) {
                        (Ok(value), Ok(())) => Ok(value),
                        (Ok(_), Err(failure)) => Err(failure.told(operation)),
                        (Err(error), _) => Err(port_error(operation, error)),
                    };
                    // A caller that has given up is not told.
                    drop(answer.send(result));
                });
                Done { succeeded, tell }
            })
        });
        let sent = timeout(PATIENCE, self.requests.send(Request::Work(work))).await;
        match sent {
            Ok(Ok(())) => awaited(operation, told).await,
            Ok(Err(_)) => Err(closed(operation)),
            Err(_) => Err(too_late(operation)),
        }
    }

    /// Finishes what was handed in, folds the write-ahead log into the file, and stops.
    pub(crate) async fn close(&self) {
        drop(self.requests.send(Request::Close).await);
        let task = self
            .task
            .lock()
            .expect("no holder of the lock panics")
            .take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the writer did not end well"
            );
        }
    }
}

async fn awaited<T>(
    operation: &'static str,
    told: oneshot::Receiver<Result<T, PortError>>,
) -> Result<T, PortError> {
    match timeout(PATIENCE, told).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(closed(operation)),
        Err(_) => Err(too_late(operation)),
    }
}

fn closed(operation: &'static str) -> PortError {
    writer_error(
        PortErrorKind::Unavailable,
        operation,
        "the writer has stopped".to_owned(),
    )
}

fn too_late(operation: &'static str) -> PortError {
    writer_error(
        PortErrorKind::Timeout,
        operation,
        "the writer is busy".to_owned(),
    )
}

async fn run(mut connection: SqliteConnection, mut waiting: mpsc::Receiver<Request>) {
    let mut requests = Vec::with_capacity(TOGETHER);
    let mut open = true;
    while open && waiting.recv_many(&mut requests, TOGETHER).await > 0 {
        let mut creates = Vec::with_capacity(requests.len());
        let mut works = Vec::new();
        for request in requests.drain(..) {
            match request {
                Request::Create(create) => creates.push(create),
                Request::Work(work) => works.push(work),
                Request::Close => open = false,
            }
        }
        commit_together(&mut connection, creates, works).await;
    }
    if let Err(error) = connection.close().await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the database did not close well"
        );
    }
}

/// Writes everything in one transaction, and tells each caller how it ended.
///
/// Callers do not wait for each other before they hand something in, so any order is right; work
/// goes first, since creations cannot undo one another.
async fn commit_together(
    connection: &mut SqliteConnection,
    creates: Vec<Create>,
    works: Vec<Work>,
) {
    let mut done = Vec::with_capacity(works.len());
    match transact(connection, &creates, works, &mut done).await {
        Ok(numberings) => {
            for (create, numbering) in creates.into_iter().zip(numberings) {
                drop(create.answer.send(Ok(numbering)));
            }
            for done in done {
                (done.tell)(Ok(()));
            }
        }
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a transaction of the embedded database failed"
            );
            // SQLite may have ended the transaction itself; then there is nothing to undo.
            if let Err(error) = sqlx::query("ROLLBACK").execute(connection).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "nothing to undo");
            }
            let failure = Failure::of(&error);
            for create in creates {
                drop(create.answer.send(Err(failure.told("number a creation"))));
            }
            for done in done {
                (done.tell)(Err(failure.clone()));
            }
        }
    }
}

async fn transact(
    connection: &mut SqliteConnection,
    creates: &[Create],
    works: Vec<Work>,
    done: &mut Vec<Done>,
) -> Result<Vec<Numbering>, sqlx::Error> {
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut *connection)
        .await?;
    for work in works {
        sqlx::query("SAVEPOINT work")
            .execute(&mut *connection)
            .await?;
        let it = work(connection).await;
        if !it.succeeded {
            sqlx::query("ROLLBACK TO work")
                .execute(&mut *connection)
                .await?;
        }
        sqlx::query("RELEASE work")
            .execute(&mut *connection)
            .await?;
        done.push(it);
    }
    let submissions: Vec<_> = creates.iter().map(|create| &create.submission).collect();
    let numberings = creating::create(connection, &submissions).await?;
    sqlx::query("COMMIT").execute(connection).await?;
    Ok(numberings)
}
