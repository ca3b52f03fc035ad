//! A request's line and headers: what of them matters here, and nothing else.

use core::str;

use super::body::{Chunk, Framing};
use super::failure::{Failure, Header};

const HEADERS_MAX: usize = 32;

const HEAD_TOO_LARGE: Failure = Failure::new(
    431,
    "Request header too large",
    "this device reads 2048 bytes and 32 headers at most",
);

/// A request's head that did not fit.
pub(super) const fn head_too_large() -> Failure {
    HEAD_TOO_LARGE
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Index,
    Page,
    Script,
    Upload,
}

impl Route {
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/" => Self::Index,
            "/api/ota" => Self::Page,
            "/api/ota.js" => Self::Script,
            "/api/ota/upload" => Self::Upload,
            _ => return None,
        })
    }
}

/// A whole head.
#[derive(Default)]
pub(super) struct Request<'h> {
    pub(super) head_only: bool,
    pub(super) authorization: Option<&'h str>,
    pub(super) content_type: Option<&'h str>,
    method: &'h str,
    target: &'h str,
    http_1_0: bool,
    host: Option<&'h str>,
    origin: Option<&'h str>,
    fetch_site: Option<&'h str>,
    content_length: Option<&'h str>,
    content_encoding: Option<&'h str>,
    transfer_encoding: Option<&'h str>,
    expect: Option<&'h str>,
}

impl<'h> Request<'h> {
    /// `None` while the head is not whole.
    pub(super) fn parse(head: &'h [u8]) -> Result<Option<Self>, Failure> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Request::new(&mut headers);
        match parsed.parse(head) {
            Ok(httparse::Status::Partial) => return Ok(None),
            Ok(httparse::Status::Complete(_)) => {}
            Err(httparse::Error::TooManyHeaders) => return Err(HEAD_TOO_LARGE),
            Err(httparse::Error::Version) => {
                return Err(Failure::new(
                    505,
                    "HTTP version not supported",
                    "this device speaks HTTP/1.1",
                ));
            }
            Err(_) => return Err(Failure::bad_request("this is not an HTTP/1.1 request")),
        }
        let method = parsed.method.unwrap_or_default();
        let mut request = Self {
            head_only: method == "HEAD",
            method,
            target: parsed.path.unwrap_or_default(),
            http_1_0: parsed.version == Some(0),
            ..Self::default()
        };
        for header in parsed.headers.iter() {
            request.set(header)?;
        }
        if request.host.is_none() && !request.http_1_0 {
            return Err(Failure::bad_request("the header Host is missing"));
        }
        Ok(Some(request))
    }

    /// A header that counts may be there once: whoever sends two means to be misunderstood.
    fn set(&mut self, header: &httparse::Header<'h>) -> Result<(), Failure> {
        let fields: [(&str, &mut Option<&'h str>); 9] = [
            ("Host", &mut self.host),
            ("Authorization", &mut self.authorization),
            ("Origin", &mut self.origin),
            ("Sec-Fetch-Site", &mut self.fetch_site),
            ("Content-Type", &mut self.content_type),
            ("Content-Length", &mut self.content_length),
            ("Content-Encoding", &mut self.content_encoding),
            ("Transfer-Encoding", &mut self.transfer_encoding),
            ("Expect", &mut self.expect),
        ];
        for (name, field) in fields {
            if header.name.eq_ignore_ascii_case(name) {
                let value = str::from_utf8(header.value)
                    .map_err(|_| Failure::bad_request("a header's value is not text"))?;
                if field.replace(value.trim()).is_some() {
                    return Err(Failure::bad_request("a header is there twice"));
                }
            }
        }
        Ok(())
    }

    pub(super) fn route(&self) -> Result<Route, Failure> {
        let route = Route::of(self.path()).ok_or(Failure::new(
            404,
            "Not found",
            "there are / and /api/ota for browsers and POST /api/ota/upload",
        ))?;
        let (allow, allowed) = match route {
            Route::Upload => ("POST", self.method == "POST"),
            _ => ("GET, HEAD", matches!(self.method, "GET" | "HEAD")),
        };
        if !allowed {
            return Err(Failure::with(
                405,
                "Method not allowed",
                "see the header Allow",
                Header::Allow(allow),
            ));
        }
        Ok(route)
    }

    /// The target's path; a target may also be a whole URL (RFC 9112, 3.2.2).
    fn path(&self) -> &'h str {
        let target = match self.target.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => {
                rest.find('/').map_or("/", |slash| &rest[slash..])
            }
            _ => self.target,
        };
        target.split('?').next().unwrap_or_default()
    }

    /// Refuses what a page of another site makes the browser send along with the stored login.
    pub(super) fn same_origin(&self) -> Result<(), Failure> {
        let origin_fits = self.origin.is_none_or(|origin| {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            authority.is_some_and(|authority| {
                self.host
                    .is_some_and(|host| host.eq_ignore_ascii_case(authority))
            })
        });
        let site_fits = self
            .fetch_site
            .is_none_or(|site| matches!(site, "same-origin" | "none"));
        if origin_fits && site_fits {
            return Ok(());
        }
        Err(Failure::new(
            403,
            "Cross-site request refused",
            "upload from the device's own page or with curl",
        ))
    }

    pub(super) fn framing(&self) -> Result<Framing, Failure> {
        if self
            .content_encoding
            .is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity"))
        {
            return Err(Failure::upload(
                415,
                "send the form without Content-Encoding",
            ));
        }
        match (self.content_length, self.transfer_encoding) {
            (Some(_), Some(_)) => Err(Failure::upload(
                400,
                "Content-Length and Transfer-Encoding exclude each other",
            )),
            (None, None) => Err(Failure::upload(411, "the header Content-Length is missing")),
            (None, Some(encoding)) if !encoding.eq_ignore_ascii_case("chunked") => Err(
                Failure::upload(501, "chunked is the only Transfer-Encoding here"),
            ),
            (None, Some(_)) if self.http_1_0 => {
                Err(Failure::upload(400, "HTTP/1.0 has no Transfer-Encoding"))
            }
            (None, Some(_)) => Ok(Framing::Chunked(Chunk::START)),
            (Some(length), None) => content_length(length).map(Framing::Length),
        }
    }

    /// Whether the peer waits for `100 Continue` before it sends the body.
    pub(super) fn expects_continue(&self) -> Result<bool, Failure> {
        match self.expect {
            None => Ok(false),
            Some(expect) if expect.eq_ignore_ascii_case("100-continue") => Ok(!self.http_1_0),
            Some(_) => Err(Failure::upload(
                417,
                "100-continue is all that can be expected here",
            )),
        }
    }
}

/// Digits alone: `parse` would take a sign.
fn content_length(text: &str) -> Result<u64, Failure> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
        .ok_or(Failure::upload(
            400,
            "the header Content-Length is not a number",
        ))
}
