//! What browsers are told not to do with what the server answers.

use crate::{
    answer::Answer,
    app::{Setup, TestApp},
};

const ALWAYS: [(&str, &str); 5] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

fn has_those_of_every_answer(what: &str, answer: &Answer) {
    for (name, value) in ALWAYS {
        assert_eq!(answer.header(name), Some(value), "{what}: {name}");
    }
    let permissions = answer.header("permissions-policy").unwrap_or_default();
    assert!(permissions.contains("camera=()"), "{what}: {permissions}");
}

#[tokio::test]
async fn every_answer_says_what_browsers_must_not_do_with_it() {
    let app = TestApp::start().await;
    let firmware = app.released("1.0.0").await;
    let file = firmware["fileUrl"].as_str().unwrap();
    let file = &file[file.find("/firmware/").unwrap()..];
    for (path, status, cache) in [
        ("/api/ota/firmware", 200, Some("no-store")),
        ("/api/ota/firmware/9.9.9", 404, Some("no-store")),
        ("/api/ota/gateways.csv", 200, Some("no-store")),
        ("/api/nothing", 404, Some("no-store")),
        ("/api/ota/task/%FF", 400, Some("no-store")),
        // Its name is its content's: the handler says so itself.
        (file, 200, Some("public, max-age=31536000, immutable")),
        ("/firmware/none.bin", 404, None),
        ("/docs/", 200, None),
        ("/docs/swagger-ui.css", 200, None),
        ("/openapi.json", 200, None),
        ("/healthz", 200, None),
        ("/metrics", 200, None),
        ("/nothing", 404, None),
    ] {
        let answer = app.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        has_those_of_every_answer(path, &answer);
        assert_eq!(answer.header("cache-control"), cache, "{path}");
        assert_eq!(answer.header("strict-transport-security"), None, "{path}");
        let is_page = answer
            .header("content-type")
            .is_some_and(|content_type| content_type.starts_with("text/html"));
        let policy = answer.header("content-security-policy");
        assert_eq!(policy.is_some(), is_page, "{path}: {policy:?}");
    }
    has_those_of_every_answer("a method", &app.delete("/healthz").await);
    app.stop().await;
}

#[tokio::test]
async fn pages_run_no_script_but_the_servers_own() {
    let app = TestApp::start().await;
    for path in ["/docs/", "/login", "/setup", "/"] {
        let page = app.get(path).await;
        let policy = page.header("content-security-policy").unwrap();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ] {
            let has = policy.split("; ").any(|it| it == part);
            assert!(has, "{path}: {part}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
    }
    app.stop().await;
}

#[tokio::test]
async fn browsers_are_held_to_https_where_there_is_https() {
    let mut app = Setup::default().prepare();
    app.config.public_url = "https://ota.example.com".to_owned();
    app.run().await;
    app.ready().await;
    let answer = app.get("/healthz").await;
    let value = answer.header("strict-transport-security");
    assert_eq!(value, Some("max-age=31536000"));
    app.stop().await;
}
