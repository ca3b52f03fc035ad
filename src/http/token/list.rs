use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::TokenDto;
use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope, PageDto},
        error::ApiError,
        extract::{ApiQuery, before_cursor, page_limit},
    },
    service::{Service, TokenFilter},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Also those that were revoked.
    #[serde(default)]
    revoked: bool,
    /// Entries per page, 1 to 500; default 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// List tokens
///
/// Of people and machines, newest first. Expired ones stay in the list until they are revoked.
#[utoipa::path(
    get,
    path = "/api/ota/tokens",
    tag = "access",
    params(ListQuery),
    responses(
        (status = 200, description = "The tokens", body = Envelope<PageDto<TokenDto>>),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn list(
    State(service): State<Arc<Service>>,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Envelope<PageDto<TokenDto>>, ApiError> {
    let page = service
        .tokens(TokenFilter {
            revoked: query.revoked,
            before: before_cursor(query.cursor.as_deref())?,
            limit: page_limit(query.limit)?,
        })
        .await?;
    let now = service.now();
    Ok(Envelope::of(PageDto::new(
        page,
        |token| token.token_id.to_string(),
        |token| TokenDto::new(token, now),
    )))
}
