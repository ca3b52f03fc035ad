use axum::{
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::ApiError;
use crate::service::Page;

/// Room for what is answered most often, a task.
const TEXT_BYTES: usize = 1024;

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

/// Always null: there is nothing to say.
#[derive(Debug, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Option<Object>)]
pub struct Nothing(pub ());

/// Some of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PageDto<T> {
    pub items: Vec<T>,
    /// `cursor` of the next page; null on the last.
    pub next_cursor: Option<String>,
}

impl<D> PageDto<D> {
    /// A page whose next one begins after the item that `cursor` names.
    pub fn new<T>(page: Page<T>, cursor: impl Fn(&T) -> String, dto: impl Fn(T) -> D) -> Self {
        let last = page.items.last().map(cursor);
        PageDto {
            next_cursor: last.filter(|_| page.more),
            items: page.items.into_iter().map(dto).collect(),
        }
    }
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
        let mut text = Vec::with_capacity(TEXT_BYTES);
        match serde_json::to_writer(&mut text, &self) {
            Ok(()) => ([(CONTENT_TYPE, "application/json")], text).into_response(),
            Err(error) => ApiError::internal(&error).into_response(),
        }
    }
}
