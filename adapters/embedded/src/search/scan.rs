//! The scan: every message of the chat is ranked by the numbers of its words.

use std::{cmp::Reverse, collections::BinaryHeap, time::Instant};

use chat_core::{
    model::{ApplicationId, MessageKey, Number, Timestamp},
    ports::{SearchHit, SearchQuery},
    text::Ranking,
};
use tantivy::{
    DocId, DocSet as _, SegmentReader, TERMINATED, columnar::Column, schema::IndexRecordOption,
};

use super::{
    dictionary::{Dictionary, Judged},
    schema::{APPLICATION, CHAT_NUMBER, CREATED_AT, Fields, NUMBER, WORDS},
};

/// How many messages are ranked between two looks at the clock.
const LOOK: usize = 256;

/// What hits are sorted by, score, time of creation and key; the highest comes first.
type Place = (u64, i64, u64, u64, u64);

/// The best hits so far.
pub(super) struct Best<'a> {
    query: &'a SearchQuery,
    after: Option<Place>,
    places: BinaryHeap<Reverse<Place>>,
    deadline: Instant,
    looked: usize,
}

/// The time for a search is up.
#[derive(Debug, thiserror::Error)]
#[error("the search took too long")]
pub(super) struct TooSlow;

impl<'a> Best<'a> {
    pub(super) fn new(query: &'a SearchQuery, deadline: Instant) -> Self {
        Self {
            query,
            after: query.after.as_ref().map(place),
            places: BinaryHeap::new(),
            deadline,
            looked: 0,
        }
    }

    /// Ranks the messages of a segment.
    pub(super) fn scan(
        &mut self,
        segment: &SegmentReader,
        dictionary: &Dictionary,
        fields: &Fields,
    ) -> Result<(), ScanError> {
        let Some(columns) = Columns::of(segment)? else {
            return Ok(());
        };
        let mut scan = Scan {
            ranking: Ranking::new(&self.query.terms),
            judged: Judged::new(dictionary, &self.query.terms),
            columns,
            words: Vec::new(),
        };
        let Some(chat) = self.query.chat else {
            for document in segment.doc_ids_alive() {
                self.look(&mut scan, document)?;
            }
            return Ok(());
        };
        let term = fields.chat_term(chat);
        let index = segment.inverted_index(term.field())?;
        let Some(mut postings) = index.read_postings(&term, IndexRecordOption::Basic)? else {
            return Ok(());
        };
        let mut document = postings.doc();
        while document != TERMINATED {
            if !segment.is_deleted(document) {
                self.look(&mut scan, document)?;
            }
            document = postings.advance();
        }
        Ok(())
    }

    fn look(&mut self, scan: &mut Scan<'_>, document: DocId) -> Result<(), TooSlow> {
        self.looked += 1;
        if self.looked.is_multiple_of(LOOK) && Instant::now() > self.deadline {
            return Err(TooSlow);
        }
        let Some(score) = scan.score(document) else {
            return Ok(());
        };
        // Most hits of a large chat are out by their score alone, and their other columns need not be
        // read.
        let is_full = self.places.len() >= self.query.limit;
        if is_full
            && self
                .places
                .peek()
                .is_some_and(|Reverse(worst)| worst.0 > score)
        {
            return Ok(());
        }
        let place = scan.columns.place(document, score);
        if self.after.is_none_or(|after| place < after) {
            self.places.push(Reverse(place));
            if self.places.len() > self.query.limit {
                self.places.pop();
            }
        }
        Ok(())
    }

    /// The hits, the best first.
    pub(super) fn into_hits(self) -> Vec<SearchHit> {
        let places = self.places.into_sorted_vec();
        places
            .into_iter()
            .filter_map(|Reverse(place)| hit(place))
            .collect()
    }
}

/// Why a segment was not searched to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum ScanError {
    #[error(transparent)]
    TooSlow(#[from] TooSlow),
    #[error(transparent)]
    Index(#[from] tantivy::TantivyError),
    #[error(transparent)]
    Read(#[from] std::io::Error),
}

struct Scan<'a> {
    ranking: Ranking<'a>,
    judged: Judged<'a>,
    columns: Columns,
    /// The words of one message.
    words: Vec<u64>,
}

impl Scan<'_> {
    fn score(&mut self, document: DocId) -> Option<u64> {
        // The first word advances to position 0.
        let mut position = usize::MAX;
        let words = self.columns.words.index.value_row_ids(document);
        self.words.resize(words.len(), 0);
        let values = &self.columns.words.values;
        values.get_range(words.start.into(), &mut self.words);
        for word in &self.words {
            let (advances, matched) = self.judged.judge(*word);
            position = position.wrapping_add(usize::from(advances));
            if let Some(matched) = matched {
                self.ranking.note(position, matched);
            }
        }
        Some(self.ranking.finish()?.score())
    }
}

/// What is read of each message.
struct Columns {
    words: Column<u64>,
    created_at: Column<i64>,
    application: Column<u64>,
    chat_number: Column<u64>,
    number: Column<u64>,
}

impl Columns {
    /// Opens the columns; `None` where no message of the segment has a word.
    fn of(segment: &SegmentReader) -> tantivy::Result<Option<Self>> {
        let columns = segment.fast_fields();
        let Some(words) = columns.str(WORDS)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            words: words.ords().clone(),
            created_at: columns.i64(CREATED_AT)?,
            application: columns.u64(APPLICATION)?,
            chat_number: columns.u64(CHAT_NUMBER)?,
            number: columns.u64(NUMBER)?,
        }))
    }

    fn place(&self, document: DocId, score: u64) -> Place {
        let first = |column: &Column<u64>| column.first(document).unwrap_or_default();
        (
            score,
            self.created_at.first(document).unwrap_or_default(),
            first(&self.application),
            first(&self.chat_number),
            first(&self.number),
        )
    }
}

fn place(hit: &SearchHit) -> Place {
    let MessageKey {
        application,
        chat,
        message,
    } = hit.key;
    (
        hit.score,
        hit.created_at.as_micros(),
        application.get(),
        chat.get(),
        message.get(),
    )
}

fn hit((score, created_at, application, chat, message): Place) -> Option<SearchHit> {
    Some(SearchHit {
        key: MessageKey {
            application: ApplicationId::new(application),
            chat: Number::try_new(chat).ok()?.into(),
            message: Number::try_new(message).ok()?.into(),
        },
        score,
        created_at: Timestamp::from_micros(created_at),
    })
}
