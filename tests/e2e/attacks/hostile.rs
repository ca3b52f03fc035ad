//! A server that answers a gateway whatever an attacker likes.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{StatusCode, header::CONTENT_LENGTH},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::{StreamExt, stream};
use md5::Md5;
use rumqttc::v5::{
    AsyncClient, Event, MqttOptions,
    mqttbytes::{QoS, v5::Packet},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::forge::Pieces;

#[derive(Clone)]
pub enum Answer {
    Bytes(Vec<u8>),
    /// Zeros without end.
    Endless,
}

/// What the gateway is told: the files, and what becomes of the command that names them.
pub struct Lie {
    pieces: Pieces,
    files: BTreeMap<String, Answer>,
    announced: Vec<(String, Vec<u8>)>,
    change: Option<fn(&mut Value)>,
}

impl Lie {
    /// No lie yet: these pieces, and a command that fits them.
    pub fn serving(pieces: Pieces) -> Lie {
        let files = pieces.members();
        let files = files
            .into_iter()
            .map(|(name, bytes)| (name.to_owned(), Answer::Bytes(bytes.to_vec())))
            .collect();
        let announced = owned(&pieces);
        Lie {
            pieces,
            files,
            announced,
            change: None,
        }
    }

    pub fn file(mut self, name: &str, answer: Answer) -> Lie {
        self.files.insert(name.to_owned(), answer);
        self
    }

    /// The command describes another bundle's parts.
    pub fn announcing(mut self, other: &Pieces) -> Lie {
        self.announced = owned(other);
        self
    }

    /// Changes the command's `data`.
    pub fn command(mut self, change: fn(&mut Value)) -> Lie {
        self.change = Some(change);
        self
    }

    fn data(&self, url: &str, msg_id: &str) -> Value {
        let manifest: Value = serde_json::from_slice(&self.pieces.manifest).unwrap();
        let parts: Vec<Value> = self
            .announced
            .iter()
            .map(|(name, bytes)| {
                json!({
                    "name": name,
                    "partition": if name == "firmware.bin" { "app" } else { "spiffs_web" },
                    "url": format!("{url}/{name}"),
                    "size": bytes.len(),
                    "sha256": hex::encode(Sha256::digest(bytes)),
                    "md5": hex::encode(Md5::digest(bytes)),
                })
            })
            .collect();
        let mut data = json!({
            "version": manifest["version"],
            "firmwareUrl": parts[0]["url"],
            "md5": parts[0]["md5"],
            "sha256": parts[0]["sha256"],
            "fileSize": parts[0]["size"],
            "forceUpgrade": true,
            "msgId": msg_id,
            "manifestUrl": format!("{url}/manifest.json"),
            "signatureUrl": format!("{url}/manifest.json.asc"),
            "kind": manifest["kind"],
            "parts": parts,
        });
        if let Some(change) = self.change {
            change(&mut data);
        }
        data
    }
}

fn owned(pieces: &Pieces) -> Vec<(String, Vec<u8>)> {
    let parts = pieces.parts.iter();
    parts
        .map(|(name, bytes)| ((*name).to_owned(), bytes.clone()))
        .collect()
}

#[derive(Clone, Default)]
struct Files {
    answers: Arc<Mutex<BTreeMap<String, Answer>>>,
    part_bytes: Arc<AtomicU64>,
}

pub struct Hostile {
    files: Files,
    url: String,
}

impl Hostile {
    pub async fn start() -> Hostile {
        let files = Files::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/{name}", get(answer))
            .with_state(files.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Hostile { files, url }
    }

    /// From now on these files are served, and bytes are counted anew.
    pub fn lie(&self, lie: &Lie) {
        *self.files.answers.lock().unwrap() = lie.files.clone();
        self.files.part_bytes.store(0, Ordering::SeqCst);
    }

    /// Bytes of parts that were handed out.
    pub fn part_bytes(&self) -> u64 {
        self.files.part_bytes.load(Ordering::SeqCst)
    }

    /// Publishes the lie's command; returns when the broker has it.
    pub async fn command(&self, mqtt_port: u16, gateway_id: &str, msg_id: &str, lie: &Lie) {
        let command = json!({
            "msgType": "ota_upgrade",
            "msgId": msg_id,
            "uuid": gateway_id,
            "timestamp": 1_750_000_000,
            "data": lie.data(&self.url, msg_id),
        });
        let options = MqttOptions::new("attacker", "127.0.0.1", mqtt_port);
        let (client, mut events) = AsyncClient::new(options, 4);
        let topic = format!("hanqi/gateway/{gateway_id}/command");
        client
            .publish(topic, QoS::AtLeastOnce, false, command.to_string())
            .await
            .unwrap();
        loop {
            if let Event::Incoming(Packet::PubAck(_)) = events.poll().await.unwrap() {
                return;
            }
        }
    }
}

async fn answer(State(files): State<Files>, Path(name): Path<String>) -> Response {
    let is_part = name.ends_with(".bin");
    let found = files.answers.lock().unwrap().get(&name).cloned();
    let counted = files.part_bytes.clone();
    let count = move |bytes: &Bytes| {
        if is_part {
            counted.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        }
    };
    match found {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(Answer::Bytes(bytes)) => {
            let bytes = Bytes::from(bytes);
            count(&bytes);
            ([(CONTENT_LENGTH, bytes.len())], bytes).into_response()
        }
        Some(Answer::Endless) => {
            let zeros = Bytes::from_static(&[0; 4096]);
            let stream = stream::repeat(zeros).map(move |bytes| {
                count(&bytes);
                Ok::<_, std::convert::Infallible>(bytes)
            });
            Body::from_stream(stream).into_response()
        }
    }
}
