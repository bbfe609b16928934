//! The values of the domain, valid by construction.

mod application;
mod chat;
mod creation;
mod dead_letter;
mod epoch;
mod id;
mod idempotency;
mod job;
mod message;
mod page;
mod search;
mod sequence;
mod text;
mod time;

pub use application::{Application, ApplicationName, ApplicationToken, NewApplication};
pub use chat::{Chat, ChatKey, ChatTitle};
pub use creation::{Content, Creation, DecodeError, Draft};
pub use dead_letter::{DeadLetter, DeadLetterId, DeadLetterReason};
pub use epoch::{Admission, Epoch, EpochMark, Incarnation, Position, Shard, ShardRecord, Sighting};
pub use id::{ApplicationId, ChatNumber, MessageNumber, Number, NumberError, Uid};
pub use idempotency::{Digest, IdempotencyKey, IdempotencyKeyError, Submission};
pub use job::{Generation, GenerationState, Job, JobName, JobProgress, JobState};
pub use message::{Message, MessageBody, MessageKey, Sender};
pub use page::{Cursor, Limit, NumberRange, Order, Page};
pub use search::SearchText;
pub use sequence::Sequence;
pub use text::TextError;
pub use time::Timestamp;
