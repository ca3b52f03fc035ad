//! Every route × every role, and nobody: who is let in, and who is not.

use std::collections::BTreeMap;

use airlift::domain::{Actor, Caller, Role};
use serde_json::{Value, json};

use crate::{
    app::{Setup, TestApp},
    grants,
};

/// Who may take a route, each a letter: a **v**iewer, **p**ublisher, **o**perator, **a**dmin, the
/// **g**ateway that the route is about, **another** gateway, **nobody** (without a credential).
const READ: &str = "vpoa";
const PUBLISH: &str = "pa";
const OPERATE: &str = "oa";
const ADMINISTER: &str = "a";
const READ_GATEWAY: &str = "vpoag";
const BE_GATEWAY: &str = "g";
const READ_RELEASE: &str = "vpoagx";
const LOGGED_IN: &str = "vpoa";
const ANYBODY: &str = "vpoagxn";

/// The server's routes, written down a second time: a rule that changes by accident is seen here.
const ROUTES: &[(&str, &[&str])] = &[
    (
        ANYBODY,
        &[
            "GET /",
            "GET /healthz",
            "GET /api/ota/login/oidc",
            "GET /api/ota/login/oidc/callback",
            "GET /login",
            "GET /readyz",
            "GET /setup",
            "GET /static/{*file}",
            // These look at credentials of their own: a password, a provisioning key, a one-time link.
            "POST /api/ota/gateways/{gateway_id}/claim",
            "POST /api/ota/login",
            "POST /api/ota/logout",
            "POST /api/ota/setup",
        ],
    ),
    (
        READ,
        &[
            "GET /api/ota/events",
            "GET /api/ota/firmware",
            "GET /api/ota/firmware/{version}",
            "GET /api/ota/gateways",
            "GET /api/ota/gateways.csv",
            "GET /api/ota/packages",
            "GET /api/ota/packages/{name}",
            "GET /api/ota/packages/{name}/{version}",
            "GET /api/ota/rollouts",
            "GET /api/ota/rollouts/{id}",
            "GET /api/ota/rollouts/{id}/gateways",
            "GET /api/ota/rollouts/{id}/tasks",
            "GET /api/ota/signing-keys",
            "GET /api/ota/statistics",
            "GET /api/ota/statistics/gateways",
            "GET /api/ota/statistics/timeline",
            "GET /api/ota/task/{id}/events",
            "GET /api/ota/tasks",
            "GET /api/ota/tasks.csv",
            "GET /metrics",
            "POST /api/ota/rollouts/dry-run",
        ],
    ),
    (
        PUBLISH,
        &[
            "DELETE /api/ota/firmware/{version}",
            "DELETE /api/ota/packages/{name}/{version}",
            "POST /api/ota/firmware/upload",
            "POST /api/ota/firmware/{version}/release",
            "POST /api/ota/firmware/{version}/status",
            "POST /api/ota/packages/{name}/rollback",
            "POST /api/ota/packages/{name}/{version}/release",
            "PUT /update",
        ],
    ),
    (
        OPERATE,
        &[
            "PATCH /api/ota/gateways/{gateway_id}",
            "POST /api/ota/gateways/tags",
            "POST /api/ota/rollouts",
            "POST /api/ota/rollouts/{id}/cancel",
            "POST /api/ota/rollouts/{id}/pause",
            "POST /api/ota/rollouts/{id}/resume",
            "POST /api/ota/rollouts/{id}/retry",
            "POST /api/ota/task/{id}/cancel",
            "POST /api/ota/task/{id}/retry",
            "POST /api/ota/upgrade/{gateway_id}",
        ],
    ),
    (
        ADMINISTER,
        &[
            "DELETE /api/ota/gateways/{gateway_id}/token",
            "DELETE /api/ota/provisioning-keys/{key_id}",
            "DELETE /api/ota/tokens/{token_id}",
            "DELETE /api/ota/users/{user_id}",
            "DELETE /api/ota/webhooks/{webhook_id}",
            "GET /api/ota/audit",
            "GET /api/ota/audit.csv",
            "GET /api/ota/broker/logins",
            "GET /api/ota/gateways/tokens",
            "GET /api/ota/gateways/{gateway_id}/tokens",
            "GET /api/ota/provisioning-keys",
            "GET /api/ota/settings",
            "GET /api/ota/tokens",
            "GET /api/ota/users",
            "PATCH /api/ota/users/{user_id}",
            "POST /api/ota/gateways/tokens",
            "POST /api/ota/gateways/{gateway_id}/token",
            "POST /api/ota/provisioning-keys",
            "POST /api/ota/tokens",
            "POST /api/ota/users",
            "GET /api/ota/webhooks",
            "GET /api/ota/webhooks/{webhook_id}",
            "GET /api/ota/webhooks/{webhook_id}/deliveries",
            "POST /api/ota/webhooks",
            "POST /api/ota/webhooks/{webhook_id}/deliveries/{delivery_id}/retry",
            "POST /api/ota/webhooks/{webhook_id}/ping",
        ],
    ),
    (
        READ_GATEWAY,
        &[
            "GET /api/ota/gateways/{gateway_id}",
            "GET /api/ota/gateways/{gateway_id}/heartbeats",
            "GET /api/ota/gateways/{gateway_id}/why",
            "GET /api/ota/task/{id}",
            // Files of a firmware that a task of its own brings.
            "GET /firmware/{file_name}",
        ],
    ),
    (
        BE_GATEWAY,
        &[
            "GET /api/ota/gateways/{gateway_id}/command",
            "POST /api/ota/gateways/{gateway_id}/report",
            "POST /api/ota/gateways/{gateway_id}/task",
        ],
    ),
    (
        READ_RELEASE,
        &[
            "GET /api/ota/firmware/latest",
            "GET /getSignature",
            "GET /getVersion",
            "GET /maxVersion",
            "GET /ota/changelog",
            "GET /otafiles/{sha256}",
        ],
    ),
    (LOGGED_IN, &["POST /api/ota/session/password"]),
    // Who am I? Whoever has a credential may know.
    (READ_RELEASE, &["GET /api/ota/session"]),
];
/// The gateway that routes are about, and another.
const OWN: &str = "GATEWAY-OWN";
const ANOTHER: &str = "GATEWAY-ANOTHER";
/// Codes by which the server says that the credential is missing or not enough.
const REFUSALS: [&str; 6] = [
    "unauthenticated",
    "invalid_token",
    "forbidden",
    "download_unsigned",
    "not_its_file",
    "cross_site_request",
];

/// A closed server with a gateway in an upgrade, and everybody's tokens.
struct House {
    app: TestApp,
    /// By letter.
    tokens: BTreeMap<char, String>,
}

impl House {
    async fn build(setup: Setup) -> House {
        let app = setup.start().await;
        app.released("1.0.2").await;
        for gateway in [OWN, ANOTHER] {
            app.patch_json(
                &format!("/api/ota/gateways/{gateway}"),
                json!({"tags": {"owner": format!("tag-of-{gateway}")}}),
            )
            .await;
        }
        app.trigger(OWN, "1.0.2").await.data();
        let caller = Caller {
            actor: Actor::Anyone,
            address: None,
        };
        let mut tokens = BTreeMap::new();
        for role in Role::ALL {
            let new = airlift::service::NewToken {
                name: role.as_str().to_owned(),
                role,
                expires_at: None,
            };
            let (_, secret) = app.service().create_token(&caller, new).await.unwrap();
            let letter = role.as_str().chars().next().unwrap();
            tokens.insert(letter, secret.reveal().to_owned());
        }
        for (letter, gateway) in [('g', OWN), ('x', ANOTHER)] {
            let path = format!("/api/ota/gateways/{gateway}/token");
            let token = tokens[&'a'].clone();
            let answer = ask(&app, "POST", &path, Some(&token)).await;
            let issued = serde_json::from_str::<Value>(&answer.body).unwrap();
            tokens.insert(letter, issued["data"]["token"].as_str().unwrap().to_owned());
        }
        House { app, tokens }
    }

    async fn ask(&self, who: char, route: &str) -> Said {
        let (method, path) = address(route);
        let token = self.tokens.get(&who).map(String::as_str);
        assert_eq!(token.is_none(), who == 'n');
        ask(&self.app, method, &path, token).await
    }
}

struct Said {
    status: u16,
    body: String,
}

impl Said {
    fn is_refusal(&self) -> bool {
        let named = |code: &&str| self.body.contains(&format!("\"code\":\"{code}\""));
        matches!(self.status, 401 | 403) && REFUSALS.iter().any(named)
    }
}

/// A request without a body: whoever is let in gets at most a sentence on what is missing.
async fn ask(app: &TestApp, method: &str, path: &str, token: Option<&str>) -> Said {
    let authorization = token
        .map(|token| format!("Authorization: Bearer {token}\r\n"))
        .unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: same-origin\r\n{authorization}\
         Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let answer = app.raw(&request).await;
    let status = answer.split(' ').nth(1).and_then(|it| it.parse().ok());
    Said {
        status: status.unwrap_or_else(|| panic!("{method} {path}: {answer}")),
        body: answer
            .split_once("\r\n\r\n")
            .map_or_else(String::new, |(_, body)| body.to_owned()),
    }
}

/// A route's method, and its path with things that are there.
fn address(route: &str) -> (&str, String) {
    let (method, path) = route.split_once(' ').unwrap();
    let path = match path {
        "/api/ota/task/{id}" => path.replace("{id}", OWN),
        "/firmware/{file_name}" => path.replace("{file_name}", "gateway_v1.0.2.bin"),
        // Else its answer has no end.
        "/api/ota/events" => format!("{path}?kind=x"),
        path => path.replace("{gateway_id}", OWN),
    };
    let path: Vec<&str> = path
        .split('/')
        .map(|part| if part.starts_with('{') { "x" } else { part })
        .collect();
    (method, path.join("/"))
}

fn routes() -> impl Iterator<Item = (&'static str, &'static str)> {
    ROUTES
        .iter()
        .flat_map(|(who, routes)| routes.iter().map(|route| (*route, *who)))
}

#[test]
fn the_walk_goes_by_every_route_that_there_is() {
    let mut there_are: Vec<String> = airlift::http::rules()
        .iter()
        .map(|rule| format!("{} {}", rule.method, rule.path))
        .collect();
    let mut walked: Vec<String> = routes().map(|(route, _)| route.to_owned()).collect();
    there_are.sort_unstable();
    walked.sort_unstable();
    assert_eq!(walked, there_are);
}

async fn every_route_lets_in_who_may(setup: Setup) {
    let house = House::build(setup).await;
    let mut wrong = Vec::new();
    // The admin last: what it may do ends the gateways' tokens.
    for who in "nxgvpoa".chars() {
        for (route, may) in routes() {
            let said = house.ask(who, route).await;
            if said.is_refusal() == may.contains(who) {
                wrong.push(format!("{route} by {who}: {} {}", said.status, said.body));
            }
            let missing = who == 'n' && !may.contains(who);
            if missing && said.status != 401 {
                wrong.push(format!("{route} by nobody: {}", said.status));
            }
        }
    }
    for path in ["/docs/", "/openapi.json"] {
        for who in "nxgvpoa".chars() {
            let said = house.ask(who, &format!("GET {path}")).await;
            if said.is_refusal() == READ.contains(who) {
                wrong.push(format!("{path} by {who}: {}", said.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    house.app.stop().await;
}

#[tokio::test]
async fn every_route_lets_in_who_may_and_nobody_else() {
    every_route_lets_in_who_may(Setup::default()).await;
}

#[tokio::test]
async fn every_route_lets_in_who_may_and_nobody_else_on_postgres() {
    let setup = Setup {
        postgres: true,
        ..Setup::default()
    };
    every_route_lets_in_who_may(setup).await;
}

#[tokio::test]
async fn what_is_no_token_opens_no_route_that_asks_for_one() {
    let house = House::build(Setup::default()).await;
    let admin = house.tokens[&'a'].clone();
    let key = grants::post(
        &house.app,
        "/api/ota/provisioning-keys",
        Some(&admin),
        json!({"name": "line-1"}),
    )
    .await
    .data();
    let revoked = grants::post(
        &house.app,
        "/api/ota/tokens",
        Some(&admin),
        json!({"name": "gone", "role": "admin"}),
    )
    .await
    .data();
    let path = format!("/api/ota/tokens/{}", revoked["tokenId"].as_str().unwrap());
    assert_eq!(
        ask(&house.app, "DELETE", &path, Some(&admin)).await.status,
        200
    );
    let mut mangled = admin.clone();
    let last = mangled.pop().unwrap();
    mangled.push(if last == 'A' { 'E' } else { 'A' });
    for token in [
        "x",
        "null",
        &format!("alt_{}", "A".repeat(43)),
        &mangled,
        &admin[..admin.len() - 1],
        &admin.to_uppercase(),
        key["key"].as_str().unwrap(),
        revoked["token"].as_str().unwrap(),
        "' OR '1'='1",
        &"x".repeat(8000),
    ] {
        for (route, may) in routes().filter(|(_, may)| *may != ANYBODY) {
            let (method, path) = address(route);
            let said = ask(&house.app, method, &path, Some(token)).await;
            assert_eq!(said.status, 401, "{route} ({may}): {}", said.body);
        }
    }
    house.app.stop().await;
}

#[tokio::test]
async fn a_stolen_gateway_token_reads_nothing_of_another_gateway() {
    let house = House::build(Setup::default()).await;
    let stolen = house.tokens[&'g'].clone();
    let foreign = [
        format!("GET /api/ota/gateways/{ANOTHER}"),
        format!("GET /api/ota/gateways/{ANOTHER}/why"),
        format!("GET /api/ota/gateways/{ANOTHER}/command"),
        format!("GET /api/ota/task/{ANOTHER}"),
        format!("POST /api/ota/gateways/{ANOTHER}/report"),
        format!("POST /api/ota/gateways/{ANOTHER}/task"),
        format!("POST /api/ota/gateways/{ANOTHER}/token"),
        format!("POST /api/ota/upgrade/{ANOTHER}"),
    ];
    for route in &foreign {
        let (method, path) = route.split_once(' ').unwrap();
        let said = ask(&house.app, method, path, Some(&stolen)).await;
        assert_eq!(said.status, 403, "{route}: {}", said.body);
    }
    // Whatever it may read, by every way that there is: nothing of it is of another.
    let mut read = 0;
    for (route, _) in routes().filter(|(route, _)| route.starts_with("GET")) {
        let (method, path) = address(route);
        let said = ask(&house.app, method, &path, Some(&stolen)).await;
        read += usize::from(said.status == 200);
        assert!(!said.body.contains(ANOTHER), "{route}: {}", said.body);
    }
    assert!(read >= 5, "it reads its own: {read}");
    let own = ask(
        &house.app,
        "GET",
        &format!("/api/ota/task/{OWN}"),
        Some(&stolen),
    )
    .await;
    assert!(own.body.contains("\"toVersion\":\"1.0.2\""), "{}", own.body);
    house.app.stop().await;
}
