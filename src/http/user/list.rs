use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::UserDto;
use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope, PageDto},
        error::ApiError,
        extract::{ApiQuery, before_cursor, page_limit},
    },
    service::Service,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Entries per page, 1 to 500; default 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// List users
///
/// Newest first.
#[utoipa::path(
    get,
    path = "/api/ota/users",
    tag = "access",
    params(ListQuery),
    responses(
        (status = 200, description = "The users", body = Envelope<PageDto<UserDto>>),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn list(
    State(service): State<Arc<Service>>,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Envelope<PageDto<UserDto>>, ApiError> {
    let page = service
        .users(
            before_cursor(query.cursor.as_deref())?,
            page_limit(query.limit)?,
        )
        .await?;
    Ok(Envelope::of(PageDto::new(
        page,
        |user| user.user_id.to_string(),
        UserDto::from,
    )))
}
