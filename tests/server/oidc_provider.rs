//! A real OpenID Connect provider, and a browser's way through it.

use std::{path::Path, time::Duration};

use airlift_testkit::{Process, free_port, node_folder, program};
use reqwest::{
    Client, Response,
    header::{COOKIE, LOCATION, SET_COOKIE},
    redirect,
};
use serde_json::Value;

const READY_LIMIT: Duration = Duration::from_secs(30);
/// Pages and redirects of one login at the provider.
const STEPS_MAX: usize = 20;
pub const CLIENT_ID: &str = "airlift";
/// As `tests/oidc/provider.mjs` has it.
pub const CLIENT_SECRET: &str = "the-secret-of-this-client";

pub struct OidcServer {
    process: Process,
    pub issuer: String,
}

impl OidcServer {
    /// Starts one that sends people back to a server at this address.
    pub fn start(server: &str) -> OidcServer {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oidc");
        let folder = node_folder("oidc", &source).unwrap();
        let script = folder.join("provider.mjs").display().to_string();
        let port = free_port().unwrap().to_string();
        let redirect = format!("{server}/api/ota/login/oidc/callback");
        let node = program("node", "nodejs").unwrap();
        let arguments = [script.as_str(), &port, &redirect];
        let mut process = Process::spawn(node, &arguments, &[], "oidc-provider").unwrap();
        process.wait_for_line("ready", READY_LIMIT).unwrap();
        OidcServer {
            process,
            issuer: format!("http://127.0.0.1:{port}"),
        }
    }

    pub fn kill(&mut self) {
        self.process.kill9().unwrap();
    }

    /// What it says of a person from now on.
    pub async fn set_claims(&self, person: &str, claims: Value) {
        let url = format!("{}/test/claims/{person}", self.issuer);
        let sent = Client::new().put(url).json(&claims).send().await.unwrap();
        assert_eq!(sent.status(), 200);
    }

    /// It signs with a key that nobody has seen.
    pub async fn change_keys(&self) {
        let url = format!("{}/test/keys", self.issuer);
        let sent = Client::new().post(url).send().await.unwrap();
        assert_eq!(sent.status(), 200);
    }
}

/// It keeps cookies and follows redirects only when told to.
pub struct Browser {
    http: Client,
    cookies: Vec<(String, String)>,
}

impl Browser {
    pub fn new() -> Browser {
        let http = Client::builder().redirect(redirect::Policy::none());
        Browser {
            http: http.build().unwrap(),
            cookies: Vec::new(),
        }
    }

    pub fn cookie(&self, name: &str) -> Option<&str> {
        let found = self.cookies.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn set_cookie(&mut self, name: &str, value: &str) {
        self.cookies.retain(|(known, _)| known != name);
        if !value.is_empty() {
            self.cookies.push((name.to_owned(), value.to_owned()));
        }
    }

    pub async fn get(&mut self, url: &str) -> Response {
        self.send(self.http.get(url)).await
    }

    async fn post(&mut self, url: &str, form: &str) -> Response {
        let request = self.http.post(url).body(form.to_owned());
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        self.send(request).await
    }

    /// Servers on the same host share cookies, whatever their ports.
    async fn send(&mut self, request: reqwest::RequestBuilder) -> Response {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = request.header(COOKIE, cookies.join("; "));
        let response = request.send().await.unwrap();
        for cookie in response.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.set_cookie(name, value);
        }
        response
    }

    /// Goes through the provider's forms as `person`, from its authorization URL to the address that it
    /// sends back to.
    pub async fn log_in_at_provider(&mut self, url: &str, person: &str) -> String {
        let issuer = url.split("/auth").next().unwrap().to_owned();
        let mut response = self.get(url).await;
        for _ in 0..STEPS_MAX {
            if let Some(next) = location(&response) {
                let next = match next.starts_with('/') {
                    true => format!("{issuer}{next}"),
                    false => next,
                };
                if next.contains("/api/ota/login/oidc/callback") {
                    return next;
                }
                response = self.get(&next).await;
                continue;
            }
            let page = response.text().await.unwrap();
            let action = between(&page, "action=\"", "\"");
            let action = match action.starts_with('/') {
                true => format!("{issuer}{action}"),
                false => action.to_owned(),
            };
            let form = match between(&page, "name=\"prompt\" value=\"", "\"") {
                "login" => format!("prompt=login&login={person}&password=x"),
                prompt => format!("prompt={prompt}"),
            };
            response = self.post(&action, &form).await;
        }
        panic!("the provider asks on and on");
    }
}

pub fn location(response: &Response) -> Option<String> {
    let value = response.headers().get(LOCATION)?;
    Some(value.to_str().unwrap().to_owned())
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let begin = text
        .find(before)
        .unwrap_or_else(|| panic!("no {before:?} in {text}"))
        + before.len();
    let end = text[begin..].find(after).unwrap();
    &text[begin..begin + end]
}
