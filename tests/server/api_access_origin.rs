//! Requests that another page makes a browser send, with our cookie.

use reqwest::Method;
use serde_json::json;

use crate::{
    api_access_tokens::{TOKENS, ask, token},
    api_access_users::{OURS, PASSWORD, cookie, log_in, user},
    app::{Setup, TestApp},
};

/// What a request may say of where it is from, and whether that is a page of this server.
fn shapes(app: &TestApp) -> Vec<(Vec<(&'static str, String)>, bool)> {
    let ours = format!("http://{}", app.http_addr);
    let other_port = format!("http://127.0.0.1:{}", app.http_addr.port() ^ 1);
    let said = |name, value: &str| (name, value.to_owned());
    vec![
        (vec![said("sec-fetch-site", "same-origin")], true),
        (vec![said("sec-fetch-site", "none")], true),
        (vec![said("origin", &ours)], true),
        (vec![said("origin", "https://ota.example.com")], true),
        (vec![], false),
        (vec![said("sec-fetch-site", "same-site")], false),
        (vec![said("sec-fetch-site", "cross-site")], false),
        (
            vec![said("sec-fetch-site", "cross-site"), said("origin", &ours)],
            false,
        ),
        (vec![said("origin", "null")], false),
        (vec![said("origin", &other_port)], false),
        (vec![said("origin", "https://evil.example")], false),
        (vec![said("origin", &format!("{ours}.evil.example"))], false),
    ]
}

/// Behind a proxy that people know by another name.
async fn server() -> TestApp {
    let mut setup = Setup::default();
    setup.options.public_url = Some("https://ota.example.com".to_owned());
    setup.start().await
}

#[tokio::test]
async fn what_the_cookie_may_change_only_a_page_of_this_server_can() {
    let app = server().await;
    let root = token(&app, None, "root", "admin").await;
    user(&app, &root, "ann", "admin").await;
    let login = log_in(&app, "ann", PASSWORD).await;
    let attributes = login.header("set-cookie").unwrap();
    assert!(attributes.ends_with("; Secure"), "{attributes}");
    let session = cookie(&login);
    for (n, (headers, is_ours)) in shapes(&app).into_iter().enumerate() {
        let mut headers: Vec<_> = headers.iter().map(|(name, it)| (*name, &**it)).collect();
        headers.push(("cookie", &session));
        let body = json!({ "name": format!("t{n}"), "role": "viewer" });
        let made = app
            .ask(Method::POST, TOKENS, &headers, Some(body.clone()))
            .await;
        match is_ours {
            true => drop(made.data()),
            false => drop(made.refused(403, "cross_site_request")),
        }
        let read = app.get_with(TOKENS, &headers).await;
        assert_eq!(
            read.status, 200,
            "what changes nothing is let in: {headers:?}"
        );
        // With a token of its own nobody is tricked.
        let bearer = format!("Bearer {root}");
        headers.push(("authorization", &bearer));
        let body = json!({ "name": format!("b{n}"), "role": "viewer" });
        let made = app.ask(Method::POST, TOKENS, &headers, Some(body)).await;
        made.data();
    }
    let listed = ask(&app, Some(&root), Method::GET, TOKENS, None).await;
    let listed = listed.data()["items"].as_array().unwrap().len();
    assert_eq!(listed, 1 + 4 + 12, "the refused have made none");
    app.stop().await;
}

#[tokio::test]
async fn nobody_is_logged_in_or_out_by_another_page() {
    let app = server().await;
    let root = token(&app, None, "root", "admin").await;
    user(&app, &root, "ann", "viewer").await;
    for (headers, is_ours) in shapes(&app) {
        let headers: Vec<_> = headers.iter().map(|(name, it)| (*name, &**it)).collect();
        let body = json!({ "name": "ann", "password": PASSWORD });
        let login = app
            .ask(Method::POST, "/api/ota/login", &headers, Some(body))
            .await;
        match is_ours {
            true => assert!(login.header("set-cookie").is_some()),
            false => {
                login.refused(403, "cross_site_request");
                assert_eq!(login.header("set-cookie"), None, "{headers:?}");
            }
        }
        let session = cookie(&log_in(&app, "ann", PASSWORD).await);
        let mut headers = headers;
        headers.push(("cookie", &session));
        let logout = app
            .ask(Method::POST, "/api/ota/logout", &headers, None)
            .await;
        assert_eq!(
            logout.status,
            if is_ours { 200 } else { 403 },
            "{headers:?}"
        );
        let after = app
            .get_with("/api/ota/session", &[("cookie", &session), OURS])
            .await;
        assert_eq!(after.status, if is_ours { 401 } else { 200 }, "{headers:?}");
        let body = json!({ "link": "als_x", "name": "eve", "password": PASSWORD });
        let made = app
            .ask(
                Method::POST,
                "/api/ota/setup",
                &headers[..headers.len() - 1],
                Some(body),
            )
            .await;
        made.refused(
            403,
            match is_ours {
                true => "invalid_setup_link",
                false => "cross_site_request",
            },
        );
    }
    app.stop().await;
}
