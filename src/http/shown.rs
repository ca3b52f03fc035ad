use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header::AUTHORIZATION, request::Parts},
};
use headers::{Cookie, HeaderMapExt};

use super::{error::ApiError, guard::SESSION_COOKIE, peer::Peer};
use crate::service::Presented;

/// What who comes has shown. No `Debug`: there are secrets in it.
#[derive(Clone)]
pub struct Shown {
    token: Option<Arc<str>>,
    session: Option<Arc<str>>,
    certified_gateway: Option<Arc<str>>,
}

impl Shown {
    pub fn read(request: &Parts) -> Shown {
        let peer = request.extensions.get::<Peer>();
        Shown {
            token: bearer(&request.headers).map(Arc::from),
            session: session_cookie(&request.headers),
            certified_gateway: peer.and_then(|peer| peer.certified_gateway.clone()),
        }
    }

    pub fn presented(&self) -> Presented<'_> {
        Presented {
            token: self.token.as_deref(),
            session: self.session.as_deref(),
            certified_gateway: self.certified_gateway.as_deref(),
        }
    }
}

/// The token of `Authorization: Bearer`; none without the header or with another scheme, which may
/// be meant for a proxy. A header that can't be read is a token that is not good: where nobody asks
/// for one, it does no harm.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(AUTHORIZATION)?.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim()),
        Some(_) => None,
        None => Some(""),
    }
}

fn session_cookie(headers: &HeaderMap) -> Option<Arc<str>> {
    let cookies = headers.typed_get::<Cookie>()?;
    cookies.get(SESSION_COOKIE).map(Arc::from)
}

/// As the guard has read it.
impl<S: Send + Sync> FromRequestParts<S> for Shown {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let shown = parts.extensions.get::<Shown>().cloned();
        shown.ok_or_else(|| ApiError::internal(&"a route without a guard asks what was shown"))
    }
}
