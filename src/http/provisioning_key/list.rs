use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::ProvisioningKeyDto;
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
pub struct KeysQuery {
    /// Entries per page, 1 to 500; default 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// List provisioning keys
///
/// Newest first, revoked and expired ones too. Without their secrets.
#[utoipa::path(
    get,
    path = "/api/ota/provisioning-keys",
    tag = "gateway",
    params(KeysQuery),
    responses(
        (status = 200, description = "A page", body = Envelope<PageDto<ProvisioningKeyDto>>),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn list(
    State(service): State<Arc<Service>>,
    ApiQuery(query): ApiQuery<KeysQuery>,
) -> Result<Envelope<PageDto<ProvisioningKeyDto>>, ApiError> {
    let page = service
        .provisioning_keys(
            before_cursor(query.cursor.as_deref())?,
            page_limit(query.limit)?,
        )
        .await?;
    Ok(Envelope::of(PageDto::new(
        page,
        |key| key.key_id.to_string(),
        ProvisioningKeyDto::from,
    )))
}
