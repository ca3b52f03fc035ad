//! Every route, method and status code.

use airlift_firmware::page::{Connection, HEAD_BYTES, Page, Progress, Settings};

use crate::support::{
    BOUNDARY, PASSWORD, Session, ask, authorization, exchange, form, page, settings, upload_head,
    upload_of,
};

fn request(method: &str, target: &str) -> String {
    format!(
        "{method} {target} HTTP/1.1\r\nHost: 10.0.0.7:8080\r\n{}\r\n",
        authorization(PASSWORD)
    )
}

#[test]
fn a_connection_is_smaller_than_three_kilobytes() {
    let size = size_of::<Connection>();
    println!(
        "Connection: {size} bytes, Page: {} bytes",
        size_of::<Page>()
    );
    assert!(size < 3 * 1024, "{size}");
}

#[test]
fn the_first_page_leads_with_a_button_to_the_upload_page() {
    let answer = ask(
        &mut page(),
        &mut Session::default(),
        "GET / HTTP/1.1\r\nHost: d\r\n\r\n",
    );
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.progress, Progress::Close);
    assert!(
        answer
            .body()
            .contains("<a href=\"/api/ota\">OTA Update</a>")
    );
    assert!(answer.body().contains("HQ2026TEST001"));
    assert!(
        !answer.body().contains("1.0.2"),
        "the version is shown after the login alone"
    );
}

#[test]
fn the_upload_page_names_device_and_version_and_brings_everything_itself() {
    let answer = ask(
        &mut page(),
        &mut Session::default(),
        request("GET", "/api/ota?x=1"),
    );
    assert_eq!(answer.status(), 200);
    let html = answer.body();
    assert!(html.len() < 6 * 1024, "{}", html.len());
    assert!(
        html.contains("<h1>HQ2026TEST001</h1>") && html.contains("<b id=\"version\">1.0.2</b>")
    );
    assert!(
        html.contains("type=\"file\" name=\"firmware\"")
            && html.contains("enctype=\"multipart/form-data\"")
    );
    assert!(html.contains("<progress") && html.contains("<script src=\"/api/ota.js\""));
    for outside in ["http://", "https://", "src=\"//", "{{", "<script>"] {
        assert!(!html.contains(outside), "{outside}");
    }
    let script = ask(
        &mut page(),
        &mut Session::default(),
        request("GET", "/api/ota.js"),
    );
    assert_eq!(
        script.header("Content-Type"),
        Some("text/javascript; charset=utf-8")
    );
    assert!(
        script.body().contains("XMLHttpRequest") && script.body().contains("upload.onprogress")
    );
}

#[test]
fn what_is_shown_stays_text() {
    let mut evil = settings(Some(PASSWORD));
    evil.device = "<script>'\"&{{version}}".try_into().unwrap();
    let answer = ask(
        &mut Page::new(evil),
        &mut Session::default(),
        request("GET", "/api/ota"),
    );
    assert!(
        answer
            .body()
            .contains("<h1>&lt;script&gt;&#39;&quot;&amp;{{version}}</h1>"),
        "{}",
        answer.body()
    );
}

#[test]
fn every_page_carries_its_length_and_the_security_headers() {
    for path in ["/", "/api/ota", "/api/ota.js", "/nowhere"] {
        let answer = ask(&mut page(), &mut Session::default(), request("GET", path));
        assert_eq!(
            answer.header("Content-Length"),
            Some(answer.body().len().to_string().as_str()),
            "{path}"
        );
        assert!(
            answer
                .header("Content-Security-Policy")
                .unwrap()
                .starts_with("default-src 'none'")
        );
        assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(answer.header("Cache-Control"), Some("no-store"));
        assert_eq!(answer.header("Connection"), Some("close"));
    }
}

#[test]
fn head_gives_what_get_gives_without_the_body() {
    for path in ["/", "/api/ota", "/api/ota.js", "/nowhere"] {
        let got = ask(&mut page(), &mut Session::default(), request("GET", path));
        let head = ask(&mut page(), &mut Session::default(), request("HEAD", path));
        assert_eq!(head.body(), "");
        assert_eq!(head.text, got.text[..got.text.len() - got.body().len()]);
    }
}

#[test]
fn a_whole_url_as_target_is_understood() {
    for (target, status) in [
        ("http://10.0.0.7:8080/api/ota", 200),
        ("http://10.0.0.7:8080", 200),
        ("ftp://x/", 404),
    ] {
        let answer = ask(&mut page(), &mut Session::default(), request("GET", target));
        assert_eq!(answer.status(), status, "{target}");
    }
}

#[test]
fn what_is_not_there_is_a_404() {
    for target in [
        "/x",
        "/api",
        "/api/ota/",
        "/api/ota/upload2",
        "*",
        "/%2e%2e/",
    ] {
        let answer = ask(&mut page(), &mut Session::default(), request("GET", target));
        answer.assert_refused(404, "Not found", "/api/ota");
    }
}

#[test]
fn a_wrong_method_is_told_the_right_ones() {
    for (method, target, allow) in [
        ("POST", "/", "GET, HEAD"),
        ("DELETE", "/api/ota", "GET, HEAD"),
        ("PUT", "/api/ota.js", "GET, HEAD"),
        ("GET", "/api/ota/upload", "POST"),
        ("HEAD", "/api/ota/upload", "POST"),
        ("OPTIONS", "/api/ota/upload", "POST"),
        ("BREW", "/api/ota/upload", "POST"),
    ] {
        let answer = ask(
            &mut page(),
            &mut Session::default(),
            request(method, target),
        );
        assert_eq!(answer.status(), 405, "{method} {target}");
        assert_eq!(answer.header("Allow"), Some(allow));
    }
}

#[test]
fn a_head_that_is_too_large_is_a_431() {
    let long = format!(
        "GET / HTTP/1.1\r\nHost: d\r\nCookie: {}\r\n\r\n",
        "c".repeat(HEAD_BYTES)
    );
    let many = format!("GET / HTTP/1.1\r\nHost: d\r\n{}\r\n", "A: b\r\n".repeat(40));
    let no_line = "G".repeat(HEAD_BYTES + 1);
    for request in [long, many, no_line] {
        let answer = ask(&mut page(), &mut Session::default(), request);
        answer.assert_refused(431, "Request header too large", "2048 bytes");
    }
    let filler = HEAD_BYTES - "GET / HTTP/1.1\r\nHost: d\r\nCookie: \r\n\r\n".len();
    let fits = format!(
        "GET / HTTP/1.1\r\nHost: d\r\nCookie: {}\r\n\r\n",
        "c".repeat(filler)
    );
    assert_eq!(fits.len(), HEAD_BYTES);
    assert_eq!(
        ask(&mut page(), &mut Session::default(), fits).status(),
        200
    );
}

#[test]
fn what_is_not_http_is_refused() {
    for (request, status) in [
        ("\x16\x03\x01\x02\0\x01\0\x01\u{fc}\n", 400),
        ("GET /\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("GET / HTTP/1.0\r\n\r\n", 200),
    ] {
        assert_eq!(
            ask(&mut page(), &mut Session::default(), request).status(),
            status,
            "{request:?}"
        );
    }
}

#[test]
fn what_follows_the_request_changes_nothing() {
    let mut request = request("GET", "/api/ota").into_bytes();
    let alone = ask(&mut page(), &mut Session::default(), &request);
    request.extend_from_slice(b"GET / HTTP/1.1\r\n\0\xFF garbage");
    let mut connection = Connection::new();
    let (mut page, mut session) = (page(), Session::default());
    assert_eq!(
        exchange(&mut connection, &mut page, &mut session, [&request[..]]).text,
        alone.text
    );
    let more = exchange(
        &mut connection,
        &mut page,
        &mut session,
        [&b"POST / HTTP/1.1\r\n\r\n"[..]],
    );
    assert_eq!((more.progress, more.text.as_str()), (Progress::Close, ""));
}

/// One upload request for each way its head can be wrong.
#[test]
fn an_upload_whose_head_is_wrong_never_begins() {
    let length = "Content-Length: 9\r\n";
    let cases = [
        (upload_head(""), 411, "Content-Length"),
        (upload_head("Content-Length: +9\r\n"), 400, "not a number"),
        (upload_head("Content-Length: \r\n"), 400, "not a number"),
        (
            upload_head("Content-Length: 99999999999999999999\r\n"),
            400,
            "not a number",
        ),
        (
            upload_head("Content-Length: 9\r\nTransfer-Encoding: chunked\r\n"),
            400,
            "exclude",
        ),
        (
            upload_head("Transfer-Encoding: gzip, chunked\r\n"),
            501,
            "chunked",
        ),
        (
            upload_head("Content-Length: 9\r\nContent-Encoding: gzip\r\n"),
            415,
            "Content-Encoding",
        ),
        (
            upload_head("Content-Length: 9\r\nExpect: 200-ok\r\n"),
            417,
            "100-continue",
        ),
        (
            upload_head(length).replace("multipart/form-data", "application/octet-stream"),
            415,
            "curl -F",
        ),
        (
            upload_head(length).replace(&format!("; boundary={BOUNDARY}"), ""),
            400,
            "boundary",
        ),
        (
            upload_head(length).replace(BOUNDARY, &"b".repeat(71)),
            400,
            "boundary",
        ),
        (
            upload_head(length).replace(BOUNDARY, "\"\""),
            400,
            "boundary",
        ),
        (
            upload_head("Transfer-Encoding: chunked\r\n").replace("HTTP/1.1", "HTTP/1.0"),
            400,
            "HTTP/1.0",
        ),
    ];
    for (head, status, cause) in cases {
        let mut session = Session::default();
        let answer = ask(&mut page(), &mut session, &head);
        answer.assert_refused(status, "Upload failed", cause);
        assert_eq!((session.admitted, session.aborted), (0, 0), "{head}");
    }
    let twice = upload_head("Content-Length: 9\r\nContent-Length: 9\r\n");
    ask(&mut page(), &mut Session::default(), twice).assert_refused(400, "Bad request", "twice");
}

#[test]
fn a_request_that_does_not_come_is_given_up() {
    let (mut page, mut session) = (page(), Session::default());
    let mut silent = Connection::new();
    let mut sent = Vec::new();
    assert_eq!(silent.timeout_ms(), 10_000);
    assert_eq!(
        silent.timed_out(&mut session, &mut |bytes| sent.extend_from_slice(bytes)),
        Progress::Close
    );
    assert!(sent.is_empty(), "nothing was asked");

    let mut slow = Connection::new();
    let _ = exchange(&mut slow, &mut page, &mut session, [&b"GET / HT"[..]]);
    assert_eq!(
        slow.timed_out(&mut session, &mut |bytes| sent.extend_from_slice(bytes)),
        Progress::Close
    );
    assert!(sent.starts_with(b"HTTP/1.1 408 Request Timeout\r\n"));
}

#[test]
fn the_boundary_may_be_quoted_and_as_long_as_it_gets() {
    for boundary in [
        "x".to_owned(),
        "b".repeat(70),
        "a b:c'(d)+_,-./=?".to_owned(),
    ] {
        let text = String::from_utf8(
            upload_of(&form(b"\xE9image").clone())
                .iter()
                .map(|b| b & 0x7F)
                .collect(),
        );
        let request = text
            .unwrap()
            .replace(
                &format!("boundary={BOUNDARY}"),
                &format!("BOUNDARY=\"{boundary}\"; charset=x"),
            )
            .replace(BOUNDARY, &boundary);
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let old = head
            .lines()
            .find(|line| line.starts_with("Content-Length"))
            .unwrap();
        let head = head.replace(old, &format!("Content-Length: {}", body.len()));
        let mut session = Session {
            any: true,
            ..Session::default()
        };
        ask(&mut page(), &mut session, format!("{head}\r\n\r\n{body}")).assert_installed();
        assert_eq!(session.written, b"\x69image");
    }
}

#[test]
fn settings_without_a_name_still_give_a_page() {
    let settings = Settings {
        password: Some(PASSWORD.try_into().unwrap()),
        ..Settings::default()
    };
    assert_eq!(
        ask(
            &mut Page::new(settings),
            &mut Session::default(),
            request("GET", "/api/ota")
        )
        .status(),
        200
    );
}
