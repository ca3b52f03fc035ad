//! HTTP, as the agent needs it: small answers whole, files as streams.

use std::{
    fs,
    io::Read,
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use serde_json::Value;
use ureq::{
    Agent, Body,
    http::{Response, StatusCode},
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

use crate::{config::Config, provision::has_content};

/// Until a connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Until some byte moves.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);
/// For a whole answer that is not a file.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest answer that is not a file, bytes.
const ANSWER_BYTES_MAX: u64 = 256 << 10;
/// Largest token file, bytes.
const TOKEN_BYTES_MAX: usize = 4096;

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No answer.
    #[error("{url}: {why}")]
    Unreachable { url: String, why: String },
    /// An answer that says no.
    #[error("{url}: {status} {message}")]
    Status {
        url: String,
        status: u16,
        /// The envelope's `code`; empty if there is none.
        code: String,
        message: String,
    },
    /// Something is wrong with what the agent was given.
    #[error("{0}")]
    Setup(String),
}

impl HttpError {
    pub fn status(&self) -> Option<u16> {
        match self {
            HttpError::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the server may say otherwise later, without anything being changed here.
    pub fn is_passing(&self) -> bool {
        match self {
            HttpError::Unreachable { .. } => true,
            HttpError::Status { status, .. } => *status >= 500 || matches!(status, 408 | 425 | 429),
            HttpError::Setup(_) => false,
        }
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// The client, with the device's token and trust.
pub struct Http {
    agent: Agent,
    /// None until it is claimed.
    token: OnceLock<String>,
    /// Where it is claimed.
    server: Option<String>,
    /// Scheme, host and port that the token is for: it is told to nobody else.
    token_origin: Option<url::Origin>,
}

impl Http {
    /// # Errors
    /// When `caFile` or `tokenFile` cannot be used.
    pub fn new(config: &Config) -> Result<Http, HttpError> {
        let mut token = OnceLock::new();
        let is_claimed = |file: &Path| {
            config.provisioning_key_file.is_none() || has_content(file).unwrap_or(true)
        };
        let file = config.token_file.as_deref();
        if let Some(file) = file.filter(|file| is_claimed(file)) {
            token = OnceLock::from(read_token("tokenFile", file)?);
        }
        let first = config.packages.first().map(|it| it.remote.as_str());
        let server = config.server.as_deref().or(first);
        Ok(Http {
            agent: agent(config.ca_file.as_deref())?,
            token,
            server: config.server.clone(),
            token_origin: server.and_then(origin),
        })
    }

    pub fn get(&self, url: &str) -> Result<Answer, HttpError> {
        let request = self.agent.get(url).config();
        let request = request.timeout_global(Some(ANSWER_TIMEOUT)).build();
        let answer = match self.authorization(url) {
            Some(value) => request.header("authorization", value).call(),
            None => request.call(),
        };
        read_answer(url, answer)
    }

    pub fn post(&self, url: &str, body: &Value) -> Result<Answer, HttpError> {
        let request = self.agent.post(url).config();
        let request = request.timeout_global(Some(ANSWER_TIMEOUT)).build();
        let request = request.header("content-type", "application/json");
        let bytes = body.to_string();
        let answer = match self.authorization(url) {
            Some(value) => request.header("authorization", value).send(bytes),
            None => request.send(bytes),
        };
        read_answer(url, answer)
    }

    pub fn has_token(&self) -> bool {
        self.token.get().is_some()
    }

    pub fn set_token(&self, token: String) {
        // One that is there stays.
        let _ = self.token.set(token);
    }

    /// Claims the device's token with the fleet's provisioning key, which nobody else is told.
    pub fn claim(&self, device: &str, key: &str, body: &Value) -> Result<(), HttpError> {
        let server = self.server.as_deref().unwrap_or_default();
        let url = format!("{server}/api/ota/gateways/{device}/claim");
        let request = self.agent.post(&url).config();
        let request = request
            .timeout_global(Some(ANSWER_TIMEOUT))
            .max_redirects(0)
            .build();
        let answer = request
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {key}"))
            .send(body.to_string());
        read_answer(&url, answer)?.ok(&url).map(drop)
    }

    /// Begins a download at byte `offset`, if the file's ETag still is `etag`; what comes is in the
    /// answer's status and headers.
    pub fn open(&self, url: &str, offset: u64, etag: &str) -> Result<Response<Body>, HttpError> {
        let mut request = self.agent.get(url);
        if let Some(value) = self.authorization(url) {
            request = request.header("authorization", value);
        }
        // A file that the way compresses has other offsets than the one that is asked for.
        request = request.header("accept-encoding", "identity");
        if offset > 0 {
            request = request.header("range", format!("bytes={offset}-"));
            request = request.header("if-range", format!("\"{etag}\""));
        }
        let response = request.call().map_err(|error| unreachable(url, &error))?;
        let status = response.status();
        if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(response);
        }
        let answer = read_answer(url, Ok(response))?;
        Err(refusal(url, &answer))
    }

    fn authorization(&self, url: &str) -> Option<String> {
        let token = self.token.get()?;
        let is_meant = origin(url)? == *self.token_origin.as_ref()?;
        is_meant.then(|| format!("Bearer {token}"))
    }
}

impl Answer {
    /// The body, if the status is a success.
    pub fn ok(self, url: &str) -> Result<Vec<u8>, HttpError> {
        match (200..300).contains(&self.status) {
            true => Ok(self.body),
            false => Err(refusal(url, &self)),
        }
    }
}

fn agent(ca_file: Option<&Path>) -> Result<Agent, HttpError> {
    let roots = match ca_file {
        None => RootCerts::PlatformVerifier,
        Some(file) => RootCerts::new_with_certs(&certificates(file)?),
    };
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let tls = TlsConfig::builder()
        .root_certs(roots)
        .unversioned_rustls_crypto_provider(Arc::new(provider));
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("airlift-agent/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_resolve(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(SILENCE_TIMEOUT))
        .timeout_per_read(Some(SILENCE_TIMEOUT))
        .timeout_per_write(Some(SILENCE_TIMEOUT))
        .input_buffer_size(64 << 10)
        .max_redirects(4)
        .tls_config(tls.build());
    Ok(config.build().new_agent())
}

fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>, HttpError> {
    let fault = |why: String| HttpError::Setup(format!("caFile {}: {why}", file.display()));
    let bytes = fs::read(file).map_err(|error| fault(error.to_string()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&bytes) {
        match item.map_err(|error| fault(error.to_string()))? {
            PemItem::Certificate(certificate) => certificates.push(certificate),
            _ => continue,
        }
    }
    match certificates.is_empty() {
        true => Err(fault("holds no certificate; it takes PEM".into())),
        false => Ok(certificates),
    }
}

/// The one line of a file that the device JSON names as `member`.
pub fn read_token(member: &str, file: &Path) -> Result<String, HttpError> {
    let fault = |why: String| HttpError::Setup(format!("{member} {}: {why}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| fault(error.to_string()))?;
    let token = text.trim();
    let fits = (1..=TOKEN_BYTES_MAX).contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    match fits {
        true => Ok(token.to_owned()),
        false => Err(fault("holds none; it takes one line".into())),
    }
}

fn origin(url: &str) -> Option<url::Origin> {
    url::Url::parse(url).ok().map(|it| it.origin())
}

/// As it may stand in logs and reports: a signature in it is as good as a token.
fn shown(url: &str) -> String {
    let head = url.split_once("&signature=").map_or(url, |(head, _)| head);
    head.to_owned()
}

fn read_answer(
    url: &str,
    answer: Result<Response<Body>, ureq::Error>,
) -> Result<Answer, HttpError> {
    let mut answer = answer.map_err(|error| unreachable(url, &error))?;
    let status = answer.status().as_u16();
    let mut body = Vec::new();
    let reader = answer.body_mut().as_reader();
    let read = reader.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut body);
    read.map_err(|error| HttpError::Unreachable {
        url: shown(url),
        why: error.to_string(),
    })?;
    if body.len() as u64 > ANSWER_BYTES_MAX {
        return Err(HttpError::Unreachable {
            url: shown(url),
            why: format!("answers with more than {ANSWER_BYTES_MAX} bytes"),
        });
    }
    Ok(Answer { status, body })
}

fn unreachable(url: &str, error: &ureq::Error) -> HttpError {
    HttpError::Unreachable {
        url: shown(url),
        why: error.to_string(),
    }
}

/// What an answer that says no says.
pub fn refusal(url: &str, answer: &Answer) -> HttpError {
    let envelope: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |name: &str| envelope[name].as_str().unwrap_or_default().to_owned();
    HttpError::Status {
        url: shown(url),
        status: answer.status,
        code: text("code"),
        message: text("message"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_download_does_not_tell_its_signature() {
        let url = "http://ota/firmware/linux_v1.bin?gateway=g&expires=1&signature=secret";
        let answer = Answer {
            status: 403,
            body: b"{}".to_vec(),
        };
        let unreachable = unreachable(url, &ureq::Error::HostNotFound);
        for error in [refusal(url, &answer), unreachable] {
            let text = format!("{error} {error:?}");
            assert!(!text.contains("secret"), "{text}");
            assert!(text.contains("linux_v1.bin?gateway=g"), "{text}");
        }
    }
}
