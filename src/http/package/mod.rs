//! Packages for Linux devices: the four addresses that devices and builds know, and
//! `/api/ota/packages`.

pub mod branches;
pub mod delete;
pub mod download;
pub mod get;
pub mod get_signature;
pub mod get_version;
pub mod list;
pub mod max_version;
pub mod push;
pub mod rollback;

use axum::{
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
    },
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use headers::{HeaderMapExt, IfNoneMatch};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{error::ApiError, file::digest_etag, firmware::SignerDto};
use crate::service::{PackageView, Service};

/// A version of a package, on a branch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Package)]
pub struct PackageDto {
    pub id: Uuid,
    #[schema(examples("app"))]
    pub name: String,
    #[schema(examples("1.10"))]
    pub version: String,
    #[schema(examples("main"))]
    pub branch: String,
    /// `content.json`; byte for byte it is at `/getVersion`.
    #[schema(value_type = Object)]
    pub content: Value,
    pub file_url: String,
    /// Bytes.
    pub file_size: i64,
    /// Lower-case hex.
    pub md5: String,
    /// Lower-case hex.
    pub sha256: String,
    /// The trusted key that signed `content.json`; null: none, or it was taken in while none was
    /// trusted.
    pub signed_by: Option<SignerDto>,
    /// Whether it is what `/maxVersion` gives.
    pub head: bool,
    /// Since when `/maxVersion` and `/getVersion` do not give it any more.
    pub withdrawn_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl PackageDto {
    pub fn new(service: &Service, view: PackageView) -> Result<Self, ApiError> {
        let PackageView { package, is_head } = view;
        Ok(PackageDto {
            file_url: service.package_url(&package),
            id: package.package_id,
            name: package.name,
            version: package.version,
            branch: package.branch,
            content: serde_json::from_str(&package.content)
                .map_err(|error| ApiError::internal(&error))?,
            file_size: package.file_size,
            md5: package.md5,
            sha256: package.sha256,
            signed_by: package.signed_by.map(SignerDto::from),
            head: is_head,
            withdrawn_at: package.withdrawn_at,
            created_at: package.created_at,
            updated_at: package.updated_at,
        })
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct BranchQuery {
    #[param(example = "main")]
    pub branch: String,
}

/// What devices ask for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct VersionQuery {
    #[param(example = "app")]
    pub package: String,
    #[param(example = "main")]
    pub branch: String,
    #[param(example = "1.10")]
    pub version: String,
}

/// The bytes of a text as they were uploaded; its `ETag` is their SHA-256.
fn text_answer(
    headers: &HeaderMap,
    media_type: &'static str,
    text: String,
) -> Result<Response, ApiError> {
    let etag = digest_etag(&hex::encode(Sha256::digest(&text)))?;
    let mut response = match headers.typed_get::<IfNoneMatch>() {
        Some(condition) if !condition.precondition_passes(&etag) => {
            StatusCode::NOT_MODIFIED.into_response()
        }
        _ => {
            let mut response = text.into_response();
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            response
        }
    };
    let headers = response.headers_mut();
    headers.typed_insert(etag);
    // The next push may change it.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}
