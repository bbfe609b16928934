//! Creations as AMQP messages, and back.
//!
//! The body is what [`Draft::encode`] writes; the number, the epoch and whether it is forced are headers.

use chat_core::{
    model::{Creation, DecodeError, Draft, Epoch, Number},
    ports::Entry,
};
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};

const NUMBER: &str = "number";
const EPOCH: &str = "epoch";
const FORCED: &str = "forced";

/// How often a quorum queue has delivered an entry before.
const DELIVERY_COUNT: &str = "x-delivery-count";

/// The delivery mode of messages that are kept on disk.
const PERSISTENT: u8 = 2;

/// The properties of a creation that is published.
pub(crate) fn properties(creation: &Creation, forced: bool) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert(NUMBER.into(), signed(creation.number.get()));
    headers.insert(EPOCH.into(), signed(creation.epoch.get()));
    if forced {
        headers.insert(FORCED.into(), AMQPValue::Boolean(true));
    }
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(creation.draft.uid.to_string().into())
        .with_headers(headers)
}

/// What to hand to a worker: a creation, or an unreadable entry.
pub(crate) fn entry(properties: &BasicProperties, body: Vec<u8>) -> Entry {
    let number = header(properties, NUMBER).and_then(|it| Number::try_new(it).ok());
    let epoch = header(properties, EPOCH).map(Epoch::new);
    let unreadable = |payload, detail, newer| Entry::Unreadable {
        number,
        epoch: epoch.unwrap_or_default(),
        payload,
        detail,
        newer,
    };
    let (Some(known_number), Some(known_epoch)) = (number, epoch) else {
        let detail = "the entry lacks a number or an epoch".to_owned();
        return unreadable(body, detail, false);
    };
    match Draft::decode(&body) {
        Ok(draft) => Entry::Creation(Creation {
            number: known_number,
            epoch: known_epoch,
            draft,
        }),
        Err(error) => {
            let newer = matches!(error, DecodeError::Newer(_));
            unreadable(body, error.to_string(), newer)
        }
    }
}

/// Says whether an operator wants it stored although it is old.
pub(crate) fn is_forced(properties: &BasicProperties) -> bool {
    matches!(value(properties, FORCED), Some(AMQPValue::Boolean(true)))
}

/// How often it was delivered before, if the broker tells.
pub(crate) fn earlier_deliveries(properties: &BasicProperties) -> Option<u32> {
    let count = header(properties, DELIVERY_COUNT)?;
    Some(u32::try_from(count).unwrap_or(u32::MAX))
}

fn value<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a AMQPValue> {
    properties.headers().as_ref()?.inner().get(name)
}

/// A header that is a whole number, in whichever width it was written.
fn header(properties: &BasicProperties, name: &str) -> Option<u64> {
    let value = match value(properties, name)? {
        AMQPValue::ShortShortInt(value) => i64::from(*value),
        AMQPValue::ShortShortUInt(value) => i64::from(*value),
        AMQPValue::ShortInt(value) => i64::from(*value),
        AMQPValue::ShortUInt(value) => i64::from(*value),
        AMQPValue::LongInt(value) => i64::from(*value),
        AMQPValue::LongUInt(value) => i64::from(*value),
        AMQPValue::LongLongInt(value) => *value,
        _ => return None,
    };
    u64::try_from(value).ok()
}

/// AMQP tables have no unsigned 64-bit numbers; ours are far below where that matters.
fn signed(value: u64) -> AMQPValue {
    AMQPValue::LongLongInt(i64::try_from(value).unwrap_or(i64::MAX))
}
