use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{AuditLineDto, AuditQuery};
use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope, PageDto},
        error::ApiError,
        extract::{ApiQuery, page_limit},
    },
    service::Service,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Entries per page, 1 to 500; default 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// Read the audit log
///
/// Newest first: every change, every refused one and every failed login. For administrators.
#[utoipa::path(
    get,
    path = "/api/ota/audit",
    operation_id = "audit_list",
    tag = "system",
    params(AuditQuery, PageQuery),
    responses(
        (status = 200, description = "A page", body = Envelope<PageDto<AuditLineDto>>),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn list(
    State(service): State<Arc<Service>>,
    ApiQuery(query): ApiQuery<AuditQuery>,
    ApiQuery(page): ApiQuery<PageQuery>,
) -> Result<Envelope<PageDto<AuditLineDto>>, ApiError> {
    let before = match page.cursor {
        None => i64::MAX,
        Some(cursor) => cursor.parse().map_err(|_| {
            ApiError::bad_request(
                "invalid_cursor",
                "cursor must be the nextCursor of the page before",
            )
        })?,
    };
    let filter = query.filter(before, page_limit(page.limit)?);
    Ok(Envelope::of(PageDto::new(
        service.audit_lines(filter).await?,
        |line| line.audit_id.to_string(),
        AuditLineDto::from,
    )))
}
