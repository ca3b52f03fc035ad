use axum::{
    Json,
    http::{
        HeaderValue, StatusCode,
        header::{RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};

use super::envelope::ErrorEnvelope;
use crate::service::{self, Trouble};

/// When to ask again if a part of the server does not answer, in seconds.
const UNAVAILABLE_RETRY_SECONDS: u64 = 5;

/// A failure on its way to the client.
#[derive(Debug)]
pub struct ApiError {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
    /// Sent as `Retry-After`.
    pub retry_after_seconds: Option<u64>,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        ApiError {
            status,
            code,
            message: message.into(),
            retry_after_seconds: None,
        }
    }

    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// The one for what should not have happened; the log knows more than the client is told.
    pub fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the server failed at this; its log says why",
        )
    }

    fn unavailable(error: &dyn std::fmt::Display, what: &str) -> Self {
        tracing::warn!(%error, "request could not be served");
        let reason = format!("the {what} does not answer right now");
        Self::try_again("unavailable", &reason, UNAVAILABLE_RETRY_SECONDS)
    }

    /// A 503: the same request may succeed after so many seconds.
    fn try_again(code: &'static str, reason: &str, seconds: u64) -> Self {
        ApiError {
            retry_after_seconds: Some(seconds),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                code,
                format!("{reason}: try again in {seconds} s"),
            )
        }
    }
}

impl From<service::Error> for ApiError {
    fn from(error: service::Error) -> Self {
        match error.trouble() {
            Trouble::Invalid(code) => Self::bad_request(code, error.to_string()),
            Trouble::NotFound(code) => Self::new(StatusCode::NOT_FOUND, code, error.to_string()),
            Trouble::Conflict(code) => Self::new(StatusCode::CONFLICT, code, error.to_string()),
            Trouble::Busy(code) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, code, error.to_string())
            }
            Trouble::Unauthenticated(code) => {
                Self::new(StatusCode::UNAUTHORIZED, code, error.to_string())
            }
            Trouble::Forbidden(code) => Self::new(StatusCode::FORBIDDEN, code, error.to_string()),
            Trouble::TooMany {
                code,
                retry_after_seconds,
            } => ApiError {
                retry_after_seconds: Some(retry_after_seconds),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, code, error.to_string())
            },
            Trouble::Oversized(code) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, code, error.to_string())
            }
            Trouble::TooLarge { limit } => Self::too_large("file", limit),
            Trouble::Full => {
                tracing::error!(%error, "upload refused");
                Self::new(
                    StatusCode::INSUFFICIENT_STORAGE,
                    "storage_full",
                    "the server has no space left for files: free some and upload again",
                )
            }
            Trouble::Unavailable(part) => Self::unavailable(&error, part),
            Trouble::OverBudget(refusal) => Self::try_again(
                "download_budget",
                &error.to_string(),
                refusal.retry_after_seconds(rand::random()),
            ),
            Trouble::Internal => Self::internal(&error),
        }
    }
}

impl ApiError {
    pub fn too_large(what: &str, limit_bytes: u64) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            format!("the {what} is larger than the limit of {limit_bytes} bytes"),
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Json(ErrorEnvelope {
            status: false,
            message: self.message,
            code: self.code.to_owned(),
            data: (),
        });
        let mut response = (self.status, body).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_seconds {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
