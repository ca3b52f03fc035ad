use std::time::Instant;

use axum::{http::Request, response::Response};
use tracing::Level;

use crate::metrics::{HttpLabels, Metrics, RouteLabels};

/// The pattern of the route that answered; its guard says so.
#[derive(Clone, Copy)]
pub struct Route(pub &'static str);

/// A request that is being answered.
pub struct Observed {
    method: &'static str,
    /// Only where it will be told.
    path: Option<String>,
    began: Instant,
}

impl Observed {
    pub fn begin<B>(request: &Request<B>) -> Observed {
        let is_told = tracing::enabled!(Level::DEBUG);
        Observed {
            method: known_method(request.method().as_str()),
            path: is_told.then(|| request.uri().path().to_owned()),
            began: Instant::now(),
        }
    }

    /// Counts and logs it.
    pub fn answered(self, response: &Response, metrics: &Metrics) {
        let Observed {
            method,
            path,
            began,
        } = self;
        let route = response.extensions().get::<Route>();
        let route = route.map_or("unmatched", |route| route.0);
        let status = response.status().as_u16();
        let elapsed = began.elapsed();
        if let Some(path) = path {
            tracing::debug!(method, path, status, ?elapsed, "request");
        }
        metrics
            .http_request_duration
            .get_or_create(&RouteLabels { method, route })
            .observe(elapsed.as_secs_f64());
        let labels = HttpLabels {
            method,
            route,
            status,
        };
        metrics.http_requests.get_or_create(&labels).inc();
    }
}

/// A client may invent methods; a label must not.
fn known_method(method: &str) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or("OTHER")
}
