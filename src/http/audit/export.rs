use std::{io, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::State,
    response::Response,
};
use futures_util::stream;

use super::{AuditLineDto, AuditQuery};
use crate::{
    http::{
        csv_answer::{answer, header, lines},
        envelope::ErrorEnvelope,
        error::ApiError,
        extract::{ApiQuery, PAGE_LIMIT_MAX},
    },
    service::{AuditFilter, Service},
};

/// The fields of a line.
const COLUMNS: [&str; 9] = [
    "auditId",
    "createdAt",
    "actorKind",
    "actorId",
    "actorName",
    "address",
    "action",
    "subject",
    "detail",
];

/// The audit log as CSV
///
/// Newest first, with the filters of the list; as long as there are lines. A connection that breaks
/// before the end is a file that lacks some.
#[utoipa::path(
    get,
    path = "/api/ota/audit.csv",
    operation_id = "audit_export",
    tag = "system",
    params(AuditQuery),
    responses(
        (status = 200, description = "The lines", body = String, content_type = "text/csv"),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn export(
    State(service): State<Arc<Service>>,
    ApiQuery(query): ApiQuery<AuditQuery>,
) -> Result<Response, ApiError> {
    // Before the answer begins, so that it can still be a failure.
    let (page, next) = read(&service, query.filter(i64::MAX, PAGE_LIMIT_MAX)).await?;
    let mut first = header(&COLUMNS)?;
    first.extend(page);
    let state = (service, Some(Bytes::from(first)), next);
    let body = stream::try_unfold(state, |(service, ready, next)| async move {
        match (ready, next) {
            (Some(ready), next) => Ok(Some((ready, (service, None, next)))),
            (None, None) => Ok(None),
            (None, Some(filter)) => {
                let (page, next) = read(&service, filter).await.map_err(|error| {
                    tracing::warn!(
                        reason = error.message,
                        "an export of the audit log broke off"
                    );
                    io::Error::other(error.message)
                })?;
                Ok::<_, io::Error>(Some((Bytes::from(page), (service, None, next))))
            }
        }
    });
    answer("audit", Body::from_stream(body))
}

/// A page as CSV, and what to ask for the next one.
async fn read(
    service: &Service,
    filter: AuditFilter,
) -> Result<(Vec<u8>, Option<AuditFilter>), ApiError> {
    let page = service.audit_lines(filter.clone()).await?;
    let next = page.items.last().filter(|_| page.more);
    let next = next.map(|last| AuditFilter {
        before: last.audit_id,
        ..filter
    });
    let text = lines(&COLUMNS, page.items.into_iter().map(AuditLineDto::from))?;
    Ok((text, next))
}
