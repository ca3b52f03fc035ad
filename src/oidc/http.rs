use std::time::Duration;

use openidconnect::{HttpRequest, HttpResponse};
use reqwest::{Client, Request, redirect};

/// Wait for one whole answer of the provider.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Keys, claims and descriptions are far smaller.
const ANSWER_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Request(String),
    #[error("its answer is larger than {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
}

/// It follows no redirects: a provider must not choose where the server connects.
pub fn client() -> Result<Client, String> {
    Client::builder()
        .user_agent(concat!("airlift/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(ANSWER_TIMEOUT)
        .build()
        .map_err(|error| format!("no HTTP client: {}", words(error)))
}

pub async fn send(client: Client, request: HttpRequest) -> Result<HttpResponse, Error> {
    let request = Request::try_from(request).map_err(|error| Error::Request(words(error)))?;
    let answered = client.execute(request).await;
    let mut response = answered.map_err(|error| Error::Request(words(error)))?;
    let mut body = Vec::new();
    loop {
        let piece = response.chunk().await;
        let Some(piece) = piece.map_err(|error| Error::Request(words(error)))? else {
            break;
        };
        body.extend_from_slice(&piece);
        if body.len() > ANSWER_BYTES_MAX {
            return Err(Error::TooLarge);
        }
    }
    let mut answer = HttpResponse::new(body);
    *answer.status_mut() = response.status();
    *answer.headers_mut() = response.headers().clone();
    Ok(answer)
}

/// The innermost reason, without the address.
fn words(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", ANSWER_TIMEOUT.as_secs());
    }
    let error = error.without_url();
    let mut reason: &dyn std::error::Error = &error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}
