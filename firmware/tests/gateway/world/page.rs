//! The upload page before the gateway, and forms as curl writes them.

use airlift_firmware::page::{Connection, Page, Progress, Settings};

use super::*;

const BOUNDARY: &str = "------------------------d74496d66958873e";
/// Of `:correct horse`.
const LOGIN: &str = "Authorization: Basic OmNvcnJlY3QgaG9yc2U=";

/// For what asks for the time and does not care.
pub const NOW: Now = Now {
    ms: 0,
    unix_seconds: SENT_AT,
    jitter: 0,
};

/// What the page answered.
#[derive(Debug, PartialEq)]
pub struct Said {
    /// HTTP.
    pub status: u16,
    /// Body.
    pub text: String,
}

impl Said {
    pub fn is_installed(&self) -> bool {
        self.status == 200
    }
}

/// A whole request with these parts.
pub fn request_of(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, content) in parts {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"f\"\r\n\r\n"
        );
        body.extend(head.as_bytes());
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{BOUNDARY}--\r\n").as_bytes());
    let head = format!(
        "POST /api/ota/upload HTTP/1.1\r\nHost: g\r\n{LOGIN}\r\nContent-Length: {}\r\n\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), &body].concat()
}

/// An open connection to the page.
pub struct Peer {
    connection: Connection,
    page: Page,
}

impl Peer {
    pub fn new() -> Self {
        Peer {
            connection: Connection::new(),
            page: Page::new(Settings {
                password: Some("correct horse".try_into().unwrap()),
                ..Settings::default()
            }),
        }
    }

    /// Sends in pieces until there is an answer. `None`: the power went, or none has come.
    pub fn send(&mut self, world: &mut World, request: &[u8]) -> Option<Said> {
        let mut sent = Vec::new();
        for piece in request.chunks(1_461) {
            let now = world.now();
            let gateway = world.gateway.as_mut().unwrap();
            let out = &mut |bytes: &[u8]| sent.extend_from_slice(bytes);
            let progress = self
                .connection
                .receive(piece, now, &mut self.page, gateway, out);
            if world.is_cut() {
                world.was_cut();
                world.start();
                return None;
            }
            if progress != Progress::NeedMore {
                let answer = String::from_utf8(sent).unwrap();
                let (head, text) = answer.split_once("\r\n\r\n").unwrap();
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                let is_installed = progress == Progress::Installed;
                assert_eq!(is_installed, status == 200, "{answer}");
                return Some(Said {
                    status,
                    text: text.into(),
                });
            }
        }
        None
    }

    /// The connection breaks.
    pub fn lose(&mut self, world: &mut World) {
        self.connection.lost(world.gateway.as_mut().unwrap());
    }
}

impl World {
    /// An image that comes over the upload page.
    pub fn know(&mut self, version: &str) {
        let file = File {
            kind: FileKind::Good,
            version: version.into(),
            bytes: self.image_bytes,
        };
        self.files.insert(format!("page {version}"), file);
    }

    /// Posts a form over the page, and lets the gateway reboot once it was answered that it may.
    pub fn post(&mut self, parts: &[(&str, &[u8])]) -> Option<Said> {
        let said = Peer::new().send(self, &request_of(parts));
        if said.as_ref().is_some_and(Said::is_installed) {
            self.happens(Event::LocalDone);
        }
        said
    }
}
