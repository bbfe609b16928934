//! The search index: finds messages by their words.

use async_trait::async_trait;

use crate::{
    PortError,
    model::{ApplicationId, ChatKey, Generation, MessageBody, MessageKey, Timestamp},
    text::Terms,
};

/// Finds messages by the words that the core takes from their bodies.
///
/// The index is a copy: the repository is the truth, hits are read from there before they are
/// shown, and a generation of the index can be filled anew at any time while another one serves.
/// An adapter indexes [`text::tokens`](crate::text::tokens) of the body and nothing else, and finds,
/// scores and orders as [`Terms::rank`] does, so that every engine answers the same.
///
/// # Contract
///
/// Every adapter passes `chat_core::contract::search`, one test per law:
///
/// 1. `indexed_is_found`: an applied document is found by each of its words.
/// 2. `every_word_must_match`: a document that lacks one word of the query is not found.
/// 3. `nothing_outside_the_chat`: the same words in another chat or application are not found.
/// 4. `older_version_stands_back`: applying an older version, or a deletion older than the document,
///    changes nothing and counts as done.
/// 5. `deleted_is_gone`: a deleted document is not found.
/// 6. `deleted_parent_takes_all`: after the deletion of a chat or an application no document of it is
///    found, and no other is touched.
/// 7. `hits_are_paged`: paging through many hits shows each once.
/// 8. `generations_are_apart`: what one generation holds is not found until it serves.
/// 9. `missing_generation_is_an_error`: a write to a generation that is gone fails and never creates it
///    implicitly.
/// 10. `generations_are_listed`: the index tells which generations it has.
///
/// What is found:
///
/// 11. `words_are_found_by_their_parts`: by the whole word, its beginning, and inner parts of three
///     characters and more.
/// 12. `typos_are_forgiven`: one edit of any kind, two in long words, if the first letter is right.
/// 13. `spelling_does_not_matter`: case, accents, width, and the forms of Arabic letters.
/// 14. `every_script_is_searched`: scripts without spaces, emoji, digits.
/// 15. `addresses_and_code_are_found`: by their parts.
/// 16. `no_text_is_an_operator`: a query is taken as words, never as syntax; one without words is not asked.
///
/// How it is ordered:
///
/// 17. `better_matches_come_first`: by the core's rank, with its score; of equals the newest comes first.
/// 18. `pages_are_stable`: messages that come between two pages neither repeat nor hide earlier ones.
/// 19. `whole_system_is_searched`: without a chat, everything is found.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait SearchIndex: Send + Sync {
    /// Applies changes to a generation, and says for each how it ended.
    ///
    /// # Errors
    ///
    /// Fails when the backend does; applying again is harmless.
    async fn apply(
        &self,
        generation: &Generation,
        changes: &[IndexChange],
    ) -> Result<Vec<Applied>, PortError>;

    /// Finds up to `query.limit` messages after the hit `query.after`, best first.
    ///
    /// # Errors
    ///
    /// Fails when the backend does.
    async fn find(&self, query: &SearchQuery) -> Result<Vec<SearchHit>, PortError>;

    /// Makes an empty generation; harmless if it is there.
    ///
    /// # Errors
    ///
    /// Fails when the backend does.
    async fn create_generation(&self, generation: &Generation) -> Result<(), PortError>;

    /// Lets searches read this generation from now on, and no other.
    ///
    /// # Errors
    ///
    /// Fails when the backend does, or has no such generation.
    async fn serve_generation(&self, generation: &Generation) -> Result<(), PortError>;

    /// Removes a generation; harmless if it is gone.
    ///
    /// # Errors
    ///
    /// Fails when the backend does.
    async fn remove_generation(&self, generation: &Generation) -> Result<(), PortError>;

    /// Removes every generation but one, also those that this version cannot use and does not
    /// [list](Self::generations).
    ///
    /// # Errors
    ///
    /// Fails when the backend does.
    async fn remove_others(&self, kept: &Generation) -> Result<(), PortError>;

    /// Lists the numbers of the generations that this version can use, in any order.
    ///
    /// # Errors
    ///
    /// Fails when the backend does, or denies the access; a lost generation is left out and is no error.
    async fn generations(&self) -> Result<Vec<u64>, PortError>;

    /// Asks the backend for a sign of life.
    ///
    /// # Errors
    ///
    /// Fails when the backend does not answer or must not be used.
    async fn check(&self) -> Result<(), PortError>;
}

/// One change of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexChange {
    /// The message's present state.
    Put(IndexDocument),
    /// The message is gone.
    Delete {
        /// Which message.
        key: MessageKey,
        /// The version of its deletion.
        version: u64,
    },
    /// A chat is gone for good, with every message in it.
    DeleteChat(ChatKey),
    /// An application is gone for good, with every message below it.
    DeleteApplication(ApplicationId),
}

impl IndexChange {
    /// The highest version, for a deletion that no change can follow.
    pub const LAST_VERSION: u64 = i64::MAX as u64;
}

/// What the index keeps of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexDocument {
    /// Which message.
    pub key: MessageKey,
    /// Its version; of two versions the higher one wins.
    pub version: u64,
    /// What it says.
    pub body: MessageBody,
    /// When it was created: newer hits come first among equals.
    pub created_at: Timestamp,
}

/// How one change ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// The index is at this version or a later one.
    Done,
    /// There was time for only a part of it: try again at once.
    Unfinished,
    /// Try again later.
    Retry {
        /// What went wrong, for the operator.
        detail: String,
    },
    /// The index will never take it.
    Refused {
        /// What is wrong with it, for the operator.
        detail: String,
    },
}

/// What to find, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchQuery {
    /// The one chat to look in; `None` looks across the system.
    pub chat: Option<ChatKey>,
    /// The words that must all match, at least one.
    pub terms: Terms,
    /// How many hits at most.
    pub limit: usize,
    /// The last hit of the page before.
    pub after: Option<SearchHit>,
}

/// A message that the index found, before it is read from the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchHit {
    /// Which message.
    pub key: MessageKey,
    /// Its [score](crate::text::Rank::score): how well it matches, regardless of age, above 0.
    pub score: u64,
    /// When it was created.
    pub created_at: Timestamp,
}
