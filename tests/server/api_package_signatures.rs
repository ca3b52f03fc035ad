//! Who has to sign a package's content.json, and with what.

use std::fs;

use airlift::config::RequireSignature;
use reqwest::multipart::Form;
use serde_json::Value;

use crate::{
    app::{Answer, Setup, TestApp},
    bundles::{Keys, RELEASE, STRANGER},
    packages::{PUSH, content, file_of, form, list, part, push},
};

const SIGNATURE: &str = "/getSignature?package=app&branch=main&version=1.0";

fn text() -> String {
    content("app", "main", "1.0", &file_of("1.0"))
}

async fn push_signed(app: &TestApp, content: &str, signature: &[u8]) -> Answer {
    let form = form(content, &file_of("1.0"));
    app.put_form(
        PUSH,
        form.part("signature", part("content.json.asc", signature)),
    )
    .await
}

#[tokio::test]
async fn a_package_must_be_signed_by_a_key_that_is_trusted_now() {
    let keys = Keys::new();
    let app = keys.server().await;
    let (text, file) = (text(), file_of("1.0"));
    let sign = |user: &str, text: &str| keys.gpg.sign(&[user], text.as_bytes()).unwrap();
    let unsigned = push(&app, &text, &file).await;
    let message = unsigned.refused(400, "unsigned");
    assert!(
        message.contains("app 1.0") && message.contains("--detach-sign"),
        "{message}"
    );
    let empty = push_signed(&app, &text, b"\n").await;
    empty.refused(400, "unsigned");
    let garbage = push_signed(&app, &text, b"no signature").await;
    assert!([400].contains(&garbage.status), "{}", garbage.text());
    let stranger = push_signed(&app, &text, &sign(STRANGER, &text)).await;
    stranger.refused(400, "untrusted_key");
    // One space more than was signed.
    let altered = format!("{text} ");
    let altered = push_signed(&app, &altered, &sign(RELEASE, &text)).await;
    altered.refused(400, "bad_signature");
    assert_eq!(app.blob_files(), [""; 0]);
    assert_eq!(list(&app, "").await, [Value::Null; 0]);

    let signature = sign(RELEASE, &text);
    let package = push_signed(&app, &text, &signature).await.json();
    assert_eq!(package["signedBy"]["name"], "release");
    let given = app.get(SIGNATURE).await;
    assert_eq!((given.status, given.body), (200, signature.clone()));
    assert_eq!(given.headers["content-type"], "application/pgp-signature");
    assert!(given.headers.contains_key("etag"));
    // Also where the signature comes first or in the middle, or is a text.
    let first = Form::new()
        .text("signature", String::from_utf8(signature.clone()).unwrap())
        .part("file", part("x", &file))
        .text("content", text.clone());
    let middle = Form::new()
        .text("content", text.clone())
        .text("signature", String::from_utf8(signature.clone()).unwrap())
        .part("file", part("x", &file));
    for form in [first, middle] {
        assert_eq!(app.put_form(PUSH, form).await.json(), package);
    }
    // The same content without it is not what is there.
    push(&app, &text, &file).await.refused(400, "unsigned");

    keys.distrust("release");
    keys.trust("next", STRANGER);
    let late = push_signed(&app, &text, &signature).await;
    late.refused(400, "untrusted_key");
    let anew = push_signed(&app, &text, &sign(STRANGER, &text))
        .await
        .json();
    assert_eq!(anew["signedBy"]["name"], "next");
    assert_eq!(anew["id"], package["id"]);
    assert!(app.get(SIGNATURE).await.body != signature);
    let refused = "airlift_bundles_refused_total{reason=\"untrusted_key\"}";
    assert_eq!(app.metric(refused).await, 2.0);
    app.stop().await;
}

#[tokio::test]
async fn without_a_trusted_key_a_signature_is_kept_unchecked_until_one_is() {
    let keys = Keys::none();
    keys.make(RELEASE, "ed25519");
    let app = keys.server().await;
    let (text, file) = (text(), file_of("1.0"));
    let unsigned = push(&app, &text, &file).await.json();
    assert_eq!(unsigned["signedBy"], Value::Null);
    app.get(SIGNATURE).await.refused(404, "signature_not_found");
    let signature = keys.gpg.sign(&[RELEASE], text.as_bytes()).unwrap();
    let unchecked = push_signed(&app, &text, &signature).await.json();
    assert_eq!(unchecked["signedBy"], Value::Null);
    assert_eq!(app.get(SIGNATURE).await.body, signature);
    // A push without one does not take it away; one of another content does.
    push(&app, &text, &file).await.json();
    assert_eq!(app.get(SIGNATURE).await.body, signature);
    keys.trust("release", RELEASE);
    let signed = push_signed(&app, &text, &signature).await.json();
    assert_eq!(signed["signedBy"]["name"], "release");
    keys.distrust("release");
    let known = push_signed(&app, &text, &signature).await.json();
    assert_eq!(known["signedBy"]["name"], "release");
    let other = text.replace("für alle", "for all");
    let replaced = push(&app, &other, &file).await.json();
    assert_eq!(replaced["signedBy"], Value::Null);
    app.get(SIGNATURE).await.refused(404, "signature_not_found");
    app.stop().await;
}

#[tokio::test]
async fn where_no_signature_is_required_one_by_a_stranger_is_still_refused() {
    let keys = Keys::new();
    let setup = Setup {
        require_signature: Some(RequireSignature::Never),
        ..keys.setup()
    };
    let app = setup.start().await;
    let text = text();
    assert_eq!(push(&app, &text, &file_of("1.0")).await.status, 200);
    let signature = keys.gpg.sign(&[STRANGER], text.as_bytes()).unwrap();
    let stranger = push_signed(&app, &text, &signature).await;
    stranger.refused(400, "untrusted_key");
    app.get(SIGNATURE).await.refused(404, "signature_not_found");
    app.stop().await;
}

#[tokio::test]
async fn where_signatures_are_always_required_nothing_is_taken_before_a_key_is_trusted() {
    let keys = Keys::none();
    keys.make(RELEASE, "ed25519");
    let setup = Setup {
        require_signature: Some(RequireSignature::Always),
        ..keys.setup()
    };
    let app = setup.start().await;
    let text = text();
    push(&app, &text, &file_of("1.0"))
        .await
        .refused(400, "unsigned");
    let signature = keys.gpg.sign(&[RELEASE], text.as_bytes()).unwrap();
    let untrusted = push_signed(&app, &text, &signature).await;
    untrusted.refused(400, "untrusted_key");
    keys.trust("release", RELEASE);
    assert_eq!(push_signed(&app, &text, &signature).await.status, 200);
    fs::write(keys.file("broken"), "no key").unwrap();
    let unreadable = push_signed(&app, &text, &signature).await;
    unreadable.refused(503, "trusted_keys_unreadable");
    app.stop().await;
}
