//! The way of an upload: whole, in any pieces, cut off, and refused by the session.

use airlift_firmware::page::{Connection, Progress, UploadError};
use proptest::prelude::*;

use crate::support::{
    BOUNDARY, Session, ask, chunked_upload_of, exchange, form, form_of, page, refusal, upload_head,
    upload_of,
};

/// A file full of what might be taken for a delimiter.
fn tricky_file() -> Vec<u8> {
    let mut file = vec![0xE9, 0x03];
    for piece in [
        "\r\n--".to_owned(),
        "\r\n\r\n--".to_owned(),
        "\r\r\n.".to_owned(),
        format!("--{BOUNDARY}--"),
        format!("\r\n--{}", &BOUNDARY[..BOUNDARY.len() - 1]),
        format!("\r\n--{}\r\n--", &BOUNDARY[..5]),
        format!("\n--{BOUNDARY}\r\n"),
        format!("\r\n--{BOUNDARY}x"),
        format!("\r\n--{BOUNDARY}-"),
        format!("\r\n--{BOUNDARY}-\r"),
        format!("\r\n--{BOUNDARY}\r"),
        format!("\r\n--{BOUNDARY}\r\r\n--{BOUNDARY} \r\n"),
        format!("\r\n-{BOUNDARY}\r\n-"),
    ] {
        file.extend_from_slice(piece.as_bytes());
    }
    file
}

fn assert_whole(session: &Session, file: &[u8]) {
    assert_eq!(
        (session.admitted, session.ended, session.aborted),
        (1, 1, 0)
    );
    assert!(session.written == file, "the file arrives as it was sent");
}

#[test]
fn an_upload_is_installed() {
    let file = [&[0xE9][..], &[7; 5000]].concat();
    let mut session = Session::default();
    ask(&mut page(), &mut session, upload_of(&form(&file))).assert_installed();
    assert_whole(&session, &file);
}

#[test]
fn an_upload_arrives_the_same_byte_by_byte() {
    for request in [
        upload_of(&form(&tricky_file())),
        chunked_upload_of(&form(&tricky_file()), 7),
    ] {
        let mut session = Session::default();
        let answer = exchange(
            &mut Connection::new(),
            &mut page(),
            &mut session,
            request.chunks(1),
        );
        answer.assert_installed();
        assert_whole(&session, &tricky_file());
    }
}

#[test]
fn an_upload_arrives_the_same_in_every_split_into_two() {
    for request in [
        upload_of(&form(&tricky_file())),
        chunked_upload_of(&form(&tricky_file()), 50),
    ] {
        for at in 1..request.len() {
            let mut session = Session::default();
            let (first, second) = request.split_at(at);
            let answer = exchange(
                &mut Connection::new(),
                &mut page(),
                &mut session,
                [first, second],
            );
            answer.assert_installed();
            assert_whole(&session, &tricky_file());
        }
    }
}

#[test]
fn a_chunked_upload_may_have_chunks_of_any_size() {
    let body = form(&tricky_file());
    for size in 1..body.len() + 1 {
        let mut session = Session::default();
        ask(&mut page(), &mut session, chunked_upload_of(&body, size)).assert_installed();
        assert_whole(&session, &tricky_file());
        assert_eq!(session.size_at_least, None);
    }
}

proptest! {
    #[test]
    fn files_made_of_delimiters_survive_any_split(
        pieces in prop::collection::vec(
            prop_oneof![
                Just(b"\r".to_vec()), Just(b"\n".to_vec()), Just(b"-".to_vec()), Just(b"\r\n--".to_vec()),
                (0..=BOUNDARY.len()).prop_map(|end| [b"\r\n--", &BOUNDARY.as_bytes()[..end], b"."].concat()),
                prop::collection::vec(any::<u8>(), 0..200),
            ],
            0..20,
        ),
        cuts in prop::collection::vec(1usize..300, 1..30),
        chunk in prop::option::of(1usize..400),
    ) {
        let file = [vec![0xE9], pieces.concat()].concat();
        let request = match chunk {
            Some(size) => chunked_upload_of(&form(&file), size),
            None => upload_of(&form(&file)),
        };
        let mut rest = &request[..];
        let split = cuts.iter().cycle().map_while(|cut| {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            rest = after;
            (!piece.is_empty()).then_some(piece)
        });
        let mut session = Session::default();
        exchange(&mut Connection::new(), &mut page(), &mut session, split).assert_installed();
        assert_whole(&session, &file);
    }
}

#[test]
fn other_parts_are_skipped_before_and_after_the_firmware() {
    let long = vec![b'\r'; 9000];
    let body = form_of(&[
        ("note", b"x"),
        ("filename=firmware", &long),
        ("firmware", b"\xE9image"),
        ("after", b"y"),
    ]);
    let mut session = Session::default();
    ask(&mut page(), &mut session, upload_of(&body)).assert_installed();
    assert_whole(&session, b"\xE9image");
}

#[test]
fn preamble_and_epilogue_say_nothing() {
    let body = [&b"preamble\r\n"[..], &form(b"\xE9image"), b"epilogue\r\n--"].concat();
    let mut session = Session::default();
    ask(&mut page(), &mut session, upload_of(&body)).assert_installed();
    assert_whole(&session, b"\xE9image");
}

#[test]
fn part_headers_are_read_as_programs_write_them() {
    for header in [
        "content-disposition:form-data;name=firmware",
        "Content-Type: a/b; name=\"x\"\r\nContent-Disposition: form-data; filename=\"a;\\\" name=b.bin\"; name=\"firmware\"",
        "Content-Disposition: form-data; flag; NAME = \"firmware\" ; filename*=UTF-8''%e2%82%ac.bin",
        "Content-Disposition: form-data; name=\"firmware\"; filename=\"größe.bin\"",
    ] {
        let body = format!("--{BOUNDARY}\r\n{header}\r\n\r\nimage\r\n--{BOUNDARY}--");
        let mut session = Session {
            any: true,
            ..Session::default()
        };
        ask(&mut page(), &mut session, upload_of(body.as_bytes())).assert_installed();
        assert_whole(&session, b"image");
    }
}

#[test]
fn a_malformed_form_fails_and_leaves_nothing_behind() {
    let good = form(b"\xE9image");
    let text = |body: &str| body.replace("B", BOUNDARY).into_bytes();
    let disposition = "Content-Disposition: form-data; name=\"firmware\"";
    let cases = [
        (Vec::new(), "closing boundary is missing"),
        (
            good[..good.len() - 6].to_vec(),
            "closing boundary is missing",
        ),
        (b"no form at all".to_vec(), "closing boundary is missing"),
        (text("--B--\r\n"), "no part named firmware"),
        (form_of(&[("file", b"\xE9image")]), "no part named firmware"),
        (
            text("--B\r\n\r\nimage\r\n--B--\r\n"),
            "no part named firmware",
        ),
        (
            text("--B\r\nContent-Disposition: form-data; filename=\"firmware\"\r\n\r\nx\r\n--B--"),
            "no part named",
        ),
        (form(b""), "empty"),
        (
            form_of(&[("firmware", b"\xE9a"), ("firmware", b"\xE9b")]),
            "two parts",
        ),
        (
            text(&format!(
                "--B\r\nX: {}\r\n{disposition}\r\n\r\n",
                "x".repeat(1024)
            )),
            "over 1024 bytes",
        ),
        (
            text("--B\r\nno header\r\n\r\nx\r\n--B--"),
            "malformed headers",
        ),
    ];
    for (body, cause) in cases {
        let mut session = Session::default();
        let answer = ask(&mut page(), &mut session, upload_of(&body));
        answer.assert_refused(400, "Upload failed", cause);
        assert_eq!(
            (session.admitted, session.ended, session.aborted),
            (1, 0, 1),
            "{cause}"
        );
    }
}

#[test]
fn malformed_chunks_fail_the_upload() {
    let long_extension = format!("1;{}\r\n", "x".repeat(2000));
    let long_trailer = format!("0\r\n{}", "T: t\r\n".repeat(400));
    for body in [
        "x\r\n",
        "\r\n",
        ";\r\n",
        "-1\r\n",
        "123456789\r\n",
        "1\n",
        "1\r\nab\r\n",
        "1\r\na\r\r",
        "0\r\n\n",
        &long_extension,
        &long_trailer,
    ] {
        let request = upload_head("Transfer-Encoding: chunked\r\n") + body;
        let mut session = Session::default();
        let answer = ask(&mut page(), &mut session, &request);
        answer.assert_refused(400, "Upload failed", "chunks are malformed");
        assert_eq!((session.admitted, session.aborted), (1, 1), "{body:?}");
    }
}

#[test]
fn a_cut_off_upload_is_aborted_wherever_it_is_cut() {
    for request in [
        upload_of(&form(b"\xE9image")),
        chunked_upload_of(&form(b"\xE9image"), 40),
    ] {
        let head = request
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n")
            .unwrap()
            + 4;
        for end in head..request.len() {
            for how in 0..3 {
                let (mut page, mut session, mut sent) = (page(), Session::default(), Vec::new());
                let mut connection = Connection::new();
                let answer = exchange(&mut connection, &mut page, &mut session, [&request[..end]]);
                assert_eq!(answer.progress, Progress::NeedMore);
                assert_eq!(connection.timeout_ms(), 30_000);
                let mut out = |bytes: &[u8]| sent.extend_from_slice(bytes);
                match how {
                    0 => assert_eq!(
                        connection.timed_out(&mut session, &mut out),
                        Progress::Close
                    ),
                    1 => assert_eq!(connection.ended(&mut session, &mut out), Progress::Close),
                    _ => connection.lost(&mut session),
                }
                assert_eq!(
                    (session.admitted, session.ended, session.aborted),
                    (1, 0, 1)
                );
                let said = String::from_utf8(sent).unwrap();
                match how {
                    0 => assert!(
                        said.starts_with("HTTP/1.1 408 ") && said.contains("Upload failed"),
                        "{said}"
                    ),
                    1 => assert!(
                        said.starts_with("HTTP/1.1 400 ") && said.contains("Upload failed"),
                        "{said}"
                    ),
                    _ => assert_eq!(said, ""),
                }
                connection.lost(&mut session);
                assert_eq!(session.aborted, 1, "once is enough");
            }
        }
    }
}

#[test]
fn a_connection_that_ends_after_the_answer_harms_nothing() {
    let (mut page, mut session) = (page(), Session::default());
    let mut connection = Connection::new();
    let request = upload_of(&form(b"\xE9image"));
    exchange(&mut connection, &mut page, &mut session, [&request[..]]).assert_installed();
    let mut sent = 0;
    assert_eq!(
        connection.ended(&mut session, &mut |bytes| sent += bytes.len()),
        Progress::Close
    );
    connection.lost(&mut session);
    assert_eq!((sent, session.ended, session.aborted), (0, 1, 0));
}

#[test]
fn the_session_hears_a_size_that_the_image_is_sure_to_have() {
    for length in [0, 1, 5_000, 1_300_000] {
        let file = vec![0xE9; length];
        let mut session = Session::default();
        let _ = ask(&mut page(), &mut session, upload_of(&form(&file)));
        let said = session.size_at_least.unwrap();
        assert!(
            said <= length as u64 && said + 1_300 >= length as u64,
            "{length}: {said}"
        );
    }
}

#[test]
fn a_session_that_does_not_begin_refuses_before_the_body() {
    for (error, status, literal) in [
        (UploadError::NotEnoughSpace, 413, "Not enough space"),
        (UploadError::BeginFailed, 503, "Update.begin() failed"),
        (UploadError::NoOtaPartition, 501, "No OTA partition"),
    ] {
        let admit_error = Some(refusal(error, "the reason, \"quoted\"\n"));
        let mut session = Session {
            admit_error,
            ..Session::default()
        };
        let head = upload_head("Content-Length: 2000000\r\nExpect: 100-continue\r\n");
        let answer = ask(&mut page(), &mut session, &head);
        answer.assert_refused(status, literal, "the reason, \"quoted\"\n");
        assert!(!answer.text.contains("100 Continue"));
        assert_eq!((session.admitted, session.aborted), (0, 0));
    }
}

#[test]
fn a_write_that_fails_aborts_with_its_cause() {
    for (error, status, literal) in [
        (UploadError::NotEnoughSpace, 413, "Not enough space"),
        (UploadError::UploadFailed, 500, "Upload failed"),
    ] {
        let write_error = Some((1000, refusal(error, "at byte 1000")));
        let mut session = Session {
            write_error,
            ..Session::default()
        };
        let request = upload_of(&form(&[0xE9; 3000]));
        let answer = exchange(
            &mut Connection::new(),
            &mut page(),
            &mut session,
            request.chunks(100),
        );
        answer.assert_refused(status, literal, "at byte 1000");
        assert_eq!(
            (session.admitted, session.ended, session.aborted),
            (1, 0, 1)
        );
    }
}

#[test]
fn an_image_that_does_not_verify_aborts_with_its_cause() {
    let end_error = Some(refusal(UploadError::EndFailed, "the SHA-256 is wrong"));
    let mut session = Session {
        end_error,
        ..Session::default()
    };
    let answer = ask(&mut page(), &mut session, upload_of(&form(&[0xE9; 3000])));
    answer.assert_refused(422, "Update.end() failed", "the SHA-256 is wrong");
    assert_eq!(
        (session.admitted, session.ended, session.aborted),
        (1, 0, 1)
    );
}

#[test]
fn a_peer_that_waits_is_told_to_go_on_once_everything_is_fine() {
    let body = form(b"\xE9image");
    let head = upload_head(&format!(
        "Content-Length: {}\r\nExpect: 100-Continue\r\n",
        body.len()
    ));
    let (mut page, mut session) = (page(), Session::default());
    let mut connection = Connection::new();
    let first = exchange(&mut connection, &mut page, &mut session, [head.as_bytes()]);
    assert_eq!(
        (first.progress, first.text.as_str()),
        (Progress::NeedMore, "HTTP/1.1 100 Continue\r\n\r\n")
    );
    assert!(session.open);
    exchange(&mut connection, &mut page, &mut session, [&body[..]]).assert_installed();
    assert_whole(&session, b"\xE9image");

    let old = head.replace("HTTP/1.1", "HTTP/1.0");
    let answer = exchange(
        &mut Connection::new(),
        &mut page,
        &mut Session::default(),
        [old.as_bytes()],
    );
    assert_eq!(answer.text, "", "HTTP/1.0 does not know it");
}

#[test]
fn the_literal_errors_are_the_old_devices_words() {
    let words = [
        (UploadError::NotEnoughSpace, "Not enough space"),
        (UploadError::BeginFailed, "Update.begin() failed"),
        (UploadError::EndFailed, "Update.end() failed"),
        (UploadError::NoOtaPartition, "No OTA partition"),
        (UploadError::UploadFailed, "Upload failed"),
    ];
    for (error, literal) in words {
        assert_eq!(error.to_string(), literal);
        assert_eq!(refusal(error, "why").to_string(), format!("{literal}: why"));
    }
}
