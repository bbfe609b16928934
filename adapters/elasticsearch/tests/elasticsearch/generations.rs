//! Generations: ours are looked after, others' are left alone.

use std::time::Duration;

use chat_core::{
    PortErrorKind,
    model::{Generation, GenerationState},
    ports::{Applied, IndexChange, SearchIndex as _},
};
use serde_json::json;

use crate::{
    fresh::FreshIndex,
    shelf::{SERVING, ask, key, put, query},
    stub::{Stub, refusal},
};

const FOREIGN: &str = r#"{"mappings": {"properties": {"name": {"type": "keyword"}}}}"#;

#[tokio::test]
async fn an_index_that_is_not_ours_is_neither_used_nor_removed() {
    let Some(fresh) = FreshIndex::name() else {
        return;
    };
    let url = &fresh.config.url;
    let name = format!("{}index-1", fresh.config.prefix);
    ask(url, "PUT", &name, FOREIGN);
    ask(
        url,
        "PUT",
        &format!("{name}/_doc/1?refresh=true"),
        r#"{"name": "kept"}"#,
    );
    let index = fresh.open();
    let created = index.create_generation(&SERVING).await.unwrap_err();
    assert_eq!(created.kind, PortErrorKind::Misconfigured);
    let removed = index.remove_generation(&SERVING).await.unwrap_err();
    assert_eq!(removed.kind, PortErrorKind::Misconfigured);
    assert!(index.serve_generation(&SERVING).await.is_err());

    // The same holds where it has our alias.
    let alias = format!("{}generation-1", fresh.config.prefix);
    ask(url, "PUT", &format!("{name}/_alias/{alias}"), "");
    for _ in 0..2 {
        let applied = index
            .apply(&SERVING, &[put(1, 1, "body")])
            .await
            .unwrap_err();
        assert_eq!(applied.kind, PortErrorKind::Misconfigured);
    }
    assert!(index.serve_generation(&SERVING).await.is_err());
    assert!(index.generations().await.unwrap().is_empty());
    let kept = ask(url, "GET", &format!("{name}/_search"), "");
    assert!(kept.contains("kept"), "{kept}");
    let mapping = ask(url, "GET", &format!("{name}/_mapping"), "");
    assert!(!mapping.contains("tokens"), "{mapping}");
}

#[tokio::test]
async fn an_index_that_took_the_place_of_ours_takes_no_blame_to_the_messages() {
    let Some(fresh) = FreshIndex::name() else {
        return;
    };
    let index = fresh.open();
    index.create_generation(&SERVING).await.unwrap();
    index.serve_generation(&SERVING).await.unwrap();
    index.apply(&SERVING, &[put(1, 1, "body")]).await.unwrap();
    let (url, prefix) = (&fresh.config.url, &fresh.config.prefix);
    ask(url, "DELETE", &format!("{prefix}index-1"), "");
    let taken = format!(
        r#"{{"aliases": {{"{prefix}generation-1": {{}}}}, "mappings": {{"dynamic": "strict"}}}}"#
    );
    ask(url, "PUT", &format!("{prefix}index-1"), &taken);
    let applied = index
        .apply(&SERVING, &[put(2, 1, "body")])
        .await
        .unwrap_err();
    assert_eq!(applied.kind, PortErrorKind::Misconfigured);
}

#[tokio::test]
async fn an_index_of_another_version_is_as_good_as_lost() {
    let Some(fresh) = FreshIndex::name() else {
        return;
    };
    let prefix = &fresh.config.prefix;
    let old = format!(
        r#"{{"aliases": {{"{prefix}generation-1": {{}}}},
            "mappings": {{"_meta": {{"made_by": "chat-adapter-elasticsearch", "schema": 0}}}}}}"#
    );
    ask(&fresh.config.url, "PUT", &format!("{prefix}index-1"), &old);
    let index = fresh.open();
    assert!(index.generations().await.unwrap().is_empty());
    assert!(index.apply(&SERVING, &[put(1, 1, "body")]).await.is_err());
    // Even so it may be removed, since this system made it.
    index.remove_generation(&SERVING).await.unwrap();
    index.create_generation(&SERVING).await.unwrap();
    assert_eq!(index.generations().await.unwrap(), [1]);
}

#[tokio::test]
async fn an_index_with_a_field_more_is_as_good_as_lost_and_goes_with_the_rest() {
    let Some(fresh) = FreshIndex::name() else {
        return;
    };
    let index = fresh.open();
    let next = Generation {
        number: 2,
        state: GenerationState::Serving,
    };
    for generation in [SERVING, next] {
        index.create_generation(&generation).await.unwrap();
    }
    let (url, prefix) = (&fresh.config.url, &fresh.config.prefix);
    let field = r#"{"properties": {"more": {"type": "keyword"}}}"#;
    ask(url, "PUT", &format!("{prefix}index-1/_mapping"), field);
    assert_eq!(index.generations().await.unwrap(), [2]);
    let foreign = format!(r#"{{"aliases": {{"{prefix}generation-3": {{}}}}}}"#);
    ask(url, "PUT", &format!("{prefix}index-3"), &foreign);
    index.remove_others(&next).await.unwrap();
    let left = ask(
        url,
        "GET",
        &format!("_cat/indices/{prefix}*?h=index&s=index"),
        "",
    );
    let left: Vec<&str> = left.split_whitespace().collect();
    assert_eq!(
        left,
        [format!("{prefix}index-2"), format!("{prefix}index-3")]
    );
}

/// Without privileges a pattern matches nothing instead of being refused.
#[tokio::test]
async fn what_may_not_be_seen_is_not_lost() {
    let stub = Stub::start(|asked| {
        Some(if asked.line.contains("generation-") {
            (200, json!({}))
        } else {
            refusal(403, "security_exception")
        })
    })
    .await;
    let error = stub.index().generations().await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Misconfigured);
    let stub = Stub::start(|asked| {
        Some(if asked.line.contains("generation-") {
            (200, json!({}))
        } else {
            refusal(404, "index_not_found_exception")
        })
    })
    .await;
    assert!(stub.index().generations().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_deleted_index_is_noticed_and_not_made_anew_by_a_write() {
    let Some(fresh) = FreshIndex::name() else {
        return;
    };
    let index = fresh.open();
    index.create_generation(&SERVING).await.unwrap();
    index.serve_generation(&SERVING).await.unwrap();
    let applied = index.apply(&SERVING, &[put(1, 1, "body")]).await.unwrap();
    assert_eq!(applied, [Applied::Done]);
    let (url, prefix) = (&fresh.config.url, &fresh.config.prefix);
    ask(url, "DELETE", &format!("{prefix}index-1"), "");
    for _ in 0..2 {
        let error = index
            .apply(&SERVING, &[put(2, 1, "body")])
            .await
            .unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Unavailable);
    }
    assert!(index.find(&query("body")).await.is_err());
    assert!(index.check().await.is_err());
    assert!(index.generations().await.unwrap().is_empty());
    let left = ask(url, "GET", &format!("_cat/indices/{prefix}*"), "");
    assert_eq!(left, "");
}

#[tokio::test]
async fn what_serves_is_changed_at_once() {
    let Some(mut fresh) = FreshIndex::name() else {
        return;
    };
    // Documents written while it was filled must not wait this long once it serves.
    fresh.config.refresh = Duration::from_mins(10);
    let index = fresh.open();
    let generations = [1, 2].map(|number| Generation {
        number,
        state: GenerationState::Building,
    });
    let changes = [put(1, 1, "body"), put(2, 1, "body")];
    for (generation, changes) in generations.iter().zip([&changes[..1], &changes]) {
        index.create_generation(generation).await.unwrap();
        index.apply(generation, changes).await.unwrap();
        index.serve_generation(generation).await.unwrap();
        let found = index.find(&query("body")).await.unwrap();
        assert_eq!(found.len(), changes.len());
    }
    index.serve_generation(&generations[0]).await.unwrap();
    assert_eq!(index.find(&query("body")).await.unwrap().len(), 1);
    index.check().await.unwrap();
}

#[tokio::test]
async fn what_is_gone_for_good_stays_gone() {
    let Some(fresh) = FreshIndex::name() else {
        return;
    };
    let index = fresh.open();
    index.create_generation(&SERVING).await.unwrap();
    index.serve_generation(&SERVING).await.unwrap();
    let end = |number| IndexChange::Delete {
        key: key(number),
        version: IndexChange::LAST_VERSION,
    };
    // Number 2 was never there.
    let changes = [
        put(1, 1, "body"),
        end(1),
        end(2),
        put(1, 7, "body"),
        put(2, 7, "body"),
    ];
    let applied = index.apply(&SERVING, &changes).await.unwrap();
    assert_eq!(applied, vec![Applied::Done; 5]);
    assert!(index.find(&query("body")).await.unwrap().is_empty());
}
