use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, RawPathParams, Request, State, rejection::RawPathParamsRejection},
    http::{Method, StatusCode, header::ACCEPT, request::Parts},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};

use super::{
    client_address::client_address,
    error::ApiError,
    limits::Limits,
    peer::Peer,
    same_origin::{check_same_origin, is_safe},
    shown::Shown,
};
use crate::{
    domain::{Actor, Admittance, Caller, Need},
    service::{Service, Trouble},
};

/// Holds what a session of the web page is known by.
pub const SESSION_COOKIE: &str = "airlift_session";

/// Before each route.
#[derive(Clone)]
pub struct Guard {
    pub service: Arc<Service>,
    pub limits: Arc<Limits>,
    pub need: Need,
}

/// Finds out who comes and lets in who may; handlers find it as [`Caller`].
pub async fn guard(
    State(guard): State<Guard>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let params = match params {
        Ok(params) => params,
        Err(rejection) => {
            return ApiError::bad_request("invalid_path", rejection.body_text()).into_response();
        }
    };
    let shown = match Shown::read(&parts) {
        Ok(shown) => shown,
        Err(refusal) => return refusal.into_response(),
    };
    match admit(&guard, &params, &parts, &shown).await {
        Ok(caller) => {
            parts.extensions.insert(caller);
            parts.extensions.insert(shown);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(refusal) => login_page(&parts, &refusal)
            .map_or_else(|| refusal.into_response(), Redirect::into_response),
    }
}

/// Where a person with a browser goes who has come to the documentation without credentials.
fn login_page(request: &Parts, refusal: &ApiError) -> Option<Redirect> {
    let accept = request.headers.get(ACCEPT)?.to_str().ok()?;
    let is_meant = refusal.status == StatusCode::UNAUTHORIZED
        && request.method == Method::GET
        && request.uri.path().starts_with("/docs")
        && accept.contains("text/html");
    is_meant.then(|| Redirect::to("/login?next=/docs"))
}

async fn admit(
    guard: &Guard,
    params: &RawPathParams,
    request: &Parts,
    shown: &Shown,
) -> Result<Caller, ApiError> {
    let Guard {
        service, limits, ..
    } = guard;
    let peer = request.extensions.get::<Peer>();
    let trusted = &service.settings().trusted_proxies;
    let address = peer.map(|peer| client_address(peer.address.ip(), &request.headers, trusted));
    limits.check_address(address)?;
    let authenticated = service.authenticate(shown.presented()).await;
    let unknown = match &authenticated {
        Ok(actor) => *actor == Actor::Nobody && shown.presented().session.is_some(),
        Err(error) => matches!(error.trouble(), Trouble::Unauthenticated(_)),
    };
    if unknown {
        limits.count_failure(address);
    }
    let actor = match authenticated {
        Ok(actor) => actor,
        // A login must be possible whatever else a client shows.
        Err(_) if guard.need == Need::Nothing => Actor::Nobody,
        Err(error) => return Err(error.into()),
    };
    limits.check_actor(address, &actor)?;
    // A user is known by the cookie, which a browser also sends along with what other pages cause.
    if matches!(actor, Actor::User { .. }) && !is_safe(&request.method) {
        check_same_origin(&request.headers, &service.settings().public_url)?;
    }
    let gateway_id = params
        .iter()
        .find_map(|(name, value)| matches!(name, "gateway_id" | "id").then_some(value));
    let public = service.settings().public_downloads && guard.need == Need::ReadRelease;
    match actor.admission(guard.need, gateway_id) {
        Admittance::Admitted => Ok(Caller { actor, address }),
        Admittance::Unauthenticated if public => Ok(Caller { actor, address }),
        Admittance::Unauthenticated => Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "this server asks for credentials: send Authorization: Bearer <token>, or log in",
        )),
        Admittance::Forbidden => Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            forbidden(&actor, guard.need),
        )),
    }
}

fn forbidden(actor: &Actor, need: Need) -> String {
    let who = match actor {
        Actor::Gateway { gateway_id } => format!("gateway {gateway_id}"),
        actor => format!(
            "{} {:?} with the role {}",
            actor.kind(),
            actor.name().unwrap_or_default(),
            actor.role().map_or("none", |role| role.as_str())
        ),
    };
    let wanted = match need {
        Need::Publish => "the role publisher or admin",
        Need::Operate => "the role operator or admin",
        Need::Administer => "the role admin",
        Need::BeGateway => "the gateway's own token",
        Need::ReadGateway => "the gateway's own token, or that of a person or machine",
        _ => "the token of a person or machine",
    };
    format!("{who} may not do this: it needs {wanted}")
}

/// Who comes, as the guard found out.
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Caller>().cloned();
        caller.ok_or_else(|| ApiError::internal(&"a route without a guard asks who comes"))
    }
}
