//! A gateway's token: given, of a list, or made by itself and claimed with a provisioning key.

use std::{
    collections::HashMap,
    fmt,
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use base64ct::{Base64UrlUnpadded, Encoding};
use reqwest::{Client, StatusCode, Url, redirect::Policy};
use rustls::crypto::CryptoProvider;
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};

use crate::{args::Member, flash, say::Say};

const TOKEN_PREFIX: &str = "alg_";
const TOKEN_RANDOM_BYTES: usize = 32;
/// The second line of a token's file once the server knows it.
const CLAIMED: &str = "claimed";
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// A gateway's token; nothing shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    pub fn new(token: String) -> Token {
        Token(token)
    }

    /// For the broker, the server and the file.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    fn make() -> Result<Token> {
        let mut random = [0; TOKEN_RANDOM_BYTES];
        CryptoProvider::get_default()
            .and_then(|provider| provider.secure_random.fill(&mut random).ok())
            .ok_or_else(|| anyhow!("this system has no randomness; give --token"))?;
        let body = Base64UrlUnpadded::encode_string(&random);
        Ok(Token(format!("{TOKEN_PREFIX}{body}")))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Where tokens come from.
pub enum Credentials {
    /// From the command line, or nowhere.
    Given(Option<Token>),
    /// By gateway id.
    Listed(HashMap<String, Token>),
    Claimed(Provisioning),
}

/// How tokens are claimed.
pub struct Provisioning {
    key: Token,
    server: Url,
    client: Client,
}

impl Provisioning {
    pub fn new(key: &str, server: &str) -> Result<Provisioning> {
        let url = Url::parse(server).ok();
        let server = url
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .with_context(|| format!("--server {server:?} must begin with http:// or https://"))?;
        let client = Client::builder()
            .user_agent(concat!("airlift-gateway/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_MAX)
            .timeout(ANSWER_MAX)
            // The key is for this server alone.
            .redirect(Policy::none())
            .build()
            .context("cannot set up the HTTP client")?;
        Ok(Provisioning {
            key: Token::new(key.trim().to_owned()),
            server,
            client,
        })
    }

    fn url(&self, gateway_id: &str) -> Url {
        let mut url = self.server.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments
                .pop_if_empty()
                .extend(["api", "ota", "gateways", gateway_id, "claim"]);
        }
        url
    }

    /// Claims `token`: an error is final, `Ok(false)` may pass.
    async fn claim(&self, gateway_id: &str, token: &Token, say: &Say) -> Result<bool> {
        let sent = self
            .client
            .post(self.url(gateway_id))
            .bearer_auth(self.key.reveal())
            .json(&json!({ "token": token.reveal() }))
            .send()
            .await;
        let why = match sent {
            Ok(answer) if answer.status().is_success() => return Ok(true),
            Ok(answer) => {
                let status = answer.status();
                let body = answer.bytes().await.unwrap_or_default();
                let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                let message = body["message"].as_str().unwrap_or("no reason is given");
                let message: String = message.chars().filter(|c| !c.is_control()).collect();
                if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
                    bail!("the server refuses the claim of a token ({status}): {message}");
                }
                format!("{status}: {message}")
            }
            Err(error) => error.without_url().to_string(),
        };
        let text = format!("cannot claim its token yet, and tries again: {why}");
        say.event(gateway_id, "claim_failed", &text);
        Ok(false)
    }
}

impl Credentials {
    /// The token of a gateway; `None` if it is stopped before it has claimed one.
    pub async fn token(
        &self,
        member: &Member,
        say: &Say,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Option<Option<Token>>> {
        match self {
            Credentials::Given(token) => Ok(Some(token.clone())),
            Credentials::Listed(tokens) => {
                let token = tokens.get(&member.id).cloned();
                Ok(Some(Some(token.with_context(|| {
                    format!("--tokens has no token of {}", member.id)
                })?)))
            }
            Credentials::Claimed(provisioning) => {
                let token = claimed(provisioning, member, say, stop).await?;
                Ok(token.map(Some))
            }
        }
    }
}

async fn claimed(
    provisioning: &Provisioning,
    member: &Member,
    say: &Say,
    stop: &mut watch::Receiver<bool>,
) -> Result<Option<Token>> {
    let path = flash::with_suffix(&member.flash, ".token");
    let token = match read(&path)? {
        Some((token, true)) => return Ok(Some(token)),
        Some((token, false)) => token,
        None => {
            let token = Token::make()?;
            // Before the server knows it: after a power cut the same is claimed again.
            write(&path, &format!("{}\n", token.reveal()))?;
            token
        }
    };
    let mut wait = WAIT_MIN;
    loop {
        tokio::select! {
            claimed = provisioning.claim(&member.id, &token, say) => if claimed? { break },
            _ = stop.wait_for(|stop| *stop) => return Ok(None),
        }
        tokio::select! {
            () = sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0)) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(None),
        }
        wait = (wait * 2).min(WAIT_MAX);
    }
    write(&path, &format!("{}\n{CLAIMED}\n", token.reveal()))?;
    say.event(&member.id, "claimed", "has claimed its token");
    Ok(Some(token))
}

/// The token in a file, and whether the server knows it.
fn read(path: &Path) -> Result<Option<(Token, bool)>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let mut lines = text.lines();
    let token = lines.next().unwrap_or_default();
    ensure!(
        token.starts_with(TOKEN_PREFIX),
        "{} holds no token; delete it to claim a new one",
        path.display()
    );
    let is_claimed = lines.next() == Some(CLAIMED);
    Ok(Some((Token::new(token.to_owned()), is_claimed)))
}

/// Puts the text in the file's place at once, on the disk, for its owner alone.
fn write(path: &Path, text: &str) -> Result<()> {
    let fresh = flash::with_suffix(path, ".new");
    let written = || -> std::io::Result<()> {
        // What a killed process has left may be readable for others.
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        if cfg!(unix) {
            File::open(flash::folder_of(path))?.sync_all()?;
        }
        Ok(())
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}

/// Tokens by gateway id, from a file as `airlift gateway add --csv` writes it.
pub fn read_list(path: &Path) -> Result<HashMap<String, Token>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut lines = text.lines();
    ensure!(
        lines.next().map(str::trim) == Some("gateway_id,token"),
        "{}: the first line must be gateway_id,token, as airlift gateway add --csv writes it",
        path.display()
    );
    let mut tokens = HashMap::new();
    for (number, line) in (2..).zip(lines) {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        // Not echoed: it holds a token.
        let (id, token) = line
            .split_once(',')
            .filter(|(id, token)| !id.is_empty() && !token.is_empty() && !token.contains(','))
            .with_context(|| format!("{}: line {number} is no id,token", path.display()))?;
        tokens.insert(id.to_owned(), Token::new(token.to_owned()));
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_gives_each_gateway_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.csv");
        fs::write(&path, "gateway_id,token\r\nG1,alg_a\r\n\r\nG2,alg_b\r\n").unwrap();
        let tokens = read_list(&path).unwrap();
        assert_eq!(tokens.len(), 2);
        assert_eq!(tokens["G2"].reveal(), "alg_b");
        assert_eq!(format!("{:?}", tokens["G2"]), "Token(…)");
        for wrong in ["G1,alg_secret\n", "gateway_id,token\nalg_secret\n"] {
            fs::write(&path, wrong).unwrap();
            let error = format!("{:#}", read_list(&path).unwrap_err());
            assert!(!error.contains("alg_secret"), "{error}");
        }
    }

    #[test]
    fn a_file_tells_whether_the_server_knows_its_token() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("g.img.token");
        assert_eq!(read(&path).unwrap(), None);
        for (text, is_claimed) in [("alg_x\n", false), ("alg_x\nclaimed\n", true)] {
            write(&path, text).unwrap();
            let token = Token::new("alg_x".into());
            assert_eq!(read(&path).unwrap(), Some((token, is_claimed)));
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        write(&path, "secret\n").unwrap();
        let error = format!("{:#}", read(&path).unwrap_err());
        assert!(error.contains("holds no token") && !error.contains("secret"));
    }

    #[test]
    fn a_server_may_stand_below_a_path() {
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        let provisioning = Provisioning::new("alp_x", "https://h/ota/").unwrap();
        let url = provisioning.url("A:1").to_string();
        assert_eq!(url, "https://h/ota/api/ota/gateways/A:1/claim");
        assert!(Provisioning::new("alp_x", "localhost").is_err());
    }
}
