use std::{io, sync::Arc};

use axum::{
    body::Body,
    extract::State,
    http::header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{EXPORT_COLUMNS, GatewaysQuery, ID_COLUMN, TAG_COLUMN_PREFIX};
use crate::{
    domain::GatewayQuery,
    http::{envelope::ErrorEnvelope, error::ApiError, extract::ApiQuery},
    service::{GatewayFilter, GatewayView, Service},
};

/// Rows that are read at a time.
const ROWS_PER_PAGE: i64 = 1000;

/// Gateways as CSV
///
/// By id; a column per tag, `tag:` before its key.
#[utoipa::path(
    get,
    path = "/api/ota/gateways.csv",
    tag = "gateway",
    params(GatewaysQuery),
    responses(
        (status = 200, description = "A line per gateway behind one of names", body = String, content_type = "text/csv"),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn export(
    State(service): State<Arc<Service>>,
    ApiQuery(gateways): ApiQuery<GatewaysQuery>,
) -> Result<Response, ApiError> {
    let query = gateways.query()?;
    // A key that is used for the first time while this is sent has no column.
    let keys = service.tag_keys().await?;
    let mut pages = Pages {
        service,
        query,
        keys,
        after: Some(String::new()),
    };
    // What can be wrong with the first page is still answered in an envelope.
    let mut first = pages.header();
    first.extend(pages.next().await?.unwrap_or_default());
    let rest = stream::try_unfold(pages, |mut pages| async {
        let page = pages.next().await.map_err(|error| {
            tracing::warn!(error = error.message, "a list of gateways broke off");
            io::Error::other(error.message)
        })?;
        Ok::<_, io::Error>(page.map(|page| (page, pages)))
    });
    let body = stream::iter([Ok(first)]).chain(rest).map_ok(Bytes::from);
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8"),
        (CONTENT_DISPOSITION, "attachment; filename=\"gateways.csv\""),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}

/// The list, page by page.
struct Pages {
    service: Arc<Service>,
    query: GatewayQuery,
    keys: Vec<String>,
    /// The last id so far; `None` behind the last page.
    after: Option<String>,
}

impl Pages {
    fn header(&self) -> Vec<u8> {
        let tags = self
            .keys
            .iter()
            .map(|key| format!("{TAG_COLUMN_PREFIX}{key}"));
        let names = [ID_COLUMN].into_iter().chain(EXPORT_COLUMNS);
        lines([names.map(str::to_owned).chain(tags).collect()])
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        let Some(after) = self.after.take() else {
            return Ok(None);
        };
        let filter = GatewayFilter {
            query: self.query.clone(),
            after,
            skip: 0,
            limit: ROWS_PER_PAGE,
        };
        let page = self.service.gateways(filter).await?;
        if page.more {
            self.after = page
                .items
                .last()
                .map(|last| last.gateway.gateway_id.clone());
        }
        let rows = page.items.into_iter().map(|view| self.row(view));
        Ok(Some(lines(rows)))
    }

    fn row(&self, view: GatewayView) -> Vec<String> {
        let mut gateway = view.gateway;
        let last_seen_at = gateway
            .last_seen_at
            .map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true));
        let mut row = vec![
            gateway.gateway_id,
            gateway.device_type,
            gateway.current_version.unwrap_or_default(),
            view.latest_version.unwrap_or_default(),
            view.need_upgrade.to_string(),
            gateway.online.to_string(),
            last_seen_at.unwrap_or_default(),
        ];
        let tags = self.keys.iter().map(|key| gateway.tags.remove(key));
        row.extend(tags.map(Option::unwrap_or_default));
        row
    }
}

fn lines(rows: impl IntoIterator<Item = Vec<String>>) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer
            .write_record(row)
            .expect("rows of one width, in memory");
    }
    writer.into_inner().expect("memory takes everything")
}
