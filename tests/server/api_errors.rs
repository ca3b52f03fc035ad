//! Requests that make no sense: each gets an envelope that says what is wrong, none gets further.

use serde_json::json;

use crate::app::{Setup, TestApp};

#[tokio::test]
async fn an_unknown_route_and_a_wrong_method_are_told_so_in_an_envelope() {
    let app = TestApp::start().await;
    for path in [
        "/api",
        "/api/ota",
        "/api/ota/nothing",
        "/nothing",
        "/firmware",
        "/healthz/x",
    ] {
        let message = app.get(path).await.refused(404, "no_such_route");
        assert!(message.contains("/docs"), "{message}");
    }
    for (path, allowed) in [
        ("/api/ota/firmware/1.0.2/release", "POST"),
        ("/api/ota/task/x/cancel", "POST"),
        ("/api/ota/upgrade/g", "POST"),
    ] {
        let answer = app.get(path).await;
        answer.refused(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some(allowed), "{path}");
    }
    let answer = app.post("/api/ota/gateways").await;
    answer.refused(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("GET,HEAD"));
    let answer = app.post("/api/ota/firmware/1.0.2").await;
    answer.refused(405, "method_not_allowed");
    let allowed = answer.header("allow").unwrap();
    assert!(
        allowed.contains("DELETE") && allowed.contains("GET"),
        "{allowed}"
    );
    app.stop().await;
}

#[tokio::test]
async fn json_is_taken_as_text_or_without_a_type_but_not_as_a_form() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    let body = r#"{"version":"1.0.2"}"#;
    for (n, content_type) in [
        None,
        Some("application/json"),
        Some("application/json; charset=utf-8"),
        Some("APPLICATION/JSON"),
        Some("text/plain"),
        Some("text/plain;charset=UTF-8"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/api/ota/upgrade/g{n}");
        let task = app.post_as(&path, content_type, body).await.data();
        assert_eq!(task["toVersion"], "1.0.2", "{content_type:?}");
    }
    for content_type in [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "",
    ] {
        let answer = app
            .post_as("/api/ota/upgrade/g", Some(content_type), body)
            .await;
        let message = answer.refused(415, "unsupported_media_type");
        assert!(message.contains("application/json"), "{message}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_body_that_is_not_as_documented_is_refused_and_says_where() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    for (body, word) in [
        (r#"{"version":"1.0.2","colour":1}"#, "colour"),
        (r#"{"version":102}"#, "string"),
        (r#"{"version":"1.0.2""#, "line 1"),
        (r#"{"version":"1.0.2"}{}"#, "trailing"),
        (r#" ["1.0.2",false,null]"#, "object"),
        (r#"{"scheduledAt":"tomorrow"}"#, "line 1"),
        (r#"{"forceUpgrade":"yes"}"#, "boolean"),
    ] {
        let json = Some("application/json");
        let answer = app.post_as("/api/ota/upgrade/g", json, body).await;
        let message = answer.refused(400, "invalid_json");
        assert!(message.contains(word), "{body}: {message}");
    }
    for body in [
        "",
        "{}",
        r#"{"status":"asleep"}"#,
        r#"{"status":"testing","x":1}"#,
    ] {
        let path = "/api/ota/firmware/1.0.2/status";
        let answer = app.post_as(path, Some("application/json"), body).await;
        answer.refused(400, "invalid_json");
    }
    let unknown = app.get("/api/ota/gateways/g").await;
    unknown.refused(404, "gateway_not_found");
    app.stop().await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_by_a_message_that_names_it() {
    let app = TestApp::start().await;
    let body = json!({ "version": "1".repeat(70_000) });
    let answer = app.post_json("/api/ota/upgrade/g", body).await;
    let message = answer.refused(413, "too_large");
    assert!(message.contains("65536"), "{message}");
    app.stop().await;
}

#[tokio::test]
async fn no_name_in_an_address_leads_out_of_its_folder() {
    let app = TestApp::start().await;
    app.released("1.0.2").await;
    for name in [
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e%2f%2e%2e%2fetc/passwd",
        "../../../../etc/passwd",
        "..%5c..%5cetc%5cpasswd",
        "%2fetc%2fpasswd",
        "gateway_v1.0.2.bin%00",
        "gateway_v1.0.2.bin/..",
        "gateway_v1.0.2",
        "%ff%fe",
        "airlift.db",
    ] {
        let request =
            format!("GET /firmware/{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = app.raw(&request).await;
        let status = answer.split(' ').nth(1);
        assert!(matches!(status, Some("404" | "400")), "{name}: {answer}");
        assert!(answer.contains(r#""status":false"#), "{name}: {answer}");
        assert!(!answer.contains("root:"), "{name}: {answer}");
    }
    let long = "g".repeat(65);
    for id in [
        "..", "%2e%2e", "a%2fb", "a%20b", "%c3%a4", "%2b", "%23", &long,
    ] {
        for (method, path) in [("POST", "upgrade"), ("GET", "task"), ("GET", "gateways")] {
            let request = format!(
                "{method} /api/ota/{path}/{id} HTTP/1.1\r\nHost: x\r\n\
                 Content-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let answer = app.raw(&request).await;
            assert!(answer.starts_with("HTTP/1.1 400"), "{path}/{id}: {answer}");
            assert!(
                answer.contains("invalid_gateway_id"),
                "{path}/{id}: {answer}"
            );
        }
    }
    let unheard_of = app.get("/api/ota/gateways").await.data();
    assert_eq!(unheard_of["items"], json!([]));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nul_is_refused_before_a_database_sees_it() {
    for postgres in [false, true] {
        let setup = Setup {
            postgres,
            ..Setup::default()
        };
        let app = setup.start().await;
        for path in [
            "/api/ota/firmware/1.0.2%00",
            "/api/ota/gateways/g%00",
            "/api/ota/task/%00",
            "/firmware/gateway_v1.0.2.bin%00",
        ] {
            app.get(path).await.refused(400, "invalid_path");
        }
        for path in [
            "tasks?gatewayId=%00",
            "tasks?version=%00",
            "gateways?cursor=%00",
            "gateways?currentVersion=1%002",
            "statistics?version=%00",
            "statistics?deviceType=%00",
            "firmware?deviceType=%00",
        ] {
            let answer = app.get(&format!("/api/ota/{path}")).await;
            answer.refused(400, "invalid_query");
        }
        let answer = app.trigger("g", "1.0.2\0").await;
        answer.refused(400, "invalid_json");
        app.stop().await;
    }
}

#[tokio::test]
async fn a_parameter_that_makes_no_sense_is_refused() {
    let app = TestApp::start().await;
    for (path, code) in [
        ("firmware?limit=0", "invalid_limit"),
        ("firmware?limit=-1", "invalid_limit"),
        ("firmware?cursor=nonsense", "invalid_cursor"),
        ("firmware?status=asleep", "invalid_query"),
        ("gateways?limit=501", "invalid_limit"),
        ("gateways?online=perhaps", "invalid_query"),
        ("statistics?since=yesterday", "invalid_query"),
    ] {
        let answer = app.get(&format!("/api/ota/{path}")).await;
        answer.refused(400, code);
    }
    app.stop().await;
}
