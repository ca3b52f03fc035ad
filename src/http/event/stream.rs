use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use tokio::time::sleep;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::{
    domain::{Caller, EventKind},
    http::{envelope::ErrorEnvelope, error::ApiError, extract::ApiQuery, shown::Shown},
    service::{EventFilter, Service, Told, Trouble},
};

/// Between two comments on a stream on which nothing happens, so that proxies keep it.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Between two looks whether who listens still may.
const ACCESS_LOOK_INTERVAL: Duration = Duration::from_secs(2);

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Kinds with commas between: `task`, `task_progress`, `rollout`, `gateway`, `firmware`.
    /// Default: all.
    #[param(example = "task,rollout")]
    kind: Option<String>,
    gateway_id: Option<String>,
    task_id: Option<Uuid>,
    rollout_id: Option<Uuid>,
    /// Begins after this event; 0: with the oldest that is kept. Default: now. The header
    /// `Last-Event-ID` has precedence.
    #[param(value_type = Option<i64>, minimum = 0)]
    last_event_id: Option<String>,
}

/// Hear what happens
///
/// Server-Sent Events: `id` is the event's number, `event` its kind, `data` JSON with `eventId
/// kind gatewayId taskId rolloutId createdAt data`. It does not end until the server stops or the
/// credential it was opened with.
#[utoipa::path(
    get,
    path = "/api/ota/events",
    tag = "event",
    params(
        EventsQuery,
        ("Last-Event-ID" = Option<i64>, Header, minimum = 0, description = "The last event heard")
    ),
    responses(
        (status = 200, description = "The events", body = String, content_type = "text/event-stream"),
        (status = 400, description = "A parameter that makes no sense", body = ErrorEnvelope),
        (status = 503, description = "Database away, or too many listeners", body = ErrorEnvelope),
    )
)]
pub async fn stream(
    State(service): State<Arc<Service>>,
    caller: Caller,
    shown: Shown,
    ApiQuery(query): ApiQuery<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let last_event_id = match headers.get("Last-Event-ID") {
        // Not text is no number either.
        Some(value) => Some(value.to_str().unwrap_or("?").to_owned()),
        None => query.last_event_id,
    };
    let filter = EventFilter {
        kinds: kinds(query.kind.as_deref())?,
        gateway_id: query.gateway_id,
        task_id: query.task_id,
        rollout_id: query.rollout_id,
    };
    let events = service
        .event_stream(filter, last_event_id.as_deref().map(number).transpose()?)
        .await?;
    let told = stream::unfold(events, async |mut events| {
        let told = events.next().await?;
        Some((Ok::<_, Infallible>(event(told)), events))
    });
    let told = told.take_until(access_ends(service, caller, shown));
    let stream = Sse::new(told).keep_alive(KeepAlive::new().interval(KEEP_ALIVE_INTERVAL));
    // nginx would keep events back until its buffer is full.
    Ok(([("X-Accel-Buffering", "no")], stream).into_response())
}

/// When who listens is not any more who came: the credential was revoked, has expired, or may other
/// things now.
async fn access_ends(service: Arc<Service>, caller: Caller, shown: Shown) {
    loop {
        sleep(ACCESS_LOOK_INTERVAL).await;
        match service.authenticate(shown.presented()).await {
            Ok(actor) if actor == caller.actor => {}
            Err(error) if matches!(error.trouble(), Trouble::Unavailable(_)) => {}
            _ => return,
        }
    }
}

fn event(told: Told) -> Event {
    match told {
        Told::Event(message) => Event::default()
            .id(message.event_id.to_string())
            .event(message.kind)
            .data(message.json()),
        Told::Gap(gap) => Event::default().event("gap").data(gap.json()),
    }
}

fn kinds(list: Option<&str>) -> Result<Vec<EventKind>, ApiError> {
    let words = list.into_iter().flat_map(|list| list.split(','));
    words
        .map(|word| {
            EventKind::parse(word.trim()).ok_or_else(|| {
                let all = EventKind::ALL.map(EventKind::as_str).join(", ");
                ApiError::bad_request(
                    "invalid_kind",
                    format!("{word:?} is not a kind of events: choose from {all}"),
                )
            })
        })
        .collect()
}

fn number(text: &str) -> Result<i64, ApiError> {
    let number = text.trim().parse().ok();
    number.filter(|number| *number >= 0).ok_or_else(|| {
        ApiError::bad_request(
            "invalid_last_event_id",
            format!("{text:?} is not the id of an event: it is a number, or 0 for the oldest"),
        )
    })
}
