//! A recording update session, and requests as browsers and `curl` write them.

use airlift_firmware::{
    Now,
    page::{Connection, Page, Progress, Refusal, Settings, Upload, UploadError},
};
use base64ct::{Base64, Encoding};

pub const PASSWORD: &str = "correct horse";
pub const BOUNDARY: &str = "------------------------d74496d66958873e";

/// What the page told the session. Calls out of order panic.
#[derive(Default)]
pub struct Session {
    pub any: bool,
    pub wants_signature: bool,
    pub admit_error: Option<Refusal>,
    /// Of manifest and signature.
    pub begin_error: Option<Refusal>,
    /// Fails the write that brings the image over so many bytes.
    pub write_error: Option<(usize, Refusal)>,
    pub end_error: Option<Refusal>,
    pub admitted: usize,
    pub begun: usize,
    /// When the image began, Unix seconds.
    pub begun_at: Option<i64>,
    pub size_at_least: Option<u64>,
    pub manifest: Vec<u8>,
    pub signature: Vec<u8>,
    pub written: Vec<u8>,
    pub ended: usize,
    pub aborted: usize,
    pub open: bool,
    /// The image comes.
    pub begins: bool,
}

impl Upload for Session {
    fn accepts_any(&self) -> bool {
        self.any
    }

    fn wants_signature(&self) -> bool {
        self.wants_signature
    }

    fn admit(&mut self, size_at_least: Option<u64>) -> Result<(), Refusal> {
        assert!(!self.open, "an upload within an upload");
        self.size_at_least = size_at_least;
        if let Some(refusal) = self.admit_error.clone() {
            return Err(refusal);
        }
        self.admitted += 1;
        (self.open, self.begins) = (true, false);
        Ok(())
    }

    fn manifest(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        assert!(self.wants_signature && self.open && !self.begins && self.signature.is_empty());
        self.manifest.extend_from_slice(bytes);
        Ok(())
    }

    fn signature(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        assert!(self.wants_signature && self.open && !self.begins);
        self.signature.extend_from_slice(bytes);
        Ok(())
    }

    fn begin(&mut self, now: Now) -> Result<(), Refusal> {
        assert!(self.open && !self.begins, "begin out of order");
        if let Some(refusal) = self.begin_error.clone() {
            return Err(refusal);
        }
        self.begun += 1;
        self.begun_at = Some(now.unix_seconds);
        self.begins = true;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        assert!(self.open && self.begins, "write without a session");
        assert!(!bytes.is_empty(), "a write of nothing");
        if let Some((limit, refusal)) = &self.write_error
            && self.written.len() + bytes.len() > *limit
        {
            return Err(refusal.clone());
        }
        self.written.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Refusal> {
        assert!(self.open && self.begins, "end without a session");
        match self.end_error.clone() {
            Some(refusal) => Err(refusal),
            None => {
                self.open = false;
                self.ended += 1;
                Ok(())
            }
        }
    }

    fn abort(&mut self) {
        assert!(self.open, "abort without a session");
        self.open = false;
        self.aborted += 1;
    }
}

pub fn refusal(error: UploadError, cause: &str) -> Refusal {
    Refusal {
        error,
        cause: cause.try_into().unwrap(),
    }
}

pub fn settings(password: Option<&str>) -> Settings {
    Settings {
        password: password.map(|password| password.try_into().unwrap()),
        device: "HQ2026TEST001".try_into().unwrap(),
        version: "1.0.2".try_into().unwrap(),
    }
}

pub fn page() -> Page {
    Page::new(settings(Some(PASSWORD)))
}

pub fn base64(text: &str) -> String {
    let mut buffer = vec![0; text.len() * 2 + 4];
    Base64::encode(text.as_bytes(), &mut buffer)
        .unwrap()
        .to_owned()
}

/// An `Authorization` line.
pub fn authorization(password: &str) -> String {
    format!(
        "Authorization: Basic {}\r\n",
        base64(&format!(":{password}"))
    )
}

/// What came back over a connection.
pub struct Answer {
    pub progress: Progress,
    pub text: String,
}

impl Answer {
    /// Of the final answer, after any `100 Continue`.
    pub fn last(&self) -> &str {
        self.text
            .strip_prefix("HTTP/1.1 100 Continue\r\n\r\n")
            .unwrap_or(&self.text)
    }

    pub fn status(&self) -> u16 {
        self.last()
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect(&self.text)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let head = self
            .last()
            .split_once("\r\n\r\n")
            .expect("an answer has a head")
            .0;
        head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn body(&self) -> &str {
        self.last()
            .split_once("\r\n\r\n")
            .expect("an answer has a head")
            .1
    }

    /// (`error`, `cause`) of a JSON answer, whose length must be as told.
    pub fn error(&self) -> (String, String) {
        assert_eq!(
            self.header("Content-Length"),
            Some(self.body().len().to_string().as_str())
        );
        let json: serde_json::Value = serde_json::from_str(self.body()).expect("a body is JSON");
        assert_eq!(json["status"], "error");
        (
            json["error"].as_str().unwrap().to_owned(),
            json["cause"].as_str().unwrap().to_owned(),
        )
    }

    pub fn assert_installed(&self) {
        assert_eq!(self.progress, Progress::Installed, "{}", self.text);
        assert_eq!(self.status(), 200);
        let json: serde_json::Value = serde_json::from_str(self.body()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"status": "ok", "message": "Update installed; rebooting"})
        );
    }

    pub fn assert_refused(&self, status: u16, error: &str, cause: &str) {
        assert_eq!(self.progress, Progress::Close, "{}", self.text);
        assert_eq!(self.status(), status, "{}", self.text);
        let (said, why) = self.error();
        assert_eq!(said, error);
        assert!(why.contains(cause), "{why:?} does not say {cause:?}");
    }
}

/// When every test plays, Unix seconds.
pub const UNIX_SECONDS: i64 = 1_760_000_000;

pub fn at(ms: u64) -> Now {
    Now {
        ms,
        unix_seconds: UNIX_SECONDS,
        jitter: 0,
    }
}

/// Feeds the pieces one after the other, until one of them is answered for good.
pub fn exchange<'p>(
    connection: &mut Connection,
    page: &mut Page,
    session: &mut Session,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Answer {
    exchange_at(0, connection, page, session, pieces)
}

pub fn exchange_at<'p>(
    now_ms: u64,
    connection: &mut Connection,
    page: &mut Page,
    session: &mut Session,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Answer {
    let mut sent = Vec::new();
    let mut progress = Progress::NeedMore;
    for piece in pieces {
        progress = connection.receive(piece, at(now_ms), page, session, &mut |bytes| {
            sent.extend_from_slice(bytes)
        });
        if progress != Progress::NeedMore {
            break;
        }
    }
    Answer {
        progress,
        text: String::from_utf8(sent).unwrap(),
    }
}

/// One request on a new connection, in one piece.
pub fn ask(page: &mut Page, session: &mut Session, request: impl AsRef<[u8]>) -> Answer {
    exchange(&mut Connection::new(), page, session, [request.as_ref()])
}

/// A form as `curl -F firmware=@firmware.bin` writes it.
pub fn form(file: &[u8]) -> Vec<u8> {
    form_of(&[("firmware", file)])
}

pub fn form_of(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, content) in parts {
        body.extend_from_slice(
            format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"firmware.bin\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\n"
            )
            .as_bytes(),
        );
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

/// An upload's head with the right password; `framing` and other lines end with CR LF.
pub fn upload_head(lines: &str) -> String {
    format!(
        "POST /api/ota/upload HTTP/1.1\r\nHost: 10.0.0.7:8080\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n{}\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n{lines}\r\n",
        authorization(PASSWORD)
    )
}

pub fn upload_of(body: &[u8]) -> Vec<u8> {
    let mut request = upload_head(&format!("Content-Length: {}\r\n", body.len())).into_bytes();
    request.extend_from_slice(body);
    request
}

/// The body in chunks of `size` bytes.
pub fn chunked_upload_of(body: &[u8], size: usize) -> Vec<u8> {
    let mut request = upload_head("Transfer-Encoding: chunked\r\n").into_bytes();
    for (index, chunk) in body.chunks(size).enumerate() {
        let extension = if index % 3 == 1 {
            ";name=\"value\""
        } else {
            ""
        };
        request.extend_from_slice(format!("{:X}{extension}\r\n", chunk.len()).as_bytes());
        request.extend_from_slice(chunk);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\nX-Trailer: 1\r\n\r\n");
    request
}
