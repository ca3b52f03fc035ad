use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

/// Every success under `/api`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Envelope<T> {
    /// Always true.
    pub status: bool,
    #[schema(examples("Success"))]
    pub message: String,
    pub data: T,
}

/// Every failure.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorEnvelope {
    /// Always false.
    pub status: bool,
    /// What is wrong and what to do.
    pub message: String,
    /// A stable word for programs.
    #[schema(examples("firmware_not_found"))]
    pub code: String,
    /// Always null.
    #[schema(value_type = Option<Object>)]
    pub data: (),
}

/// Some of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PageDto<T> {
    pub items: Vec<T>,
    /// `cursor` of the next page; null on the last.
    pub next_cursor: Option<String>,
}

impl<T> Envelope<T> {
    pub fn of(data: T) -> Self {
        Envelope {
            status: true,
            message: "Success".to_owned(),
            data,
        }
    }
}

impl<T: Serialize> IntoResponse for Envelope<T> {
    fn into_response(self) -> Response {
        (StatusCode::OK, Json(self)).into_response()
    }
}
