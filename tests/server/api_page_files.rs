//! How the page's files are sent: compressed, and cached for as long as they are the same.

use std::io::Read as _;

use flate2::read::GzDecoder;

use crate::app::TestApp;

/// The address of a file as the page names it.
async fn named_by_the_page(app: &TestApp, name: &str) -> String {
    let page = app.get("/").await;
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    let text = page.text();
    let end = text.find(&format!("/{name}\"")).expect(name) + 1 + name.len();
    let begin = text[..end].rfind('"').unwrap() + 1;
    text[begin..end].to_owned()
}

#[tokio::test]
async fn what_a_page_names_may_be_cached_for_ever_and_any_other_address_must_be_asked_for_again() {
    let app = TestApp::start().await;
    let path = named_by_the_page(&app, "app.js").await;
    assert!(path.starts_with("/static/~"), "{path}");
    let file = app.get(&path).await;
    let for_ever = Some("public, max-age=31536000, immutable");
    assert_eq!((file.status, file.header("cache-control")), (200, for_ever));
    for other in ["/static/app.js", "/static/~0123456789abcdef/app.js"] {
        let again = app.get(other).await;
        assert_eq!(again.body, file.body, "{other}");
        assert_eq!(again.header("cache-control"), Some("no-cache"), "{other}");
        let etag = again.header("etag").unwrap();
        let unchanged = app.get_with(other, &[("if-none-match", etag)]).await;
        assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
        let changed = app.get_with(other, &[("if-none-match", "\"x\"")]).await;
        assert_eq!((changed.status, changed.body), (200, file.body.clone()));
    }
    for nothing in [
        "nothing.js",
        "~",
        "core",
        "index.html",
        "..%2FCargo.toml",
        "core/..%2F..%2FCargo.toml",
        "%2Fetc%2Fpasswd",
    ] {
        let path = format!("/static/{nothing}");
        app.get(&path).await.refused(404, "no_such_file");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_file_is_compressed_for_whoever_takes_that() {
    let app = TestApp::start().await;
    let path = "/static/vendor/preact.js";
    let plain = app.get(path).await;
    assert_eq!(plain.header("content-encoding"), None);
    for (takes, encoding) in [
        ("gzip", "gzip"),
        ("deflate, gzip;q=0.5", "gzip"),
        ("gzip, br;q=0", "gzip"),
        ("gzip, br", "br"),
    ] {
        let small = app.get_with(path, &[("accept-encoding", takes)]).await;
        assert_eq!(small.header("content-encoding"), Some(encoding), "{takes}");
        assert_eq!(small.header("vary"), Some("accept-encoding"));
        assert!(small.body.len() * 2 < plain.body.len());
        let mut text = Vec::new();
        if encoding == "br" {
            brotli::BrotliDecompress(&mut &small.body[..], &mut text).unwrap();
        } else {
            let mut decoder = GzDecoder::new(&small.body[..]);
            decoder.read_to_end(&mut text).unwrap();
        }
        assert_eq!(text, plain.body, "{takes}");
    }
    for refuses in ["gzip;q=0", "identity", "zstd"] {
        let whole = app.get_with(path, &[("accept-encoding", refuses)]).await;
        assert_eq!(whole.header("content-encoding"), None, "{refuses}");
    }
    app.stop().await;
}
