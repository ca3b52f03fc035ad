//! Answers, written out piece by piece: a body is produced twice, first to learn its length, so
//! that none has to be kept.

use core::fmt::{self, Write};

use super::Settings;
use super::failure::{Failure, Header};

const INDEX: &str = include_str!("index.html");
const PAGE: &str = include_str!("ota.html");
const SCRIPT: &str = include_str!("ota.js");

/// Allows the page its own script, style and upload, and nothing from or into elsewhere.
/// `Referrer-Policy` must not be `no-referrer`: browsers would then send `Origin: null`.
const SECURITY: &str = "Cache-Control: no-store\r\n\
    Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; \
    img-src data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'\r\n\
    X-Content-Type-Options: nosniff\r\n\
    X-Frame-Options: DENY\r\n\
    Referrer-Policy: same-origin\r\n\
    Connection: close\r\n";

/// What the page asks for.
const PLAIN: &str = "the application image (.bin)";
const SIGNED: &str = "manifest.json, manifest.json.asc and firmware.bin of a signed bundle";

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

/// Where an answer goes.
pub(super) struct Answer<'o> {
    pub(super) out: &'o mut dyn FnMut(&[u8]),
    /// HEAD: everything but the body.
    pub(super) head_only: bool,
}

impl Answer<'_> {
    /// RFC 9110, 15.2.1.
    pub(super) fn go_on(&mut self) {
        (self.out)(b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    pub(super) fn index(&mut self, settings: &Settings) {
        self.send(200, HTML, Header::None, &|out| {
            render(INDEX, settings, PLAIN, out)
        });
    }

    pub(super) fn page(&mut self, settings: &Settings, wants_signature: bool) {
        let files = if wants_signature { SIGNED } else { PLAIN };
        self.send(200, HTML, Header::None, &|out| {
            render(PAGE, settings, files, out)
        });
    }

    pub(super) fn script(&mut self) {
        self.send(
            200,
            "text/javascript; charset=utf-8",
            Header::None,
            &|out| out.write_str(SCRIPT),
        );
    }

    pub(super) fn installed(&mut self) {
        self.send(200, JSON, Header::None, &|out| {
            out.write_str("{\"status\":\"ok\",\"message\":\"Update installed; rebooting\"}\n")
        });
    }

    pub(super) fn failure(&mut self, failure: &Failure) {
        let (error, header) = match failure {
            Failure::Session(refusal) => (refusal.error.as_str(), Header::None),
            Failure::NotAnImage(_) => ("Upload failed", Header::None),
            Failure::Fixed(fixed) => (fixed.error, fixed.header),
        };
        self.send(failure.status(), JSON, header, &|out| {
            write!(
                out,
                "{{\"status\":\"error\",\"error\":\"{error}\",\"cause\":\""
            )?;
            let text = &mut Escaped {
                out,
                escape: json_escape,
            };
            match failure {
                Failure::Session(refusal) => text.write_str(&refusal.cause),
                Failure::Fixed(fixed) => text.write_str(fixed.cause),
                Failure::NotAnImage(byte) => write!(
                    text,
                    "this is not an application image: it begins with 0x{byte:02X}, not with 0xE9"
                ),
            }?;
            out.write_str("\"}\n")
        });
    }

    fn send(
        &mut self,
        status: u16,
        content_type: &str,
        header: Header,
        body: &dyn Fn(&mut dyn Write) -> fmt::Result,
    ) {
        let mut length = Length(0);
        let mut to = Out(self.out);
        // Neither of the two writers can fail.
        let _ = body(&mut length);
        let _ = write!(
            to,
            "HTTP/1.1 {status} {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n{SECURITY}",
            reason(status),
            length.0
        );
        let _ = match header {
            Header::None => Ok(()),
            Header::Allow(methods) => write!(to, "Allow: {methods}\r\n"),
            Header::Challenge => {
                to.write_str("WWW-Authenticate: Basic realm=\"OTA Update\", charset=\"UTF-8\"\r\n")
            }
            Header::RetryAfter(seconds) => write!(to, "Retry-After: {seconds}\r\n"),
        };
        let _ = to.write_str("\r\n");
        if !self.head_only {
            let _ = body(&mut to);
        }
    }
}

struct Out<'o>(&'o mut dyn FnMut(&[u8]));

impl Write for Out<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !text.is_empty() {
            (self.0)(text.as_bytes());
        }
        Ok(())
    }
}

struct Length(usize);

impl Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

/// Writes text so that it stays text where it goes.
struct Escaped<'o> {
    out: &'o mut dyn Write,
    escape: fn(char, &mut dyn Write) -> fmt::Result,
}

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars()
            .try_for_each(|char| (self.escape)(char, self.out))
    }
}

fn json_escape(char: char, out: &mut dyn Write) -> fmt::Result {
    match char {
        '"' | '\\' => write!(out, "\\{char}"),
        '\0'..' ' => write!(out, "\\u{:04x}", u32::from(char)),
        _ => out.write_char(char),
    }
}

fn html_escape(char: char, out: &mut dyn Write) -> fmt::Result {
    match char {
        '&' => out.write_str("&amp;"),
        '<' => out.write_str("&lt;"),
        '>' => out.write_str("&gt;"),
        '"' => out.write_str("&quot;"),
        '\'' => out.write_str("&#39;"),
        _ => out.write_char(char),
    }
}

/// Puts in what the template names: `{{device}}`, `{{version}}`, `{{files}}`.
fn render(template: &str, settings: &Settings, files: &str, out: &mut dyn Write) -> fmt::Result {
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out.write_str(before)?;
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        let value = match name {
            "version" => &settings.version,
            "files" => files,
            _ => settings.device.as_str(),
        };
        Escaped {
            out,
            escape: html_escape,
        }
        .write_str(value)?;
        rest = after;
    }
    out.write_str(rest)
}

/// RFC 9110, 15.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Internal Server Error",
    }
}
