//! Problems: what is answered where a request is not served (RFC 9457).

use std::{borrow::Cow, time::Duration};

use chat_core::{
    PortError,
    ports::Overload,
    service::{ReplayError, ServiceError},
};
use poem::{
    Body, IntoResponse, Response,
    error::ResponseError,
    http::{
        HeaderValue, StatusCode,
        header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
};
use poem_openapi::{Object, types::Example};
use serde::Serialize;

/// The content type of every problem.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// What a cursor must be, whatever it is a cursor of.
pub(crate) const FROM_NEXT: &str = "must be taken from `next`";

/// The request's id in examples.
pub(crate) const REQUEST_ID: &str = "8c5a1d1b4e0f4c0e9d7f0a4b1c2d3e4f";

/// The pause that is asked for where a backend does not say how long it needs.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// What went wrong, by its stable name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// No such route or thing.
    NotFound,
    /// The route does not take the method.
    MethodNotAllowed,
    /// The admin key is missing or wrong.
    Unauthorized,
    /// Admin endpoints are off.
    Forbidden,
    /// The body is not announced as JSON.
    UnsupportedMediaType,
    /// The body is too large.
    TooLarge,
    /// The body is not JSON.
    MalformedJson,
    /// Fields, parameters or headers are at fault.
    Invalid,
    /// The idempotency key was used for another request.
    IdempotencyKeyReused,
    /// The application sends more requests than it may.
    TooManyRequests,
    /// A service that the system depends on is down.
    Unavailable,
    /// Too much is waiting to be stored.
    Overloaded,
    /// A bug.
    Internal,
}

impl Code {
    /// The status, the stable name, and the title.
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "Not found"),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Method not allowed",
            ),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "Forbidden"),
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "Unsupported media type",
            ),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "Too large"),
            Self::MalformedJson => (StatusCode::BAD_REQUEST, "malformed_json", "Malformed JSON"),
            Self::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "Invalid"),
            Self::IdempotencyKeyReused => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "Idempotency key reused",
            ),
            Self::TooManyRequests => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "Too many requests",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "Unavailable",
            ),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Overloaded"),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Internal error",
            ),
        }
    }
}

/// A field, parameter or header that is at fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Object)]
pub struct Fault {
    /// The name of the field, parameter or header.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl Fault {
    /// Says what is wrong with `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// Why a request is not served.
///
/// It becomes an answer at the [edge](crate::edge), which knows the request's id.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    faults: Vec<Fault>,
    allow: Option<HeaderValue>,
    retry_after: Option<Duration>,
    #[source]
    cause: Option<Box<PortError>>,
}

impl Problem {
    fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = detail.into();
        Self {
            code,
            detail,
            faults: Vec::new(),
            allow: None,
            retry_after: None,
            cause: None,
        }
    }

    /// There is no such route or thing; the same words for both, so that nothing can be guessed.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "there is nothing here")
    }

    /// The route takes other methods.
    #[must_use]
    pub fn method_not_allowed(allow: HeaderValue) -> Self {
        let detail = "this route takes the methods that the Allow header lists";
        Self {
            allow: Some(allow),
            ..Self::new(Code::MethodNotAllowed, detail)
        }
    }

    /// The admin key is missing or wrong.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(
            Code::Unauthorized,
            "this needs the admin key as `Authorization: Bearer`",
        )
    }

    /// Admin endpoints are off.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::new(
            Code::Forbidden,
            "the admin endpoints of this server are off",
        )
    }

    /// Admin endpoints are for this machine alone.
    #[must_use]
    pub fn not_local() -> Self {
        Self::new(
            Code::Forbidden,
            "without a key, the admin endpoints of this server can be used only from its own machine, as \
             `localhost` or `127.0.0.1` and through no proxy: start it with CHAT_ADMIN_KEY, or with \
             CHAT_ADMIN=open",
        )
    }

    /// The body is not announced as JSON.
    #[must_use]
    pub fn unsupported_media_type() -> Self {
        let detail =
            "the body must be sent as `Content-Type: application/json`, not encoded further";
        Self::new(Code::UnsupportedMediaType, detail)
    }

    /// The body has more than `most` bytes.
    #[must_use]
    pub fn too_large(most: usize) -> Self {
        Self::new(
            Code::TooLarge,
            format!("the body must have at most {most} bytes"),
        )
    }

    /// The body is not JSON.
    #[must_use]
    pub fn malformed_json(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::MalformedJson, detail)
    }

    /// The body is JSON, but not of the right kind as a whole.
    #[must_use]
    pub fn invalid_body(detail: &'static str) -> Self {
        Self::new(Code::Invalid, detail)
    }

    /// These fields, parameters or headers are at fault.
    #[must_use]
    pub fn invalid(faults: Vec<Fault>) -> Self {
        Self {
            faults,
            ..Self::new(Code::Invalid, "the request is not valid; `errors` says why")
        }
    }

    /// The application sends more requests than it may; it may go on after a pause.
    #[must_use]
    pub fn too_many_requests(pause: Duration) -> Self {
        let detail = "this application sends more requests than the operator of this server allows";
        Self {
            retry_after: Some(pause),
            ..Self::new(Code::TooManyRequests, detail)
        }
    }

    /// Something is wrong with the program.
    #[must_use]
    pub fn internal() -> Self {
        let detail = "the server failed; its log has the cause under this request id";
        Self::new(Code::Internal, detail)
    }

    /// What went wrong, by its stable name.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// Turns "not found" into a fault of `cursor`, for lists in which nothing else can be unknown.
    #[must_use]
    pub fn of_cursor(self) -> Self {
        match self.code {
            Code::NotFound => Self::invalid(vec![Fault::new("cursor", FROM_NEXT)]),
            _ => self,
        }
    }

    /// Explains "unavailable" for a rebuild of the search index, and leaves other problems alone.
    #[must_use]
    pub fn of_rebuild(self) -> Self {
        match self.code {
            Code::Unavailable => Self {
                detail:
                    "the search index or the database cannot be used now, or this system has no \
                         search index; no rebuild was begun"
                        .into(),
                ..self
            },
            _ => self,
        }
    }

    /// The body of the answer to the request of this id.
    pub(crate) fn view(&self, request_id: &str) -> ProblemView {
        let (status, code, title) = self.code.parts();
        ProblemView {
            kind: "about:blank".into(),
            title: title.into(),
            status: status.as_u16(),
            detail: self.detail.clone().into_owned(),
            code: code.into(),
            request_id: request_id.into(),
            errors: (!self.faults.is_empty()).then(|| self.faults.clone()),
        }
    }

    /// The answer to the request of this id.
    pub(crate) fn answer(&self, request_id: &str) -> Response {
        let view = self.view(request_id);
        let body = serde_json::to_vec(&view).expect("a struct of texts is always JSON");
        let mut response = Body::from(body).into_response();
        response.set_status(self.status());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(allow) = &self.allow {
            headers.insert(ALLOW, allow.clone());
        }
        if let Some(pause) = self.retry_after {
            let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if self.code == Code::Unauthorized {
            headers.insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"admin\""),
            );
        }
        response
    }
}

impl From<ReplayError> for Problem {
    fn from(error: ReplayError) -> Self {
        let fault = match error {
            ReplayError::NeedsForce => Fault::new(
                "force",
                "must be true: the letter is too old to be replayed without it",
            ),
            ReplayError::Unreadable => Fault::new(
                "id",
                "names a letter that this version cannot read; replay it by the version that wrote it, or \
                 drop it",
            ),
            ReplayError::Service(error) => return error.into(),
        };
        Self::invalid(vec![fault])
    }
}

/// The one place where a service's outcome becomes a problem.
impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::NotFound => Self::not_found(),
            ServiceError::KeyReused => {
                let detail = "the idempotency key was used for another request";
                let fault = Fault::new("Idempotency-Key", "was used for another request");
                Self {
                    faults: vec![fault],
                    ..Self::new(Code::IdempotencyKeyReused, detail)
                }
            }
            ServiceError::Overloaded { by, retry_after } => {
                let detail = match by {
                    Overload::Backlog => "too much is waiting to be stored; nothing was created",
                    Overload::Sequence => {
                        "too much of this chat or application is waiting to be stored; nothing was \
                         created"
                    }
                    Overload::Keys => {
                        "too many idempotency keys of the last day are kept; nothing was created, and a \
                         create without a key still works"
                    }
                };
                let problem = Self::new(Code::Overloaded, detail);
                Self {
                    retry_after: Some(retry_after),
                    ..problem
                }
            }
            ServiceError::Port(error) if error.is_retryable() => {
                let detail = "a service that this server depends on is down; the request may have taken effect, \
                              so repeat a create with the same Idempotency-Key";
                let problem = Self::new(Code::Unavailable, detail);
                Self {
                    retry_after: Some(PAUSE),
                    cause: Some(Box::new(error)),
                    ..problem
                }
            }
            ServiceError::Port(error) => Self {
                cause: Some(Box::new(error)),
                ..Self::internal()
            },
        }
    }
}

impl ResponseError for Problem {
    fn status(&self) -> StatusCode {
        self.code.parts().0
    }
}

/// A problem as it is answered.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "Problem", example)]
pub(crate) struct ProblemView {
    /// Always `about:blank`; `code` tells problems apart.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    kind: String,
    /// The kind of problem, for people.
    title: String,
    /// The status code, repeated.
    status: u16,
    /// What is wrong with this request, for people.
    detail: String,
    /// The kind of problem, for programs; each operation lists its own, and more may be added.
    pub(crate) code: String,
    /// The id under which the server's log knows the request.
    request_id: String,
    /// The fields, parameters and headers that are at fault.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<Fault>>,
}

impl Example for ProblemView {
    fn example() -> Self {
        let fault = Fault::new("body", "must not be blank");
        Problem::invalid(vec![fault]).view(REQUEST_ID)
    }
}
