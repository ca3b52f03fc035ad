//! A receiver of webhooks on loopback.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use airlift_testkit::free_port;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Response},
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::app::eventually;

/// One request that arrived.
#[derive(Clone, Debug)]
pub struct Received {
    pub headers: HeaderMap,
    pub body: String,
}

/// How a receiver answers.
#[derive(Clone, Debug)]
pub enum Answers {
    /// With a status and headers.
    With(u16, Vec<(&'static str, String)>),
    /// Never.
    Not,
}

/// A receiver that listens until it is killed.
pub struct Receiver {
    addr: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    server: Option<JoinHandle<()>>,
}

struct Shared {
    received: Vec<Received>,
    answers: Answers,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("{name}"));
        value.to_str().unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Receiver {
    /// One that answers 200.
    pub async fn start() -> Receiver {
        let mut receiver = Receiver {
            addr: ([127, 0, 0, 1], free_port().unwrap()).into(),
            shared: Arc::new(Mutex::new(Shared {
                received: Vec::new(),
                answers: Answers::With(200, Vec::new()),
            })),
            server: None,
        };
        receiver.start_again().await;
        receiver
    }

    pub async fn start_again(&mut self) {
        let listener = TcpListener::bind(self.addr).await.unwrap();
        let router = Router::new()
            .fallback(receive)
            .with_state(self.shared.clone());
        self.server = Some(tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        }));
    }

    /// From now on nobody listens on its port.
    pub async fn kill(&mut self) {
        let server = self.server.take().expect("it runs");
        server.abort();
        let _ = server.await;
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.addr)
    }

    pub fn answer(&self, answers: Answers) {
        self.shared.lock().unwrap().answers = answers;
    }

    pub fn received(&self) -> Vec<Received> {
        self.shared.lock().unwrap().received.clone()
    }

    /// What has arrived once it is this much.
    pub async fn has_received(&self, count: usize) -> Vec<Received> {
        eventually(&format!("{count} requests"), async || {
            let received = self.received();
            (received.len() >= count).then_some(received)
        })
        .await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

async fn receive(
    State(shared): State<Arc<Mutex<Shared>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let answers = {
        let mut shared = shared.lock().unwrap();
        shared.received.push(Received {
            headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        });
        shared.answers.clone()
    };
    match answers {
        Answers::With(status, headers) => {
            let response = Response::builder().status(status);
            let response = headers
                .into_iter()
                .fold(response, |response, (name, value)| {
                    response.header(name, value)
                });
            response.body(Body::from("ok")).unwrap()
        }
        Answers::Not => std::future::pending().await,
    }
}
