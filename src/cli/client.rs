use std::{error::Error, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::Args;
use reqwest::{
    Method, RequestBuilder, StatusCode, Url,
    header::{CONTENT_TYPE, LOCATION},
    multipart::Form,
    redirect::Policy,
};
use serde::Deserialize;
use serde_json::Value;

use super::text::printable;

const SERVER_DEFAULT: &str = "http://localhost:8018";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for an answer that only reads.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for an answer that changes something, for a million gateways perhaps.
const WRITE_TIMEOUT: Duration = Duration::from_secs(120);
/// An upload that is slower is given up.
const UPLOAD_BYTES_PER_SECOND_MIN: u64 = 16 << 10;

/// Which server a command asks, and as whom.
#[derive(Args, Clone, Debug)]
pub struct ServerArgs {
    /// Server to ask; https://user:password@host where a proxy asks for a password
    #[arg(
        long,
        global = true,
        help_heading = "Server",
        env = "AIRLIFT_SERVER",
        value_name = "URL",
        default_value = SERVER_DEFAULT,
        hide_env_values = true
    )]
    pub server: String,
    /// Sent as `Authorization: Bearer TOKEN`
    #[arg(
        long,
        global = true,
        help_heading = "Server",
        env = "AIRLIFT_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub token: Option<String>,
}

/// The server's HTTP API.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
}

/// Why a call brought no data.
#[derive(Debug, thiserror::Error)]
#[error("{what}{advice}")]
pub struct CallError {
    /// Without the advice.
    pub what: String,
    advice: String,
    /// Whether the same call may succeed later.
    pub passes: bool,
}

/// What the server says about every failure.
#[derive(Deserialize)]
struct Refusal {
    message: String,
    code: String,
}

struct Answer {
    status: StatusCode,
    /// Where it sends to.
    location: Option<String>,
    body: Vec<u8>,
}

impl Client {
    pub fn new(args: &ServerArgs) -> Result<Client> {
        let server = &args.server;
        let base = Url::parse(server)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .with_context(|| {
                format!("--server {server:?} must begin with http:// or https:// and name a host")
            })?;
        ensure!(
            base.query().is_none() && base.fragment().is_none(),
            "--server {server:?} must end before its ? or #"
        );
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            // A POST that is redirected would arrive as a GET.
            .redirect(Policy::none())
            .build()?;
        Ok(Client {
            http,
            base,
            token: args.token.clone().filter(|token| !token.is_empty()),
        })
    }

    /// The server's URL, for people: without its password.
    pub fn server(&self) -> String {
        let mut url = self.base.clone();
        // Can't fail: the URL has a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.as_str().trim_end_matches('/').to_owned()
    }

    /// ` --server URL` where a command must say it to reach the same server.
    pub fn flag(&self) -> String {
        match self.server() {
            server if server == SERVER_DEFAULT => String::new(),
            server => format!(" --server {server}"),
        }
    }

    /// The data at `path`, which begins after `/api/ota`.
    pub async fn get(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> std::result::Result<Value, CallError> {
        self.call(Method::GET, path, query, None).await
    }

    /// The data of the answer to a POST.
    pub async fn post(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> std::result::Result<Value, CallError> {
        self.call(Method::POST, path, query, body).await
    }

    pub async fn delete(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> std::result::Result<Value, CallError> {
        self.call(Method::DELETE, path, query, None).await
    }

    /// Uploads a package with `PUT /update`, as `form` says, about `bytes` long; `None` if its file
    /// arrived damaged.
    pub async fn put_package(
        &self,
        form: Form,
        bytes: u64,
    ) -> std::result::Result<Option<Value>, CallError> {
        let longest = WRITE_TIMEOUT + Duration::from_secs(bytes / UPLOAD_BYTES_PER_SECOND_MIN);
        let request = self.http.put(self.below(&["update"])).timeout(longest);
        let answer = self.send(request.multipart(form), false).await?;
        if answer.status == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        match serde_json::from_slice(&answer.body) {
            // Not in an envelope: the old servers' answer was not, either.
            Ok(data) if answer.status.is_success() => Ok(Some(data)),
            _ => Err(self.refused(&answer)),
        }
    }

    /// The answer to a list as CSV, which is CSV itself and may take `longest`.
    pub async fn post_csv(
        &self,
        path: &[&str],
        list: Vec<u8>,
        longest: Duration,
    ) -> std::result::Result<Vec<u8>, CallError> {
        let request = self.http.post(self.url(path, &[])).timeout(longest);
        let request = request.header(CONTENT_TYPE, "text/csv").body(list);
        let answer = self.send(request, false).await?;
        match answer.status.is_success() {
            true => Ok(answer.body),
            false => Err(self.refused(&answer)),
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> std::result::Result<Value, CallError> {
        let reads = method == Method::GET;
        let mut request = self
            .http
            .request(method, self.url(path, query))
            .timeout(if reads { READ_TIMEOUT } else { WRITE_TIMEOUT });
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = self.send(request, reads).await?;
        if answer.status.is_success()
            && let Ok(Value::Object(mut envelope)) = serde_json::from_slice(&answer.body)
            && let Some(data) = envelope.remove("data")
        {
            return Ok(data);
        }
        Err(self.refused(&answer))
    }

    /// The whole answer to a request.
    async fn send(
        &self,
        mut request: RequestBuilder,
        reads: bool,
    ) -> std::result::Result<Answer, CallError> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let broken = |error| self.broken(error, reads);
        let response = request.send().await.map_err(broken)?;
        let location = response.headers().get(LOCATION);
        let location = location.and_then(|it| it.to_str().ok()).map(str::to_owned);
        Ok(Answer {
            status: response.status(),
            location,
            body: response.bytes().await.map_err(broken)?.into(),
        })
    }

    fn url(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.below(&[&["api", "ota"], path].concat());
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    fn below(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// No whole answer came.
    fn broken(&self, error: reqwest::Error, reads: bool) -> CallError {
        let unreached = error.is_connect();
        let cause = bottom(error);
        let server = self.server();
        let (what, advice) = match (unreached, reads) {
            (true, _) => (
                format!("can't reach {server} ({cause})"),
                ": start a server there with `airlift serve`, or name another with --server \
                 or AIRLIFT_SERVER",
            ),
            (false, true) => (format!("no answer from {server} ({cause})"), ": try again"),
            (false, false) => (
                format!("the answer of {server} did not arrive ({cause})"),
                ": see with the command's `list` whether it was done before you try again",
            ),
        };
        CallError {
            what,
            advice: advice.to_owned(),
            passes: true,
        }
    }

    /// The answer is no success.
    fn refused(&self, answer: &Answer) -> CallError {
        let status = answer.status;
        let passes = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        let (what, advice) = match (serde_json::from_slice(&answer.body), &answer.location) {
            (Ok(Refusal { message, code }), _) => (printable(&message), format!(" ({code})")),
            (Err(_), Some(location)) if status.is_redirection() => (
                format!("{} sends to {}", self.server(), printable(location)),
                ": name the server where it is with --server".to_owned(),
            ),
            (Err(_), _) => (
                format!("{} answers {status} without airlift's JSON", self.server()),
                ": see that --server leads to an airlift server".to_owned(),
            ),
        };
        CallError {
            what,
            advice,
            passes,
        }
    }
}

/// What lies at the bottom of the error, without the URL: that may hold a password.
fn bottom(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(server: &str) -> Client {
        let args = ServerArgs {
            server: server.to_owned(),
            token: None,
        };
        Client::new(&args).unwrap()
    }

    #[test]
    fn a_path_below_the_servers_url_keeps_the_url_and_hides_nothing_in_an_id() {
        let client = client("https://admin:secret@example.com/ota-cloud/");
        assert_eq!(
            client
                .url(&["rollouts", "../x"], &[("state", "a b".to_owned())])
                .as_str(),
            "https://admin:secret@example.com/ota-cloud/api/ota/rollouts/..%2Fx?state=a+b"
        );
        assert_eq!(client.server(), "https://example.com/ota-cloud");
        assert_eq!(client.flag(), " --server https://example.com/ota-cloud");
    }

    #[test]
    fn the_default_server_needs_no_flag() {
        assert_eq!(client(SERVER_DEFAULT).flag(), "");
        assert_eq!(client("http://localhost:8018/").flag(), "");
    }

    #[test]
    fn what_is_no_url_of_a_server_is_refused() {
        for server in ["localhost:8018", "ftp://a", "http://a/?b", "x"] {
            let args = ServerArgs {
                server: server.to_owned(),
                token: None,
            };
            assert!(Client::new(&args).is_err(), "{server}");
        }
    }

    #[test]
    fn a_refusal_is_the_servers_sentence_and_code() {
        let client = client(SERVER_DEFAULT);
        let body = br#"{"status":false,"message":"no\u001b such","code":"a_b","data":null}"#;
        let answer = |status, location: Option<&str>, body: &[u8]| Answer {
            status,
            location: location.map(str::to_owned),
            body: body.to_vec(),
        };
        let error = client.refused(&answer(StatusCode::NOT_FOUND, None, body));
        assert_eq!(error.to_string(), "no\u{fffd} such (a_b)");
        assert!(!error.passes);
        let error = client.refused(&answer(StatusCode::BAD_GATEWAY, None, b"<html>"));
        assert!(
            error.passes && error.to_string().contains("--server"),
            "{error}"
        );
        let error = client.refused(&answer(StatusCode::FOUND, Some("https://a/"), b""));
        assert!(error.to_string().contains("sends to https://a/"), "{error}");
    }
}
