//! One generation of the index: a Tantivy folder.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use chat_core::{
    model::MessageKey,
    ports::{IndexChange, SearchHit, SearchQuery},
};
use quick_cache::{Weighter, sync::Cache};
use tantivy::{
    DocSet as _, Index, IndexReader, IndexWriter, ReloadPolicy, Searcher, SegmentReader,
    TERMINATED, TantivyError, directory::error::OpenReadError, index::SegmentId,
    schema::IndexRecordOption,
};

use super::{
    dictionary::Dictionary,
    scan::{Best, ScanError},
    schema::{Fields, VERSION, WORDS},
};

/// How much memory the writer gathers before it begins a new segment: 30 MB.
const WRITER_BYTES: usize = 30_000_000;

/// How much memory the words of all segments may take: 64 MiB, some millions of different words.
///
/// Words beyond that are read again for each search.
const DICTIONARY_BYTES: u64 = 64 << 20;

/// About how many segments a generation has.
const SEGMENTS: usize = 32;

/// One generation.
pub(super) struct FolderIndex {
    folder: PathBuf,
    fields: Fields,
    index: Index,
    reader: IndexReader,
    /// Absent until it is needed, and after a failure, since it may not survive one.
    writer: Mutex<Option<IndexWriter>>,
    dictionaries: Cache<SegmentId, Arc<Dictionary>, Bytes>,
}

/// Weighs dictionaries by the memory that they take.
#[derive(Clone)]
struct Bytes;

impl Weighter<SegmentId, Arc<Dictionary>> for Bytes {
    fn weight(&self, _: &SegmentId, dictionary: &Arc<Dictionary>) -> u64 {
        dictionary.bytes() as u64
    }
}

/// Why a folder cannot be used as a generation.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("another version made it")]
    OtherSchema,
    #[error("{0} of its files are damaged")]
    Damaged(usize),
    #[error("it cannot be read")]
    Index(#[from] TantivyError),
}

impl Unusable {
    /// Says whether the folder is beyond repair: a retry will not help, and removing it loses nothing.
    pub(super) fn is_ruin(&self) -> bool {
        match self {
            Self::OtherSchema | Self::Damaged(_) => true,
            Self::Index(error) => matches!(
                error,
                TantivyError::DataCorruption(_)
                    | TantivyError::IncompatibleIndex(_)
                    | TantivyError::OpenReadError(
                        OpenReadError::FileDoesNotExist(_) | OpenReadError::IncompatibleIndex(_)
                    )
            ),
        }
    }
}

impl FolderIndex {
    /// Makes an empty one, or opens the one that is there.
    pub(super) fn create(folder: &Path) -> Result<Self, TantivyError> {
        fs::create_dir_all(folder)?;
        let fields = Fields::new();
        let directory = tantivy::directory::MmapDirectory::open(folder)?;
        let index = Index::open_or_create(directory, fields.schema.clone())?;
        Self::over(folder, fields, index)
    }

    /// Opens one, and checks that it is whole.
    pub(super) fn open(folder: &Path) -> Result<Self, Unusable> {
        let fields = Fields::new();
        let index = Index::open_in_dir(folder)?;
        if index.schema() != fields.schema {
            return Err(Unusable::OtherSchema);
        }
        let damaged = index.validate_checksum()?;
        if !damaged.is_empty() {
            return Err(Unusable::Damaged(damaged.len()));
        }
        Ok(Self::over(folder, fields, index)?)
    }

    fn over(folder: &Path, fields: Fields, index: Index) -> Result<Self, TantivyError> {
        let reader = index.reader_builder();
        let reader = reader.reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Self {
            folder: folder.to_owned(),
            fields,
            index,
            reader,
            writer: Mutex::default(),
            dictionaries: Cache::with_weighter(SEGMENTS, DICTIONARY_BYTES, Bytes),
        })
    }

    /// Applies changes, and returns once they are on disk and can be found.
    pub(super) fn apply(&self, changes: &[IndexChange]) -> Result<(), TantivyError> {
        let mut writer = lock(&self.writer);
        let mut open = if let Some(open) = writer.take() {
            open
        } else {
            // The reader may not have seen the last commit yet.
            self.reader.reload()?;
            self.index.writer_with_num_threads(1, WRITER_BYTES)?
        };
        let searcher = self.reader.searcher();
        let mut versions = HashMap::new();
        for change in changes {
            self.hand_in(&open, &searcher, &mut versions, change)?;
        }
        open.commit()?;
        // Before the lock is released, so that the next call compares versions with these.
        self.reader.reload()?;
        // A writer that has failed is not kept.
        *writer = Some(open);
        Ok(())
    }

    fn hand_in(
        &self,
        writer: &IndexWriter,
        searcher: &Searcher,
        versions: &mut HashMap<MessageKey, u64>,
        change: &IndexChange,
    ) -> Result<(), TantivyError> {
        let (key, version, document) = match change {
            IndexChange::Put(message) => (message.key, message.version, Some(message)),
            IndexChange::Delete { key, version } => (*key, *version, None),
            IndexChange::DeleteChat(chat) => {
                writer.delete_term(self.fields.chat_term(*chat));
                return Ok(());
            }
            IndexChange::DeleteApplication(application) => {
                writer.delete_term(self.fields.application_term(*application));
                return Ok(());
            }
        };
        let known = match versions.get(&key) {
            Some(version) => Some(*version),
            None => self.version(searcher, key)?,
        };
        if known.is_some_and(|known| known >= version) {
            return Ok(());
        }
        if known.is_some() {
            writer.delete_term(self.fields.key_term(key));
        }
        writer.add_document(match document {
            Some(message) => self.fields.message(message),
            None => self.fields.versioned(key, version),
        })?;
        versions.insert(key, version);
        Ok(())
    }

    /// Reads the version of a message in the index.
    fn version(&self, searcher: &Searcher, key: MessageKey) -> Result<Option<u64>, TantivyError> {
        let term = self.fields.key_term(key);
        let mut highest = None;
        for segment in searcher.segment_readers() {
            let index = segment.inverted_index(term.field())?;
            let Some(mut postings) = index.read_postings(&term, IndexRecordOption::Basic)? else {
                continue;
            };
            let versions = segment.fast_fields().u64(VERSION)?;
            let mut document = postings.doc();
            while document != TERMINATED {
                if !segment.is_deleted(document) {
                    highest = highest.max(versions.first(document));
                }
                document = postings.advance();
            }
        }
        Ok(highest)
    }

    /// Finds messages.
    pub(super) fn find(
        &self,
        query: &SearchQuery,
        deadline: Instant,
    ) -> Result<Vec<SearchHit>, ScanError> {
        let searcher = self.reader.searcher();
        let mut best = Best::new(query, deadline);
        for segment in searcher.segment_readers() {
            if let Some(words) = segment.fast_fields().str(WORDS)? {
                let dictionary =
                    self.dictionary(segment.segment_id(), || Dictionary::read(&words))?;
                best.scan(segment, &dictionary, &self.fields)?;
            }
        }
        self.forget_all_but(&searcher);
        Ok(best.into_hits())
    }

    fn dictionary(
        &self,
        segment: SegmentId,
        read: impl FnOnce() -> tantivy::Result<Dictionary>,
    ) -> tantivy::Result<Arc<Dictionary>> {
        if let Some(known) = self.dictionaries.get(&segment) {
            return Ok(known);
        }
        let dictionary = Arc::new(read()?);
        self.dictionaries.insert(segment, Arc::clone(&dictionary));
        Ok(dictionary)
    }

    /// Forgets the words of segments that were merged into others.
    fn forget_all_but(&self, searcher: &Searcher) {
        let segments = searcher.segment_readers().iter();
        let live: HashSet<SegmentId> = segments.map(SegmentReader::segment_id).collect();
        self.dictionaries
            .retain(|segment, _| live.contains(segment));
    }

    /// Removes the folder; searches that still read from it go on.
    pub(super) fn remove(&self) -> io::Result<()> {
        // An open writer would go on merging segments in it.
        drop(lock(&self.writer).take());
        fs::remove_dir_all(&self.folder)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
