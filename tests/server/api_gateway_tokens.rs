//! What gateways show themselves with, as an administrator makes and takes it.

use std::collections::BTreeSet;

use airlift::{
    domain::{Actor, Caller, Role},
    service::{Error, Presented, TokenIssue},
};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::app::{Setup, TestApp};

pub fn admin() -> Caller {
    Caller {
        actor: Actor::Token {
            token_id: uuid::Uuid::nil(),
            name: "boss".into(),
            role: Role::Admin,
        },
        address: None,
    }
}

/// Whose token this is; `None` if nobody's that is good.
async fn owner(app: &TestApp, token: &str) -> Option<Actor> {
    let presented = Presented {
        token: Some(token),
        ..Presented::default()
    };
    app.service().authenticate(presented).await.ok()
}

fn gateway(id: &str) -> Option<Actor> {
    Some(Actor::Gateway {
        gateway_id: id.into(),
    })
}

async fn rotated(app: &TestApp, id: &str, grace: Option<i64>) -> String {
    let grace = grace.map(TimeDelta::seconds);
    let service = app.service();
    let made = service
        .issue_gateway_token(&admin(), id, TokenIssue::Any, grace)
        .await
        .unwrap();
    app.clock.advance(TimeDelta::seconds(1));
    made.secret.reveal().to_owned()
}

/// Lines of the audit log, the oldest first: action, subject, detail.
pub async fn audit(app: &TestApp) -> Vec<(String, String, Value)> {
    let db = app.db().await;
    let sql = "SELECT action, subject, detail FROM audit ORDER BY audit_id";
    let rows: Vec<(String, String, sqlx::types::Json<Value>)> = match &db {
        airlift::store::Db::Postgres(pool) => sqlx::query_as(sql).fetch_all(pool).await,
        airlift::store::Db::Sqlite { writer, .. } => sqlx::query_as(sql).fetch_all(writer).await,
    }
    .unwrap();
    db.close().await;
    let rows = rows.into_iter().map(|(a, b, c)| (a, b, c.0));
    rows.collect()
}

#[tokio::test]
async fn the_first_token_closes_the_doors_and_opens_its_gateways_own() {
    let app = TestApp::start().await;
    let made = app.post("/api/ota/gateways/G1/token").await.data();
    let token = made["token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("alg_") && token.len() == 47);
    assert_eq!(made["gatewayId"], "G1");
    assert_eq!(made["predecessorEndsAt"], Value::Null);
    assert_eq!(made["createdBy"], "anyone");

    let refused = app.get("/api/ota/gateways").await;
    assert_eq!(refused.status, 401);
    let bearer = format!("Bearer {token}");
    let with = [("authorization", bearer.as_str())];
    // Its own is not known yet, which it may be told; another's is not its business.
    let own = app.get_with("/api/ota/gateways/G1", &with).await;
    assert_eq!(own.status, 404);
    let others = app.get_with("/api/ota/gateways/G2", &with).await;
    assert_eq!(others.status, 403);
    let others = app.get_with("/api/ota/gateways/G1/tokens", &with).await;
    assert_eq!(others.status, 403);

    assert_eq!(owner(&app, &token).await, gateway("G1"));
    assert_eq!(owner(&app, "alg_no").await, None);
    app.stop().await;
}

#[tokio::test]
async fn the_old_token_ends_when_the_new_one_is_first_used() {
    let app = Setup::manual_clock().start().await;
    let first = rotated(&app, "G1", None).await;
    assert_eq!(owner(&app, &first).await, gateway("G1"));
    let second = rotated(&app, "G1", None).await;
    assert_eq!(owner(&app, &first).await, gateway("G1"));
    assert_eq!(owner(&app, &second).await, gateway("G1"));
    app.service().forget_credentials().await.unwrap();
    assert_eq!(owner(&app, &first).await, None);
    assert_eq!(owner(&app, &second).await, gateway("G1"));
    app.stop().await;
}

#[tokio::test]
async fn a_token_that_nobody_takes_over_ends_after_its_grace() {
    let app = Setup::manual_clock().start().await;
    let first = rotated(&app, "G1", None).await;
    assert_eq!(owner(&app, &first).await, gateway("G1"));
    let unused = rotated(&app, "G1", Some(600)).await;
    // The gateway never got the second: the first, which it has, stays good beside the third.
    let third = rotated(&app, "G1", Some(600)).await;
    assert_eq!(owner(&app, &unused).await, None);
    assert_eq!(owner(&app, &first).await, gateway("G1"));
    app.clock.advance(TimeDelta::seconds(600));
    app.service().forget_credentials().await.unwrap();
    assert_eq!(owner(&app, &first).await, None);
    assert_eq!(owner(&app, &third).await, gateway("G1"));

    let at_once = rotated(&app, "G1", Some(0)).await;
    assert_eq!(owner(&app, &third).await, None);
    assert_eq!(owner(&app, &at_once).await, gateway("G1"));

    let too_long = app
        .service()
        .issue_gateway_token(&admin(), "G1", TokenIssue::Any, Some(TimeDelta::days(8)))
        .await;
    assert!(matches!(
        too_long,
        Err(Error::Invalid {
            code: "invalid_grace",
            ..
        })
    ));
    app.stop().await;
}

#[tokio::test]
async fn revocation_ends_all_tokens_at_once() {
    let app = Setup::manual_clock().start().await;
    let service = app.service();
    let first = rotated(&app, "G1", None).await;
    assert_eq!(owner(&app, &first).await, gateway("G1"));
    let second = rotated(&app, "G1", None).await;
    let other = rotated(&app, "G2", None).await;
    assert_eq!(
        service.revoke_gateway_tokens(&admin(), "G1").await.unwrap(),
        2
    );
    assert_eq!(owner(&app, &first).await, None);
    assert_eq!(owner(&app, &second).await, None);
    assert_eq!(owner(&app, &other).await, gateway("G2"));

    let again = service.revoke_gateway_tokens(&admin(), "G1").await;
    assert!(matches!(again, Err(Error::NotFound { .. })), "{again:?}");
    let rotation = service
        .issue_gateway_token(&admin(), "G1", TokenIssue::Rotation, None)
        .await;
    assert!(matches!(rotation, Err(Error::NotFound { .. })));
    let anew = service
        .issue_gateway_token(&admin(), "G1", TokenIssue::First, None)
        .await
        .unwrap();
    assert_eq!(owner(&app, anew.secret.reveal()).await, gateway("G1"));
    let twice = service
        .issue_gateway_token(&admin(), "G1", TokenIssue::First, None)
        .await;
    assert!(matches!(
        twice,
        Err(Error::Conflict {
            code: "gateway_has_token",
            ..
        })
    ));

    let log = audit(&app).await;
    let log: Vec<_> = log
        .iter()
        .map(|(a, b, _)| (a.as_str(), b.as_str()))
        .collect();
    let created = ("gateway_token.create", "G1");
    assert_eq!(
        log,
        [
            created,
            ("gateway_token.rotate", "G1"),
            ("gateway_token.create", "G2"),
            ("gateway_token.revoke", "G1"),
            created,
        ]
    );
    app.stop().await;
}

#[tokio::test]
async fn many_gateways_get_their_tokens_or_none_does() {
    let app = TestApp::start().await;
    let ids: Vec<String> = (0..1500).map(|n| format!("B{n:04}")).collect();
    let list = format!("gatewayId,site\n{},lab\n", ids.join(",lab\n"));
    let path = "/api/ota/gateways/tokens";
    for (list, why) in [
        (
            "gatewayId\nG1\n\nG 2\n",
            "line 4: \"G 2\" is not a gateway id",
        ),
        ("gatewayId\nG1\nG1\n", "line 3: G1 stands in line 2 already"),
        ("G1\n", "line 1: the first column must be gatewayId"),
    ] {
        let refused = app.post_as(path, Some("text/csv"), list).await;
        assert_eq!(refused.status, 400);
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with(why), "{message}");
    }
    assert_eq!(app.get(path).await.data()["items"], json!([]));

    let made = app.post_as(path, Some("text/csv"), &list).await;
    assert_eq!(made.status, 200, "{}", made.text());
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let text = made.text();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("gateway_id,token"));
    let tokens: Vec<(&str, &str)> = lines.map(|it| it.split_once(',').unwrap()).collect();
    assert_eq!(tokens.len(), 1500);
    let distinct: BTreeSet<&str> = tokens.iter().map(|(_, token)| *token).collect();
    assert_eq!(distinct.len(), 1500);
    for (id, token) in [tokens[0], tokens[1499]] {
        assert_eq!(owner(&app, token).await, gateway(id));
    }
    assert_eq!(audit(&app).await.len(), 1500);

    // The last of them has one already: the others get none.
    let lines = vec![("C1", 2), ("B1499", 3)].into_iter().map(|(id, line)| {
        airlift::service::GatewayIdLine {
            line,
            gateway_id: id.into(),
        }
    });
    let refused = app
        .service()
        .add_gateway_tokens(&admin(), lines.collect())
        .await
        .unwrap_err();
    let message = refused.to_string();
    assert!(
        message.starts_with("line 3: gateway B1499 has a token"),
        "{message}"
    );
    let none = app.service().gateway_tokens("C1").await.unwrap();
    assert_eq!(none, []);
    app.stop().await;
}

#[tokio::test]
async fn no_list_shows_a_secret() {
    let app = TestApp::start().await;
    let service = app.service();
    let made = service
        .issue_gateway_token(&admin(), "G1", TokenIssue::Any, None)
        .await
        .unwrap();
    let shown = format!("{made:?} {:?}", service.gateway_tokens("G1").await.unwrap());
    assert!(!shown.contains("alg_"), "{shown}");
    let log = format!("{:?}", audit(&app).await);
    assert!(!log.contains("alg_") && log.contains("tokenId"), "{log}");
    let page = service.broker_logins("", 10).await.unwrap();
    assert_eq!(page.items.len(), 1);
    assert_eq!(
        page.items[0].hash,
        airlift::domain::secret_hash(made.secret.reveal())
    );
    app.stop().await;
}
