use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::GatewayTokenDto;
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
pub struct TokensQuery {
    /// Entries per page, 1 to 500; default 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// List the tokens of all gateways
///
/// Newest first, ended ones too. Without their secrets.
#[utoipa::path(
    get,
    path = "/api/ota/gateways/tokens",
    tag = "gateway",
    params(TokensQuery),
    responses(
        (status = 200, description = "A page", body = Envelope<PageDto<GatewayTokenDto>>),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn list_all(
    State(service): State<Arc<Service>>,
    ApiQuery(query): ApiQuery<TokensQuery>,
) -> Result<Envelope<PageDto<GatewayTokenDto>>, ApiError> {
    let page = service
        .all_gateway_tokens(
            before_cursor(query.cursor.as_deref())?,
            page_limit(query.limit)?,
        )
        .await?;
    Ok(Envelope::of(PageDto::new(
        page,
        |token| token.token_id.to_string(),
        GatewayTokenDto::from,
    )))
}
