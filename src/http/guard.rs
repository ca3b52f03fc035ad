use std::{net::IpAddr, sync::Arc};

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
    observe::Route,
    peer::Peer,
    same_origin::{check_same_origin, is_safe},
    shown::Shown,
};
use crate::{
    domain::{Actor, Admittance, Caller, Need},
    metrics::ReasonLabel,
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
    pub route: Route,
}

/// Finds out who comes and lets in who may; handlers find it as [`Caller`].
pub async fn guard(
    State(guard): State<Guard>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = guarded(&guard, params, request, next).await;
    response.extensions_mut().insert(guard.route);
    response
}

async fn guarded(
    guard: &Guard,
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
    let shown = Shown::read(&parts);
    let (caller, refusal) = admit(guard, &params, &parts, &shown).await;
    if let Some(refusal) = refusal {
        // Boxed: every request would carry the room that this takes.
        Box::pin(note(&guard.service, &caller, &parts, &refusal)).await;
        return login_page(&parts, &refusal)
            .map_or_else(|| refusal.into_response(), Redirect::into_response);
    }
    parts.extensions.insert(caller);
    parts.extensions.insert(shown);
    next.run(Request::from_parts(parts, body)).await
}

/// Counts a refusal; one of a change is in the audit log.
async fn note(service: &Service, caller: &Caller, request: &Parts, refusal: &ApiError) {
    if !matches!(
        refusal.status,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
    ) {
        return;
    }
    let reason = refusal.code;
    let refused = &service.metrics().access.refused;
    refused.get_or_create(&ReasonLabel { reason }).inc();
    if !matches!(request.method, Method::GET | Method::HEAD) {
        let (method, path) = (request.method.as_str(), request.uri.path());
        service.audit_refusal(caller, method, path, reason).await;
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

/// Who comes, and why it is not let in.
async fn admit(
    guard: &Guard,
    params: &RawPathParams,
    request: &Parts,
    shown: &Shown,
) -> (Caller, Option<ApiError>) {
    let trusted = &guard.service.settings().trusted_proxies;
    let peer = request.extensions.get::<Peer>();
    let address = peer.map(|peer| client_address(peer.address.ip(), &request.headers, trusted));
    let nobody = |refusal| {
        let actor = Actor::Nobody;
        (Caller { actor, address }, Some(refusal))
    };
    if let Err(refusal) = guard.limits.check_address(address) {
        return nobody(refusal);
    }
    let actor = match authenticate(guard, shown, address).await {
        Ok(actor) => actor,
        // A login must be possible whatever else a client shows.
        Err(_) if guard.need == Need::Nothing => Actor::Nobody,
        Err(refusal) => return nobody(refusal),
    };
    let refusal = refusal(guard, params, request, &actor, address);
    (Caller { actor, address }, refusal)
}

async fn authenticate(
    guard: &Guard,
    shown: &Shown,
    address: Option<IpAddr>,
) -> Result<Actor, ApiError> {
    let authenticated = guard.service.authenticate(shown.presented()).await;
    let unknown = match &authenticated {
        Ok(actor) => *actor == Actor::Nobody && shown.presented().session.is_some(),
        Err(error) => matches!(error.trouble(), Trouble::Unauthenticated(_)),
    };
    if unknown {
        guard.limits.count_failure(address);
    }
    Ok(authenticated?)
}

/// Why this actor may not take the route.
fn refusal(
    guard: &Guard,
    params: &RawPathParams,
    request: &Parts,
    actor: &Actor,
    address: Option<IpAddr>,
) -> Option<ApiError> {
    let settings = guard.service.settings();
    if let Err(refusal) = guard.limits.check_actor(address, actor) {
        return Some(refusal);
    }
    // A user is known by the cookie, which a browser also sends along with what other pages cause.
    if matches!(actor, Actor::User { .. })
        && !is_safe(&request.method)
        && let Err(refusal) = check_same_origin(&request.headers, &settings.public_url)
    {
        return Some(refusal);
    }
    let gateway_id = params
        .iter()
        .find_map(|(name, value)| matches!(name, "gateway_id" | "id").then_some(value));
    let public = settings.public_downloads && guard.need == Need::ReadRelease;
    match actor.admission(guard.need, gateway_id) {
        Admittance::Admitted => None,
        Admittance::Unauthenticated if public => None,
        Admittance::Unauthenticated => Some(ApiError::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "this server asks for credentials: send Authorization: Bearer <token>, or log in",
        )),
        Admittance::Forbidden => Some(ApiError::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            forbidden(actor, guard.need),
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
