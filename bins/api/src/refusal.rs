//! Refusals: problems as the document lists them, operation by operation.

use std::marker::PhantomData;

use chat_core::{
    PortError, PortErrorKind,
    ports::Overload,
    service::{ReplayError, ServiceError},
};
use poem_openapi::{
    ApiResponse,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::{Example as _, Type as _},
};
use serde_json::{Map, Value, json};

use crate::{
    body::MOST_BYTES,
    error::{PAUSE, PROBLEM_JSON, Problem, ProblemView, REQUEST_ID},
};

/// The problems that an operation documents: status and description.
pub trait Reasons: Send + Sync + 'static {
    /// Each status once.
    const ALL: &'static [(u16, &'static str)];
}

const MALFORMED: (u16, &str) = (
    400,
    "`malformed_json`: the body is not JSON, or it is empty.",
);
const UNAUTHORIZED: (u16, &str) = (401, "`unauthorized`: the admin key is missing or wrong.");
const FORBIDDEN: (u16, &str) = (
    403,
    "`forbidden`: the admin endpoints are off, or can be used only from the server's own machine.",
);
const NOT_FOUND: (u16, &str) = (
    404,
    "`not_found`: there is no such thing, or it was deleted.",
);
const TOO_LARGE: (u16, &str) = (413, "`too_large`: the body has more than 256 KiB.");
const UNSUPPORTED: (u16, &str) = (
    415,
    "`unsupported_media_type`: the body is not sent as JSON.",
);
const INVALID: (u16, &str) = (422, "`invalid`: `errors` says what is wrong.");
const INVALID_OR_REUSED: (u16, &str) = (
    422,
    "`invalid`: `errors` says what is wrong. \
     `idempotency_key_reused`: the key was used for another request.",
);
const TOO_MANY: (u16, &str) = (
    429,
    "`too_many_requests`: the application sends more requests than it may; see `Retry-After`.",
);
const INTERNAL: (u16, &str) = (500, "`internal`: the server failed.");
const UNAVAILABLE: (u16, &str) = (
    503,
    "`unavailable`: a service that the server depends on is down; see `Retry-After`.",
);
const UNAVAILABLE_OR_OVERLOADED: (u16, &str) = (
    503,
    "`unavailable`: a service that the server depends on is down. \
     `overloaded`: too much is waiting to be stored. See `Retry-After`.",
);

/// Why the metrics cannot be read.
pub struct Scraping;

impl Reasons for Scraping {
    const ALL: &'static [(u16, &'static str)] = &[INTERNAL];
}

/// Why one thing cannot be read or deleted.
pub struct Reading;

impl Reasons for Reading {
    const ALL: &'static [(u16, &'static str)] = &[NOT_FOUND, TOO_MANY, INTERNAL, UNAVAILABLE];
}

/// Why a list cannot be read.
pub struct Listing;

impl Reasons for Listing {
    const ALL: &'static [(u16, &'static str)] =
        &[NOT_FOUND, INVALID, TOO_MANY, INTERNAL, UNAVAILABLE];
}

/// Why a list for operators cannot be read.
pub struct AdminListing;

impl Reasons for AdminListing {
    const ALL: &'static [(u16, &'static str)] =
        &[UNAUTHORIZED, FORBIDDEN, INVALID, INTERNAL, UNAVAILABLE];
}

/// Why something is not told to an operator.
pub struct AdminReading;

impl Reasons for AdminReading {
    const ALL: &'static [(u16, &'static str)] = &[UNAUTHORIZED, FORBIDDEN, INTERNAL, UNAVAILABLE];
}

/// Why something is not done for an operator.
pub struct AdminActing;

impl Reasons for AdminActing {
    const ALL: &'static [(u16, &'static str)] =
        &[UNAUTHORIZED, FORBIDDEN, NOT_FOUND, INTERNAL, UNAVAILABLE];
}

/// Why a dead letter is not replayed.
pub struct AdminReplaying;

impl Reasons for AdminReplaying {
    const ALL: &'static [(u16, &'static str)] = &[
        UNAUTHORIZED,
        FORBIDDEN,
        NOT_FOUND,
        INVALID,
        INTERNAL,
        UNAVAILABLE,
    ];
}

/// Why a thing cannot be changed, or a body cannot be searched by.
pub struct Changing;

impl Reasons for Changing {
    const ALL: &'static [(u16, &'static str)] = &[
        MALFORMED,
        NOT_FOUND,
        TOO_LARGE,
        UNSUPPORTED,
        INVALID,
        TOO_MANY,
        INTERNAL,
        UNAVAILABLE,
    ];
}

/// Why an application cannot be created.
pub struct Creating;

impl Reasons for Creating {
    const ALL: &'static [(u16, &'static str)] = &[
        MALFORMED,
        TOO_LARGE,
        UNSUPPORTED,
        INVALID,
        INTERNAL,
        UNAVAILABLE,
    ];
}

/// Why a chat or a message cannot be created.
pub struct CreatingBelow;

impl Reasons for CreatingBelow {
    const ALL: &'static [(u16, &'static str)] = &[
        MALFORMED,
        NOT_FOUND,
        TOO_LARGE,
        UNSUPPORTED,
        INVALID_OR_REUSED,
        TOO_MANY,
        INTERNAL,
        UNAVAILABLE_OR_OVERLOADED,
    ];
}

/// A problem that documents itself as one of the reasons `R`.
pub struct Refusal<R>(Problem, PhantomData<R>);

impl<R> From<Problem> for Refusal<R> {
    fn from(problem: Problem) -> Self {
        Self(problem, PhantomData)
    }
}

impl<R> From<ServiceError> for Refusal<R> {
    fn from(error: ServiceError) -> Self {
        Problem::from(error).into()
    }
}

impl From<ReplayError> for Refusal<AdminReplaying> {
    fn from(error: ReplayError) -> Self {
        Problem::from(error).into()
    }
}

impl<R> From<Refusal<R>> for poem::Error {
    fn from(refusal: Refusal<R>) -> Self {
        refusal.0.into()
    }
}

impl<R: Reasons> ApiResponse for Refusal<R> {
    fn meta() -> MetaResponses {
        let response = |&(status, description): &(u16, &'static str)| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content: vec![MetaMediaType {
                content_type: PROBLEM_JSON,
                schema: ProblemView::schema_ref(),
            }],
            headers: headers(status),
        };
        MetaResponses {
            responses: R::ALL.iter().map(response).collect(),
        }
    }

    fn register(registry: &mut Registry) {
        ProblemView::register(registry);
    }
}

/// One problem of each code that the descriptions name, as it is answered, by its code.
pub(crate) fn examples() -> Map<String, Value> {
    let down = PortError::new(PortErrorKind::Unavailable, "an adapter", "do its work");
    let overloaded = ServiceError::Overloaded {
        by: Overload::Backlog,
        retry_after: PAUSE,
    };
    let problems = [
        Problem::malformed_json("the body is empty, and JSON is needed"),
        Problem::unauthorized(),
        Problem::forbidden(),
        Problem::not_found(),
        Problem::too_large(MOST_BYTES),
        Problem::unsupported_media_type(),
        ServiceError::KeyReused.into(),
        Problem::too_many_requests(PAUSE),
        Problem::internal(),
        ServiceError::Port(down).into(),
        overloaded.into(),
    ];
    let views = problems.iter().map(|problem| problem.view(REQUEST_ID));
    views
        .chain([ProblemView::example()])
        .map(|view| (view.code.clone(), json!({ "value": view })))
        .collect()
}

/// The headers that come with a problem of this status.
fn headers(status: u16) -> Vec<MetaHeader> {
    let header = |name: &str, description: &str, schema| MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: true,
        deprecated: false,
        schema,
    };
    match status {
        401 => {
            let description = "The authentication scheme to use.";
            vec![header(
                "WWW-Authenticate",
                description,
                String::schema_ref(),
            )]
        }
        429 | 503 => {
            let description = "How many seconds to wait before trying again.";
            vec![header("Retry-After", description, u64::schema_ref())]
        }
        _ => Vec::new(),
    }
}
