//! The device password, the brake on guessing it, and requests that other sites make.

use airlift_firmware::page::{Connection, Page};

use crate::support::{
    Answer, PASSWORD, Session, ask, authorization, base64, exchange_at, form, page, settings,
    upload_head, upload_of,
};

fn open_page_at(now_ms: u64, page: &mut Page, authorization: &str) -> Answer {
    let request = format!("GET /api/ota HTTP/1.1\r\nHost: d\r\n{authorization}\r\n");
    exchange_at(
        now_ms,
        &mut Connection::new(),
        page,
        &mut Session::default(),
        [request.as_bytes()],
    )
}

fn open_page(authorization: &str) -> Answer {
    open_page_at(0, &mut page(), authorization)
}

#[test]
fn page_script_and_upload_ask_for_the_password() {
    for request in [
        "GET /api/ota HTTP/1.1\r\nHost: d\r\n\r\n".to_owned(),
        "GET /api/ota.js HTTP/1.1\r\nHost: d\r\n\r\n".to_owned(),
        upload_head("Content-Length: 9\r\n").replace(&authorization(PASSWORD), ""),
        upload_head("Content-Length: 9\r\nExpect: 100-continue\r\n")
            .replace(&authorization(PASSWORD), ""),
    ] {
        let mut session = Session::default();
        let answer = ask(&mut page(), &mut session, &request);
        answer.assert_refused(401, "Login required", "curl -u");
        assert!(
            answer.text.starts_with("HTTP/1.1 401"),
            "nothing may go on before the login"
        );
        let challenge = answer.header("WWW-Authenticate").unwrap();
        assert!(challenge.starts_with("Basic realm=\""), "{challenge}");
        assert_eq!(session.admitted, 0);
    }
}

#[test]
fn any_user_name_will_do() {
    for user in ["", "admin", "gérard"] {
        let credentials = base64(&format!("{user}:{PASSWORD}"));
        assert_eq!(
            open_page(&format!("Authorization: bAsIc {credentials}\r\n")).status(),
            200
        );
    }
}

#[test]
fn a_password_may_have_colons_and_sixty_four_bytes() {
    for password in ["a:b:c".to_owned(), "p".repeat(64), "ä€".to_owned()] {
        let mut page = Page::new(settings(Some(&password)));
        assert_eq!(
            open_page_at(0, &mut page, &authorization(&password)).status(),
            200,
            "{password}"
        );
        let longer = format!("{password}x");
        assert_eq!(
            open_page_at(0, &mut page, &authorization(&longer)).status(),
            401,
            "{password}"
        );
    }
}

#[test]
fn what_is_not_the_password_is_refused() {
    let long = "x".repeat(400);
    for wrong in [
        "",
        "correct hors",
        "correct horsf",
        "correct horse ",
        "correct horse\0",
        &long,
    ] {
        assert_eq!(open_page(&authorization(wrong)).status(), 401, "{wrong:?}");
    }
    let no_colon = base64(PASSWORD);
    for header in [
        "Authorization: Basic\r\n".to_owned(),
        "Authorization: Basic ???\r\n".to_owned(),
        format!("Authorization: Basic {no_colon}\r\n"),
        format!("Authorization: Bearer {PASSWORD}\r\n"),
    ] {
        assert_eq!(open_page(&header).status(), 401, "{header}");
    }
}

#[test]
fn without_a_password_set_there_is_advice_and_no_upload() {
    for password in [None, Some("")] {
        let mut page = Page::new(settings(password));
        open_page_at(0, &mut page, &authorization("")).assert_refused(
            403,
            "No password set",
            "provision one",
        );
        let mut session = Session::default();
        let answer = ask(&mut page, &mut session, upload_of(&form(b"\xE9")));
        answer.assert_refused(403, "No password set", "provision one");
        assert_eq!(session.admitted, 0);
        assert_eq!(
            ask(&mut page, &mut session, "GET / HTTP/1.1\r\nHost: d\r\n\r\n").status(),
            200
        );
    }
}

#[test]
fn five_wrong_passwords_in_a_row_pause_the_login_for_thirty_seconds() {
    let mut page = page();
    let (right, wrong) = (authorization(PASSWORD), authorization("guess"));
    for _ in 0..5 {
        assert_eq!(open_page_at(1_000, &mut page, &wrong).status(), 401);
    }
    let paused = open_page_at(1_001, &mut page, &right);
    paused.assert_refused(429, "Too many wrong passwords", "wait");
    assert_eq!(paused.header("Retry-After"), Some("30"));
    assert_eq!(
        open_page_at(30_999, &mut page, &right).header("Retry-After"),
        Some("1")
    );

    assert_eq!(open_page_at(31_000, &mut page, &wrong).status(), 401);
    assert_eq!(
        open_page_at(31_001, &mut page, &right).status(),
        429,
        "the sixth in a row pauses again"
    );
    assert_eq!(open_page_at(61_000, &mut page, &right).status(), 200);
    assert_eq!(open_page_at(61_001, &mut page, &wrong).status(), 401);
    assert_eq!(
        open_page_at(61_002, &mut page, &right).status(),
        200,
        "the right one ends the row"
    );
}

#[test]
fn a_right_password_between_wrong_ones_and_requests_without_any_do_not_count() {
    let mut page = page();
    for _ in 0..4 {
        for _ in 0..4 {
            assert_eq!(
                open_page_at(0, &mut page, &authorization("guess")).status(),
                401
            );
        }
        assert_eq!(open_page_at(0, &mut page, "").status(), 401);
        assert_eq!(
            open_page_at(0, &mut page, &authorization(PASSWORD)).status(),
            200
        );
    }
}

#[test]
fn the_pause_holds_at_the_end_of_time() {
    let mut page = page();
    for _ in 0..5 {
        let _ = open_page_at(u64::MAX - 5, &mut page, &authorization("guess"));
    }
    assert_eq!(
        open_page_at(u64::MAX - 4, &mut page, &authorization(PASSWORD)).header("Retry-After"),
        Some("1")
    );
}

#[test]
fn an_upload_that_another_site_makes_is_refused() {
    let body = form(b"\xE9image");
    for line in [
        "Origin: http://evil.example\r\n",
        "Origin: http://10.0.0.7:8081\r\n",
        "Origin: http://10.0.0.7:8080.evil.example\r\n",
        "Origin: null\r\n",
        "Origin: \r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Origin: http://10.0.0.7:8080\r\nSec-Fetch-Site: cross-site\r\n",
    ] {
        let mut request =
            upload_head(&format!("Content-Length: {}\r\n{line}", body.len())).into_bytes();
        request.extend_from_slice(&body);
        let mut session = Session::default();
        let answer = ask(&mut page(), &mut session, &request);
        answer.assert_refused(403, "Cross-site request refused", "own page");
        assert_eq!(session.admitted, 0, "{line}");
    }
}

#[test]
fn an_upload_from_the_own_page_is_taken() {
    let body = form(b"\xE9image");
    for line in [
        "Origin: http://10.0.0.7:8080\r\nSec-Fetch-Site: same-origin\r\n",
        "Origin: HTTP://10.0.0.7:8080\r\n",
        "Sec-Fetch-Site: none\r\n",
    ] {
        let mut request =
            upload_head(&format!("Content-Length: {}\r\n{line}", body.len())).into_bytes();
        request.extend_from_slice(&body);
        ask(&mut page(), &mut Session::default(), &request).assert_installed();
    }
}

#[test]
fn cross_site_requests_cannot_use_up_the_tries() {
    let mut page = page();
    for _ in 0..10 {
        let request = upload_head("Content-Length: 9\r\nOrigin: http://evil.example\r\n")
            .replace(&authorization(PASSWORD), &authorization("guess"));
        assert_eq!(
            ask(&mut page, &mut Session::default(), request).status(),
            403
        );
    }
    assert_eq!(
        open_page_at(0, &mut page, &authorization(PASSWORD)).status(),
        200
    );
}
