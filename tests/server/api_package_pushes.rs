//! Pushes of packages: forms in any order, those that are none, files that are others, too large or cut
//! off; and that nothing half-done stays behind.

use futures_util::stream;
use reqwest::{
    Body,
    multipart::{Form, Part},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    app::{Setup, TestApp, eventually},
    packages::{PUSH, content, file_of, form, head, list, part, push, pushed, sha256},
};

/// Forms that are none: with the code of the refusal and what it names.
fn malformed() -> Vec<(Form, &'static str, &'static str)> {
    let good = content("app", "main", "1.0", b"x");
    let without_digest = good.replace(&sha256(b"x"), "");
    let no_utf8 = Form::new()
        .part("content", part("content.json", b"{\"package\":\"\xff\"}"))
        .part("file", part("x", b"x"));
    let binary_signature = form(&good, b"x").part("signature", part("s", &[0x88, 0, 0xff]));
    vec![
        (
            Form::new().part("file", part("x", b"x")),
            "no_content",
            "-F content=",
        ),
        (
            Form::new().text("content", good.clone()),
            "no_file",
            "-F file=",
        ),
        (form("", b"x"), "invalid_content", "content.json"),
        (form("nonsense", b"x"), "invalid_content", "documented"),
        (form("[]", b"x"), "invalid_content", "documented"),
        (form("{}", b"x"), "invalid_content", "package"),
        (form(&without_digest, b"x"), "invalid_content", "sha256"),
        (
            form(&good.replace("1.0\"", "../1\""), b"x"),
            "invalid_content",
            "version",
        ),
        (
            form(&good.replace("\"main\"", "\"../x\""), b"x"),
            "invalid_content",
            "branch",
        ),
        (
            form(&good.replace(">=1.2", ">>1"), b"x"),
            "invalid_content",
            "lib",
        ),
        (
            form(&good.replace("/opt", "\\u0000"), b"x"),
            "invalid_content",
            "NUL",
        ),
        (
            form(&good.replace("/opt", "\0"), b"x"),
            "invalid_form",
            "content",
        ),
        (no_utf8, "invalid_form", "content"),
        (binary_signature, "invalid_form", "signature"),
        (
            form(&good, b"x").part("file", part("x", b"x")),
            "invalid_form",
            "file",
        ),
        (
            form(&good, b"x").text("content", good.clone()),
            "invalid_form",
            "content",
        ),
        (
            form(&good, b"x")
                .text("signature", "")
                .text("signature", "a")
                .text("signature", "b"),
            "invalid_form",
            "signature",
        ),
        (
            form(&content("app", "main", "1.0", b""), b""),
            "empty_file",
            "empty",
        ),
        (
            (0..40).fold(Form::new(), |form, n| form.text(format!("f{n}"), "x")),
            "invalid_form",
            "32",
        ),
    ]
}

#[tokio::test]
async fn the_parts_of_a_push_come_in_any_order_as_texts_or_files() {
    let app = TestApp::start().await;
    let file = file_of("1.0");
    let text = content("app", "main", "1.0", &file);
    let digest = sha256(&file);
    let upper = text.replace(&digest, &digest.to_uppercase());
    for (text, form) in [
        (&text, form(&text, &file)),
        (
            &text,
            Form::new()
                .part("file", part("x", &file))
                .text("colour", "red")
                .part("content", part("content.json", text.as_bytes())),
        ),
        (
            &text,
            Form::new()
                .text("signature", "")
                .part("file", part("x", &file))
                .text("content", text.clone()),
        ),
        // As hand-written files have it.
        (&upper, self::form(&upper, &file)),
    ] {
        let answer = app.put_form(PUSH, form).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["sha256"], digest);
        let found = app.get("/maxVersion?package=app&branch=main").await;
        assert_eq!(found.text(), *text);
    }
    assert_eq!(list(&app, "").await.len(), 1);
    app.stop().await;
}

#[tokio::test]
async fn another_file_than_the_contents_is_a_304_without_a_body_and_nothing_is_kept() {
    let app = TestApp::start().await;
    let text = content("app", "main", "1.0", b"the file");
    let mut connection = TcpStream::connect(app.http_addr).await.unwrap();
    let field = |name: &str, value: &str| {
        format!(
            "--x\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"f\"\r\n\r\n{value}\r\n"
        )
    };
    let (content, large) = (field("content", &text), "no".repeat(1 << 20));
    let other = field("file", &large);
    // Both orders, then the right file, over one connection.
    for (body, expected) in [
        (format!("{content}{other}--x--\r\n"), "HTTP/1.1 304 "),
        (format!("{other}{content}--x--\r\n"), "HTTP/1.1 304 "),
        (
            format!("{content}{}--x--\r\n", field("file", "the file")),
            "HTTP/1.1 200 ",
        ),
    ] {
        let request = format!(
            "PUT {PUSH} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\
             Content-Type: multipart/form-data; boundary=x\r\n\r\n{body}",
            body.len()
        );
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.windows(4).any(|it| it == b"\r\n\r\n") {
            answer.push(connection.read_u8().await.unwrap());
        }
        let answer = String::from_utf8(answer).unwrap().to_lowercase();
        assert!(answer.starts_with(&expected.to_lowercase()), "{answer}");
        if expected.contains("304") {
            assert!(!answer.contains("transfer-encoding"), "{answer}");
            assert!(!answer.contains("content-length: "), "{answer}");
            assert_eq!(app.staged_files(), [""; 0]);
            assert_eq!(app.blob_files(), [""; 0]);
            assert_eq!(list(&app, "").await, [Value::Null; 0]);
        }
    }
    assert_eq!(head(&app, "main").await, "1.0");
    assert_eq!(
        app.metric("airlift_uploads_total{kind=\"package\"}").await,
        1.0
    );
    // Nor does it harm what is there.
    assert_eq!(push(&app, &text, b"other").await.status, 304);
    assert_eq!(app.blob_files(), [sha256(b"the file")]);
    app.stop().await;
}

#[tokio::test]
async fn a_form_that_is_none_is_refused_with_advice_and_leaves_nothing() {
    let app = TestApp::start().await;
    for (form, code, said) in malformed() {
        let message = app.put_form(PUSH, form).await.refused(400, code);
        assert!(message.contains(said), "{said}: {message}");
    }
    // The same where the content comes behind the file.
    let behind = Form::new()
        .part("file", part("x", b"x"))
        .text("content", "nonsense");
    app.put_form(PUSH, behind)
        .await
        .refused(400, "invalid_content");
    let broken = "--x\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\n{}";
    let broken = format!(
        "PUT {PUSH} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nConnection: close\r\n\
         Content-Type: multipart/form-data; boundary=x\r\n\r\n{broken}",
        broken.len()
    );
    let answer = app.raw(&broken).await;
    assert!(
        answer.contains("400 ") && answer.contains("invalid_form"),
        "{answer}"
    );
    let plain = format!(
        "PUT {PUSH} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
    );
    let answer = app.raw(&plain).await;
    assert!(
        answer.contains("415 ") && answer.contains("-F content="),
        "{answer}"
    );

    eventually("staging to be empty", async || {
        app.staged_files().is_empty().then_some(())
    })
    .await;
    assert_eq!(app.blob_files(), [""; 0]);
    assert_eq!(list(&app, "").await, [Value::Null; 0]);
    app.stop().await;
}

#[tokio::test]
async fn what_is_too_large_is_refused_by_a_message_that_names_the_limit() {
    const LIMIT: usize = 1 << 20;
    let setup = Setup {
        upload_bytes_max: Some(LIMIT as u64),
        ..Setup::default()
    };
    let app = setup.start().await;
    let file = vec![1; LIMIT + 1];
    let text = content("app", "main", "1.0", &file);
    let chunks = (0..40).map(|_| Ok::<_, std::io::Error>(vec![1u8; LIMIT / 10]));
    let endless = Part::stream(Body::wrap_stream(stream::iter(chunks))).file_name("x");
    let long_content = format!("{text}{}", " ".repeat(64 << 10));
    for (form, said) in [
        (form(&text, &vec![1; 2 * LIMIT]), "1048576"),
        (form(&text, &file), "1048576"),
        (
            Form::new()
                .text("content", text.clone())
                .part("file", endless),
            "1048576",
        ),
        (form(&long_content, b"x"), "65536"),
        (
            form(&text, b"x").text("signature", "x".repeat(4097)),
            "4096",
        ),
    ] {
        let message = app.put_form(PUSH, form).await.refused(413, "too_large");
        assert!(message.contains(said), "{message}");
    }
    assert_eq!(app.blob_files(), [""; 0]);
    let file = vec![1; LIMIT];
    let answer = push(&app, &content("app", "main", "1.0", &file), &file).await;
    assert_eq!(answer.status, 200);
    app.stop().await;
}

#[tokio::test]
async fn a_push_that_breaks_off_leaves_nothing_and_can_be_repeated() {
    let app = TestApp::start().await;
    let text = content("app", "main", "1.0", &file_of("1.0"));
    let mut stream = TcpStream::connect(app.http_addr).await.unwrap();
    let head = format!(
        "PUT {PUSH} HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\
         Content-Type: multipart/form-data; boundary=x\r\n\r\n\
         --x\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\n{text}\r\n\
         --x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![7; 4 << 20]).await.unwrap();
    eventually("a file being staged", async || {
        (!app.staged_files().is_empty()).then_some(())
    })
    .await;
    drop(stream);
    eventually("the staged file to go", async || {
        app.staged_files().is_empty().then_some(())
    })
    .await;
    assert_eq!(app.blob_files(), [""; 0]);
    pushed(&app, "1.0").await;
    app.stop().await;
}
