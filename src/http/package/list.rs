use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::PackageDto;
use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope, PageDto},
        error::ApiError,
        extract::{ApiQuery, before_cursor, page_limit},
    },
    service::{PackageFilter, Service},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    name: Option<String>,
    branch: Option<String>,
    /// Entries per page, 1 to 500; default 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// List packages
///
/// Each version of each branch, newest upload first.
#[utoipa::path(
    get,
    path = "/api/ota/packages",
    tag = "package",
    params(ListQuery),
    responses(
        (status = 200, description = "A page", body = Envelope<PageDto<PackageDto>>),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn list(
    State(service): State<Arc<Service>>,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Envelope<PageDto<PackageDto>>, ApiError> {
    let page = service
        .packages(PackageFilter {
            name: query.name,
            branch: query.branch,
            before: before_cursor(query.cursor.as_deref())?,
            limit: page_limit(query.limit)?,
        })
        .await?;
    let page = PageDto::new(
        page,
        |view| view.package.package_id.to_string(),
        |view| PackageDto::new(&service, view),
    );
    Ok(Envelope::of(PageDto {
        items: page.items.into_iter().collect::<Result<_, _>>()?,
        next_cursor: page.next_cursor,
    }))
}
