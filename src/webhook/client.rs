use std::{error::Error, sync::OnceLock, time::Duration};

use reqwest::{
    Client,
    header::{CONTENT_TYPE, RETRY_AFTER},
    redirect,
};
use uuid::Uuid;

use super::signature::signature;
use crate::domain::Attempt;

/// Wait for a receiver's whole answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Of an answer's body so much is read, for the connection to be used again; nobody looks at it.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// How long a connection is kept for the next request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// One request to a receiver.
pub struct Post<'a> {
    pub url: &'a str,
    pub secret: &'a str,
    /// `X-Airlift-Event`.
    pub event: &'a str,
    /// `X-Airlift-Delivery`.
    pub delivery_id: Uuid,
    /// Seconds since the Unix epoch.
    pub timestamp: i64,
    /// JSON.
    pub body: &'a str,
}

/// Sends [`Post`]s. It follows no redirects: a receiver must not choose where the server connects.
#[derive(Default)]
pub struct WebhookClient {
    /// Made at the first use: reading the machine's certificates costs memory that a server
    /// without webhooks can spare, and a machine without certificates can run one.
    client: OnceLock<Result<Client, String>>,
}

impl WebhookClient {
    /// Sends one request and waits up to 10 s for what comes of it.
    pub async fn post(&self, post: Post<'_>) -> Attempt {
        let client = match self.client.get_or_init(client) {
            Ok(client) => client,
            Err(error) => return Attempt::Failed(error.clone()),
        };
        let signature = signature(post.secret, post.timestamp, post.body);
        let sent = client
            .post(post.url)
            .header(CONTENT_TYPE, "application/json")
            .header("X-Airlift-Event", post.event)
            .header("X-Airlift-Delivery", post.delivery_id.to_string())
            .header("X-Airlift-Timestamp", post.timestamp)
            .header("X-Airlift-Signature", signature)
            .body(post.body.to_owned())
            .send()
            .await;
        let mut response = match sent {
            Ok(response) => response,
            Err(error) => return Attempt::Failed(words(error)),
        };
        let answer = Attempt::Answered {
            status: response.status().as_u16(),
            retry_after: response
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned),
        };
        let mut read = 0;
        while let Ok(Some(bytes)) = response.chunk().await {
            read += bytes.len();
            if read > ANSWER_BYTES_MAX {
                break;
            }
        }
        answer
    }
}

fn client() -> Result<Client, String> {
    Client::builder()
        .user_agent(concat!("airlift/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .timeout(ANSWER_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build()
        .map_err(|error| format!("no HTTP client: {}", words(error)))
}

/// The innermost reason, without the address, which may contain credentials.
fn words(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", ANSWER_TIMEOUT.as_secs());
    }
    let error = error.without_url();
    let mut reason: &dyn Error = &error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    let words = reason.to_string();
    match error.is_connect() {
        true => format!("no connection: {words}"),
        false => words,
    }
}
