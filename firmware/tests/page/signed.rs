//! The form where a signature is wanted: three parts, each once and in their order, and nothing of
//! the image before the others are judged.

use airlift_firmware::page::{Connection, UploadError};

use crate::support::{
    PASSWORD, Session, UNIX_SECONDS, ask, authorization, chunked_upload_of, exchange, form_of,
    page, refusal, upload_head, upload_of,
};

const MANIFEST: &[u8] = b"{\"schema\":1}\r\n--x";
const SIGNATURE: &[u8] = b"-----BEGIN\r\n\r\n--";
const IMAGE: &[u8] = b"\xE9image\r\n--";
const SIGNED_ONLY: &str =
    "this device takes signed bundles only; send manifest, signature, firmware";
const OUT_OF_ORDER: &str = "each part once and in this order: manifest, signature, firmware";

fn session() -> Session {
    Session {
        wants_signature: true,
        ..Session::default()
    }
}

fn signed_form() -> Vec<u8> {
    form_of(&[
        ("manifest", MANIFEST),
        ("signature", SIGNATURE),
        ("firmware", IMAGE),
    ])
}

fn assert_whole(session: &Session) {
    assert_eq!(session.manifest, MANIFEST);
    assert_eq!(session.signature, SIGNATURE);
    assert_eq!(session.written, IMAGE);
    assert_eq!(session.begun_at, Some(UNIX_SECONDS));
    let ends = (
        session.admitted,
        session.begun,
        session.ended,
        session.aborted,
    );
    assert_eq!(ends, (1, 1, 1, 0));
}

#[test]
fn the_three_parts_arrive_in_their_places_however_they_are_split() {
    for request in [
        upload_of(&signed_form()),
        chunked_upload_of(&signed_form(), 50),
    ] {
        for at in 1..request.len() {
            let mut session = session();
            let (first, second) = request.split_at(at);
            let pieces = [first, second];
            exchange(&mut Connection::new(), &mut page(), &mut session, pieces).assert_installed();
            assert_whole(&session);
        }
        let mut session = session();
        let pieces = request.chunks(1);
        exchange(&mut Connection::new(), &mut page(), &mut session, pieces).assert_installed();
        assert_whole(&session);
    }
}

#[test]
fn parts_that_nobody_asked_for_are_skipped_between_those_that_count() {
    let body = form_of(&[
        ("note", b"x"),
        ("manifest", MANIFEST),
        ("Manifest", b"y"),
        ("signature", SIGNATURE),
        ("changelog", b"z"),
        ("firmware", IMAGE),
        ("web", b"w"),
    ]);
    let mut session = session();
    ask(&mut page(), &mut session, upload_of(&body)).assert_installed();
    assert_whole(&session);
}

/// Names and contents of a form's parts.
type Parts<'p> = &'p [(&'p str, &'p [u8])];

#[test]
fn a_form_without_the_three_parts_in_their_order_is_refused_and_nothing_is_installed() {
    let (m, s, f) = (
        ("manifest", MANIFEST),
        ("signature", SIGNATURE),
        ("firmware", IMAGE),
    );
    let cases: [(Parts, u16, &str); 17] = [
        (&[f], 422, SIGNED_ONLY),
        (&[f, m, s], 422, SIGNED_ONLY),
        (&[], 422, SIGNED_ONLY),
        (&[("file", IMAGE)], 422, SIGNED_ONLY),
        (&[m], 422, SIGNED_ONLY),
        (&[m, s], 422, SIGNED_ONLY),
        (&[m, f], 400, OUT_OF_ORDER),
        (&[m, f, s], 400, OUT_OF_ORDER),
        (&[s], 400, OUT_OF_ORDER),
        (&[s, m, f], 400, OUT_OF_ORDER),
        (&[s, f], 400, OUT_OF_ORDER),
        (&[m, m, s, f], 400, OUT_OF_ORDER),
        (&[m, s, s, f], 400, OUT_OF_ORDER),
        (&[m, s, m, f], 400, OUT_OF_ORDER),
        (&[m, s, f, f], 400, OUT_OF_ORDER),
        (&[m, s, f, m], 400, OUT_OF_ORDER),
        (&[m, s, f, s], 400, OUT_OF_ORDER),
    ];
    for (parts, status, cause) in cases {
        let mut session = session();
        let answer = ask(&mut page(), &mut session, upload_of(&form_of(parts)));
        answer.assert_refused(status, "Upload failed", cause);
        assert_eq!(
            (session.admitted, session.ended, session.aborted),
            (1, 0, 1)
        );
        let is_begun = parts.starts_with(&[m, s, f]);
        assert_eq!(session.begun, usize::from(is_begun), "{parts:?}");
    }
    let mut session = session();
    let empty = form_of(&[m, s, ("firmware", b"")]);
    let answer = ask(&mut page(), &mut session, upload_of(&empty));
    answer.assert_refused(400, "Upload failed", "empty");
    assert_eq!((session.ended, session.aborted), (0, 1));
}

#[test]
fn what_is_not_signed_is_refused_before_a_byte_of_the_image() {
    let mut session = Session {
        begin_error: Some(refusal(UploadError::Refused, "BAD_SIGNATURE: no")),
        ..session()
    };
    let answer = ask(&mut page(), &mut session, upload_of(&signed_form()));
    answer.assert_refused(422, "Upload failed", "BAD_SIGNATURE: no");
    assert_eq!(session.manifest, MANIFEST);
    assert!(session.written.is_empty());
    assert_eq!(
        (session.admitted, session.begun, session.aborted),
        (1, 0, 1)
    );
}

#[test]
fn a_signed_upload_that_is_cut_off_is_aborted_wherever_it_is_cut() {
    let request = upload_of(&signed_form());
    let head = upload_head("").len();
    for end in head + 30..request.len() {
        let (mut page, mut session) = (page(), session());
        let mut connection = Connection::new();
        let pieces = [&request[..end]];
        let answer = exchange(&mut connection, &mut page, &mut session, pieces);
        assert!(answer.text.is_empty(), "{}", answer.text);
        connection.lost(&mut session);
        assert_eq!(
            (session.admitted, session.ended, session.aborted),
            (1, 0, 1)
        );
    }
}

/// How large the form is says nothing of the image, when most of it may be the manifest.
#[test]
fn a_signed_forms_length_is_not_taken_for_the_images() {
    let mut session = session();
    ask(&mut page(), &mut session, upload_of(&signed_form())).assert_installed();
    assert_eq!(session.size_at_least, None);
}

#[test]
fn the_page_asks_for_what_the_device_takes() {
    let request = format!(
        "GET /api/ota HTTP/1.1\r\nHost: d\r\n{}\r\n",
        authorization(PASSWORD)
    );
    for (mut session, asks) in [
        (
            session(),
            "Drop manifest.json, manifest.json.asc and firmware.bin of a signed bundle here",
        ),
        (Session::default(), "Drop the application image (.bin) here"),
    ] {
        let answer = ask(&mut page(), &mut session, &request);
        assert!(answer.body().contains(asks), "{}", answer.body());
        assert!(!answer.body().contains("{{"));
    }
}
