//! Downloads, as RFC 9110 has them: devices resume, caches keep.

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

use crate::app::{Answer, TestApp};

const PATH: &str = "/firmware/gateway_v1.0.2.bin";

fn image(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n % 251) as u8).collect()
}

fn etag(file: &[u8]) -> String {
    format!("\"{}\"", hex::encode(Sha256::digest(file)))
}

async fn part(app: &TestApp, range: &str) -> Answer {
    let answer = app.get_with(PATH, &[("range", range)]).await;
    exact_length(&answer);
    answer
}

/// Devices count on the length; none is ever sent in chunks.
fn exact_length(answer: &Answer) {
    assert_eq!(answer.header("transfer-encoding"), None);
    let length = answer.body.len().to_string();
    assert_eq!(answer.header("content-length"), Some(length.as_str()));
}

#[tokio::test]
async fn a_file_comes_whole_with_its_length_digest_and_type() {
    let app = TestApp::start().await;
    let file = image(3 << 20);
    app.upload("1.0.2", &file).await.data();
    let get = app.get(PATH).await;
    exact_length(&get);
    assert_eq!(get.status, 200);
    let head = app.head(PATH).await;
    assert_eq!(head.status, 200);
    assert_eq!(head.body, b"");
    for answer in [&get, &head] {
        for (name, value) in [
            ("content-length", "3145728"),
            ("content-type", "application/octet-stream"),
            ("accept-ranges", "bytes"),
            ("x-content-type-options", "nosniff"),
            (
                "content-disposition",
                "attachment; filename=\"gateway_v1.0.2.bin\"",
            ),
            ("etag", &etag(&file)),
        ] {
            assert_eq!(answer.header(name), Some(value), "{name}");
        }
        assert_eq!(answer.header("transfer-encoding"), None);
    }
    assert!(get.body == file, "other bytes than were uploaded");
    let absent = app.get("/firmware/gateway_v9.9.9.bin").await;
    absent.refused(404, "file_not_found");
    assert_eq!(app.head("/firmware/gateway_v9.9.9.bin").await.status, 404);
    app.stop().await;
}

#[tokio::test]
async fn one_range_is_a_206_with_exactly_those_bytes() {
    let app = TestApp::start().await;
    let file = image(200_000);
    app.upload("1.0.2", &file).await.data();
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=1000-", 1000, 199_999),
        ("bytes=1000-1999", 1000, 1999),
        ("bytes=-500", 199_500, 199_999),
        ("bytes=-999999", 0, 199_999),
        ("bytes=199999-", 199_999, 199_999),
        ("bytes=100-999999", 100, 199_999),
        ("bytes=0-199999", 0, 199_999),
    ] {
        let answer = part(&app, range).await;
        assert_eq!(answer.status, 206, "{range}");
        let content_range = format!("bytes {first}-{last}/200000");
        assert_eq!(answer.header("content-range"), Some(content_range.as_str()));
        assert_eq!(answer.header("etag"), Some(etag(&file).as_str()));
        assert!(answer.body == file[first..=last], "{range}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_range_past_the_end_is_a_416_that_says_how_long_the_file_is() {
    let app = TestApp::start().await;
    app.upload("1.0.2", &image(100)).await.data();
    for range in ["bytes=100-", "bytes=100-200", "bytes=-0"] {
        let answer = part(&app, range).await;
        let message = answer.refused(416, "range_not_satisfiable");
        assert!(message.contains("100"), "{message}");
        assert_eq!(answer.header("content-range"), Some("bytes */100"));
    }
    app.stop().await;
}

#[tokio::test]
async fn a_range_that_is_malformed_or_one_of_several_gets_the_whole_file() {
    let app = TestApp::start().await;
    let file = image(100);
    app.upload("1.0.2", &file).await.data();
    for range in [
        "bytes=0-1,4-5",
        "bytes=0-1, 99-200",
        "bytes=5-3",
        "bytes=x-",
        "bytes",
        "items=0-1",
        "",
        "bytes=-",
        "bytes=0-1-2",
    ] {
        let answer = part(&app, range).await;
        assert_eq!(answer.status, 200, "{range}");
        assert_eq!(answer.body, file, "{range}");
        assert_eq!(answer.header("content-range"), None, "{range}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_resumed_download_never_mixes_two_files() {
    let app = TestApp::start().await;
    let old = image(100);
    app.upload("1.0.2", &old).await.data();
    app.delete("/api/ota/firmware/1.0.2").await.data();
    let new = image(200);
    app.upload("1.0.2", &new).await.data();
    for (condition, status) in [
        (etag(&new), 206),
        (etag(&old), 200),
        (format!("W/{}", etag(&new)), 200),
        ("Sun, 01 Mar 2026 08:00:00 GMT".to_owned(), 200),
        ("nonsense".to_owned(), 200),
    ] {
        let headers = [("range", "bytes=50-99"), ("if-range", condition.as_str())];
        let answer = app.get_with(PATH, &headers).await;
        exact_length(&answer);
        assert_eq!(answer.status, status, "{condition}");
        let expected = if status == 206 { &new[50..100] } else { &new };
        assert_eq!(answer.body, expected, "{condition}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_cache_that_has_the_file_is_told_so() {
    let app = TestApp::start().await;
    let file = image(100);
    app.upload("1.0.2", &file).await.data();
    let tag = etag(&file);
    for (condition, status) in [
        (tag.clone(), 304),
        (format!("W/{tag}"), 304),
        (format!("\"other\", {tag}"), 304),
        ("*".to_owned(), 304),
        ("\"other\"".to_owned(), 200),
    ] {
        let headers = [("if-none-match", condition.as_str())];
        let answer = app.get_with(PATH, &headers).await;
        assert_eq!(answer.status, status, "{condition}");
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
        assert_eq!(answer.header("transfer-encoding"), None);
        assert_eq!(answer.body.is_empty(), status == 304, "{condition}");
    }
    // If-None-Match comes before Range.
    let headers = [("if-none-match", tag.as_str()), ("range", "bytes=0-1")];
    assert_eq!(app.get_with(PATH, &headers).await.status, 304);
    app.stop().await;
}

#[tokio::test]
async fn a_release_may_be_cached_for_ever_and_a_draft_must_be_asked_for_again() {
    let app = TestApp::start().await;
    app.upload("1.0.2", &image(100)).await.data();
    let draft = app.get(PATH).await;
    assert_eq!(draft.header("cache-control"), Some("no-cache"));
    app.release("1.0.2").await.data();
    let forever = Some("public, max-age=31536000, immutable");
    assert_eq!(app.get(PATH).await.header("cache-control"), forever);
    assert_eq!(app.head(PATH).await.header("cache-control"), forever);
    app.stop().await;
}

#[test]
fn parts_however_cut_add_up_to_the_file() {
    const SIZE: usize = 150_000;
    let runtime = Runtime::new().unwrap();
    let file = image(SIZE);
    let app = runtime.block_on(async {
        let app = TestApp::start().await;
        app.upload("1.0.2", &file).await.data();
        app.upload("1.0.3", &file[..40]).await.data();
        app
    });
    let fetch = |range: String| runtime.block_on(part(&app, &range)).body;
    let mut runner = TestRunner::new(Config {
        cases: 12,
        failure_persistence: None,
        ..Config::default()
    });
    let cuts = proptest::collection::btree_set(1..SIZE, 0..12);
    runner
        .run(&cuts, |cuts| {
            let mut whole = Vec::new();
            let ends = cuts.iter().copied().chain([SIZE]);
            for end in ends {
                whole.extend(fetch(format!("bytes={}-{}", whole.len(), end - 1)));
                prop_assert_eq!(whole.len(), end);
            }
            prop_assert!(whole == file);
            Ok(())
        })
        .unwrap();
    runtime.block_on(async {
        let mut bytes = Vec::new();
        for at in 0..40 {
            let range = format!("bytes={at}-{at}");
            let headers = [("range", range.as_str())];
            let answer = app.get_with("/firmware/gateway_v1.0.3.bin", &headers).await;
            exact_length(&answer);
            bytes.extend(answer.body);
        }
        assert_eq!(bytes, file[..40]);
        app.stop().await;
    });
}
