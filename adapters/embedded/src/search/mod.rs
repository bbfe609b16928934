//! Search on Tantivy.
//!
//! The words of a message are a column of numbers, each the number of a word in its segment's
//! dictionary.
//! A search scans the messages of the chat: each distinct word is matched once by the core's own
//! [`Terms::matched`](chat_core::text::Terms::matched), and from then on ranking a message only
//! compares numbers.
//! So what is found, and in which order, is what the core says, in any script, and takes time in
//! proportion to the chat: some milliseconds for 10,000 messages.
//! The dictionaries are kept in memory, some bytes for each different word, up to a bound.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use chat_core::{
    Chain, PortError, PortErrorKind,
    model::Generation,
    ports::{Applied, IndexChange, SearchHit, SearchIndex, SearchQuery},
};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

mod dictionary;
mod generation;
mod scan;
mod schema;

use generation::FolderIndex;
use scan::ScanError;
use tantivy::TantivyError;

/// The adapter's name in errors.
const ADAPTER: &str = "tantivy";

/// What the names of the generations' folders begin with; nothing else is ever touched.
const PREFIX: &str = "generation-";

/// The file that names the generation that serves.
const SERVING: &str = "serving";

/// How long a search may wait for its turn, and then take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many searches go on at once.
const AT_ONCE: usize = 2;

/// Finds messages by going through those of a chat.
pub struct EmbeddedSearchIndex {
    shelf: Arc<Shelf>,
    turns: Arc<Semaphore>,
}

/// The generations in their folder.
struct Shelf {
    folder: PathBuf,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    generations: BTreeMap<u64, Arc<FolderIndex>>,
    serving: Option<u64>,
}

impl EmbeddedSearchIndex {
    /// Opens the generations in a folder; a damaged one is removed, and logged as an error.
    ///
    /// # Errors
    ///
    /// Fails when the folder cannot be used.
    pub(crate) async fn open(folder: PathBuf) -> io::Result<Self> {
        let shelf = spawn_blocking(move || Shelf::open(folder)).await;
        Ok(Self {
            shelf: Arc::new(shelf.map_err(io::Error::other)??),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        })
    }

    /// Runs work on the shelf, on a thread that may block.
    async fn act<T: Send + 'static>(
        &self,
        operation: &'static str,
        act: impl FnOnce(&Shelf) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, PortError> {
        let generations = Arc::clone(&self.shelf);
        let acted = spawn_blocking(move || act(&generations)).await;
        let acted = acted.unwrap_or_else(|panic| Err(Failure::Lost(panic.into())));
        acted.map_err(|failure| failure.into_error(operation))
    }
}

/// Why something could not be done.
enum Failure {
    Missing,
    Lost(Box<dyn std::error::Error + Send + Sync>),
    Index(TantivyError),
    Io(io::Error),
    Scan(ScanError),
}

impl From<TantivyError> for Failure {
    fn from(error: TantivyError) -> Self {
        Self::Index(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ScanError> for Failure {
    fn from(error: ScanError) -> Self {
        Self::Scan(error)
    }
}

impl Failure {
    fn into_error(self, operation: &'static str) -> PortError {
        let error = |kind| PortError::new(kind, ADAPTER, operation);
        match self {
            Self::Missing => error(PortErrorKind::Unavailable)
                .caused_by("the search index has no such generation"),
            Self::Lost(cause) => error(PortErrorKind::Unavailable).caused_by(cause),
            Self::Index(cause) => error(PortErrorKind::Unavailable).caused_by(cause),
            Self::Io(cause) if cause.kind() == io::ErrorKind::StorageFull => {
                error(PortErrorKind::Full).caused_by(cause)
            }
            Self::Io(cause) => error(PortErrorKind::Unavailable).caused_by(cause),
            Self::Scan(cause @ ScanError::TooSlow(_)) => {
                error(PortErrorKind::Timeout).caused_by(cause)
            }
            Self::Scan(cause) => error(PortErrorKind::Unavailable).caused_by(cause),
        }
    }
}

impl Shelf {
    fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut state = State::default();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
            let Some(number) = number.and_then(|number| number.parse().ok()) else {
                continue;
            };
            match FolderIndex::open(&entry.path()) {
                Ok(index) => {
                    state.generations.insert(number, Arc::new(index));
                }
                Err(error) if !error.is_ruin() => return Err(io::Error::other(error)),
                Err(error) => {
                    tracing::error!(
                        error = %Chain(&error),
                        generation = number,
                        "a generation of the search index cannot be used and is removed"
                    );
                    fs::remove_dir_all(entry.path())?;
                }
            }
        }
        let named = fs::read_to_string(folder.join(SERVING)).ok();
        state.serving = named.and_then(|number| number.trim().parse().ok());
        Ok(Self {
            folder,
            state: RwLock::new(state),
        })
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{PREFIX}{number}"))
    }

    fn get(&self, number: u64) -> Result<Arc<FolderIndex>, Failure> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let index = state.generations.get(&number).cloned();
        index.ok_or(Failure::Missing)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn serving(&self) -> Result<Arc<FolderIndex>, Failure> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let number = state.serving.ok_or(Failure::Missing)?;
        drop(state);
        self.get(number)
    }

    fn create(&self, number: u64) -> Result<(), Failure> {
        if self.get(number).is_err() {
            let index = Arc::new(FolderIndex::create(&self.path(number))?);
            self.change(|state| state.generations.insert(number, index));
        }
        Ok(())
    }

    fn serve(&self, number: u64) -> Result<(), Failure> {
        self.get(number)?;
        let is_serving = |state: &mut State| state.serving == Some(number);
        if self.change(is_serving) {
            return Ok(());
        }
        write_through(&self.folder.join(SERVING), &number.to_string())?;
        self.change(|state| state.serving = Some(number));
        Ok(())
    }

    fn remove(&self, number: u64) -> Result<(), Failure> {
        let removed = self.change(|state| {
            state.serving = state.serving.filter(|serving| *serving != number);
            state.generations.remove(&number)
        });
        match removed {
            Some(index) => Ok(index.remove()?),
            None => Ok(()),
        }
    }

    fn numbers(&self) -> Vec<u64> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.generations.keys().copied().collect()
    }
}

/// Replaces a small file, so that after a crash there is the old one or the new one.
fn write_through(file: &Path, text: &str) -> io::Result<()> {
    let new = file.with_extension("new");
    let mut written = fs::File::create(&new)?;
    written.write_all(text.as_bytes())?;
    written.sync_all()?;
    fs::rename(new, file)
}

#[async_trait]
impl SearchIndex for EmbeddedSearchIndex {
    async fn apply(
        &self,
        generation: &Generation,
        changes: &[IndexChange],
    ) -> Result<Vec<Applied>, PortError> {
        let (number, changes) = (generation.number, changes.to_vec());
        let apply = move |shelf: &Shelf| {
            shelf.get(number)?.apply(&changes)?;
            Ok(vec![Applied::Done; changes.len()])
        };
        self.act("apply changes", apply).await
    }

    async fn find(&self, query: &SearchQuery) -> Result<Vec<SearchHit>, PortError> {
        let operation = "find messages";
        let turn = timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| {
            PortError::new(PortErrorKind::Timeout, ADAPTER, operation)
                .caused_by("too many searches are in progress")
        })?;
        let (query, deadline) = (query.clone(), Instant::now() + PATIENCE);
        let find = move |shelf: &Shelf| {
            // Held until the work ends, even if nobody waits for it any more.
            let _turn = turn;
            Ok(shelf.serving()?.find(&query, deadline)?)
        };
        self.act(operation, find).await
    }

    async fn create_generation(&self, generation: &Generation) -> Result<(), PortError> {
        let number = generation.number;
        self.act("create a generation", move |shelf| shelf.create(number))
            .await
    }

    async fn serve_generation(&self, generation: &Generation) -> Result<(), PortError> {
        let number = generation.number;
        self.act("serve a generation", move |shelf| shelf.serve(number))
            .await
    }

    async fn remove_generation(&self, generation: &Generation) -> Result<(), PortError> {
        let number = generation.number;
        self.act("remove a generation", move |shelf| shelf.remove(number))
            .await
    }

    async fn remove_others(&self, kept: &Generation) -> Result<(), PortError> {
        let kept = kept.number;
        self.act("remove other generations", move |shelf| {
            let others = shelf.numbers().into_iter();
            others
                .filter(|number| *number != kept)
                .try_for_each(|number| shelf.remove(number))
        })
        .await
    }

    async fn generations(&self) -> Result<Vec<u64>, PortError> {
        Ok(self.shelf.numbers())
    }

    async fn check(&self) -> Result<(), PortError> {
        let serving = |shelf: &Shelf| shelf.serving().map(drop);
        self.act("answer a health check", serving).await
    }
}
