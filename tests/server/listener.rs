//! A client of the stream of events.

use reqwest::{Client, Response};
use serde_json::Value;
use tokio::time::timeout;

use crate::app::{SOON, TestApp};

/// Someone who listens to `/api/ota/events`.
pub struct Listener {
    response: Response,
    text: String,
}

/// One event of a stream.
#[derive(Debug)]
pub struct Heard {
    pub id: Option<i64>,
    pub event: String,
    pub data: Value,
}

impl Listener {
    pub async fn open(app: &TestApp, query: &str) -> Listener {
        Self::resume(app, query, None).await
    }

    pub async fn resume(app: &TestApp, query: &str, last_event_id: Option<i64>) -> Listener {
        let mut request = Client::new().get(app.url(&format!("/api/ota/events{query}")));
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = timeout(SOON, request.send()).await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Listener {
            response,
            text: String::new(),
        }
    }

    /// The next event; none if the server has ended the stream.
    pub async fn next(&mut self) -> Option<Heard> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let heard = Heard::parse(block);
                self.text = rest.to_owned();
                match heard {
                    Some(heard) => return Some(heard),
                    None => continue,
                }
            }
            let chunk = timeout(SOON, self.response.chunk()).await;
            let chunk = chunk.expect("something in time").expect("no cut")?;
            self.text += std::str::from_utf8(&chunk).unwrap();
        }
    }

    pub async fn hear(&mut self, count: usize) -> Vec<Heard> {
        let mut heard = Vec::new();
        for _ in 0..count {
            heard.push(self.next().await.expect("the stream goes on"));
        }
        heard
    }
}

impl Heard {
    /// None for a comment.
    fn parse(block: &str) -> Option<Heard> {
        let field = |name: &str| {
            let of_name = |line: &str| {
                line.strip_prefix(name)?
                    .strip_prefix(": ")
                    .map(str::to_owned)
            };
            block.lines().find_map(of_name)
        };
        Some(Heard {
            id: field("id").map(|id| id.parse().unwrap()),
            data: serde_json::from_str(&field("data")?).unwrap(),
            event: field("event").unwrap(),
        })
    }
}
