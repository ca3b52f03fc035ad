use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderValue, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    http::{
        envelope::{Envelope, ErrorEnvelope, PageDto},
        error::ApiError,
        extract::ApiQuery,
    },
    service::{BrokerLogin, Service},
};

/// Logins per page unless asked otherwise, and at most.
const LOGINS_LIMIT: i64 = 5000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct LoginsQuery {
    /// Entries per page, 1 to 5000; default 5000.
    #[param(minimum = 1, maximum = 5000)]
    limit: Option<i64>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// How an outside broker knows a gateway: by its newest token.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BrokerLogin)]
pub struct BrokerLoginDto {
    /// The user name.
    gateway_id: String,
    /// The token's SHA-256, hex.
    sha256: String,
    /// As a password file of Mosquitto has it.
    #[schema(examples("$7$101$<salt>$<hash>"))]
    mosquitto: String,
}

impl From<BrokerLogin> for BrokerLoginDto {
    fn from(login: BrokerLogin) -> Self {
        BrokerLoginDto {
            gateway_id: login.gateway_id,
            sha256: login.hash,
            mosquitto: login.mosquitto_hash,
        }
    }
}

/// List gateways' logins for an outside broker
///
/// By gateway id. `airlift broker` writes the broker's files from it. Tokens can't be found from
/// their hashes.
#[utoipa::path(
    get,
    path = "/api/ota/broker/logins",
    tag = "gateway",
    params(LoginsQuery),
    responses(
        (status = 200, description = "A page", body = Envelope<PageDto<BrokerLoginDto>>),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 503, description = "Database away", body = ErrorEnvelope),
    )
)]
pub async fn logins(
    State(service): State<Arc<Service>>,
    ApiQuery(query): ApiQuery<LoginsQuery>,
) -> Result<Response, ApiError> {
    let limit = query.limit.unwrap_or(LOGINS_LIMIT);
    if !(1..=LOGINS_LIMIT).contains(&limit) {
        return Err(ApiError::bad_request(
            "invalid_limit",
            format!("limit {limit} must be between 1 and {LOGINS_LIMIT}"),
        ));
    }
    let after = query.cursor.unwrap_or_default();
    let page = service.broker_logins(&after, limit).await?;
    let page = PageDto::new(page, |login| login.gateway_id.clone(), BrokerLoginDto::from);
    let mut answer = Envelope::of(page).into_response();
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}
