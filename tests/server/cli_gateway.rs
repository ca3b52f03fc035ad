//! `airlift gateway`, `provisioning-key` and `broker`: what they print, and the files they write.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use airlift::{
    cli::{
        Cli, Command, broker,
        console::{Console, Outcome},
        gateway, provisioning_key,
    },
    service::TokenIssue,
};
use clap::Parser;

use crate::{api_gateway_tokens::admin, app::TestApp};

/// What a command printed: answers, then notes.
async fn command(app: &TestApp, token: &str, words: &[&str]) -> Result<(String, String), String> {
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let server = app.url("");
    let server = ["--server", &server, "--token", token];
    let words = [&["airlift"], words, &server].concat();
    let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
    let console = Console {
        input: &mut [].as_slice(),
        out: &mut out,
        notes: &mut notes,
        is_terminal: false,
    };
    let ran = match cli.command {
        Some(Command::Gateway(args)) => gateway::run(args, console).await,
        Some(Command::ProvisioningKey(args)) => provisioning_key::run(args, console).await,
        Some(Command::Broker(args)) => broker::run(args, console).await,
        _ => panic!("another command"),
    };
    let outcome = ran.map_err(|error| format!("{error:#}"))?;
    assert_eq!(outcome, Outcome::Done);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ok((text(out), text(notes)))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// While no door asks, everybody may; the first command closes them, so the others come with a token
/// of the database.
async fn app_with_admin() -> (TestApp, String) {
    let app = TestApp::start().await;
    let secret = airlift::domain::Secret::make(airlift::domain::SecretKind::Token);
    let db = app.db().await;
    let insert = "INSERT INTO tokens (token_id, name, role, hash, created_by, created_at)
                  VALUES ($1, 'boss', 'admin', $2, 'test', $3)";
    let now = app.clock.now();
    let id = app.clock.new_id();
    match &db {
        airlift::store::Db::Postgres(pool) => {
            let row = sqlx::query(insert).bind(id).bind(secret.hash()).bind(now);
            row.execute(pool).await.map(drop)
        }
        airlift::store::Db::Sqlite { writer, .. } => {
            let row = sqlx::query(insert).bind(id).bind(secret.hash()).bind(now);
            row.execute(writer).await.map(drop)
        }
    }
    .unwrap();
    let mut tx = db.begin().await.unwrap();
    tx.close_doors(now).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;
    app.service().look_for_credentials().await.unwrap();
    (app, secret.reveal().to_owned())
}

#[tokio::test]
async fn a_token_is_printed_alone_and_lists_show_none() {
    let (app, boss) = app_with_admin().await;
    let refused = command(&app, "alt_no", &["gateway", "add", "G1"]).await;
    assert!(refused.unwrap_err().contains("invalid_token"));
    let (out, _) = command(
        &app,
        &boss,
        &["gateway", "add", "G1", "--device-type", "esp32"],
    )
    .await
    .unwrap();
    assert!(out.starts_with("alg_") && out.len() == 48, "{}", out.len());
    let known = app.service().gateway("G1").await.unwrap();
    assert_eq!(known.gateway.device_type, "esp32");
    let twice = command(&app, &boss, &["gateway", "add", "G1"]).await;
    assert!(twice.unwrap_err().contains("gateway_has_token"));
    let (new, notes) = command(
        &app,
        &boss,
        &["gateway", "rotate", "G1", "--grace-seconds", "60"],
    )
    .await
    .unwrap();
    assert!(new.starts_with("alg_") && new != out);
    assert!(
        notes.contains("is good until this one is first used"),
        "{notes}"
    );
    for list in [&["gateway", "list"][..], &["gateway", "tokens", "G1"]] {
        let (out, _) = command(&app, &boss, list).await.unwrap();
        assert_eq!(out.lines().count(), 3, "{out}");
        assert!(out.contains("boss") && !out.contains("alg_"), "{out}");
    }
    let (out, _) = command(&app, &boss, &["gateway", "revoke", "G1"])
        .await
        .unwrap();
    assert!(out.contains("G1 may no longer in"), "{out}");
    let none = command(&app, &boss, &["gateway", "rotate", "G1"]).await;
    assert!(none.unwrap_err().contains("gateway_token_not_found"));
    app.stop().await;
}

#[tokio::test]
async fn a_list_of_tokens_is_a_file_that_nobody_else_reads_and_nothing_overwrites() {
    let (app, boss) = app_with_admin().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (ids, out) = (path("ids.csv"), path("tokens.csv"));
    fs::write(&ids, "gatewayId\nG2\nG 1\n").unwrap();
    let words = ["gateway", "add", "--csv", &ids, "--out", &out];
    let refused = command(&app, &boss, &words).await.unwrap_err();
    assert!(refused.contains("line 3"), "{refused}");
    assert!(!Path::new(&out).exists());

    fs::write(&ids, "gatewayId\nG2\nG1\n").unwrap();
    command(&app, &boss, &words).await.unwrap();
    assert_eq!(mode(Path::new(&out)), 0o600);
    let text = fs::read_to_string(&out).unwrap();
    let lines: Vec<_> = text
        .lines()
        .map(|line| &line[..line.len().min(7)])
        .collect();
    assert_eq!(lines, ["gateway", "G1,alg_", "G2,alg_"]);

    fs::write(&ids, "gatewayId\nG3\n").unwrap();
    let refused = command(&app, &boss, &words).await.unwrap_err();
    assert!(refused.contains("must not be there already"), "{refused}");
    assert_eq!(fs::read_to_string(&out).unwrap(), text);
    assert_eq!(app.service().gateway_tokens("G3").await.unwrap(), []);
    app.stop().await;
}

#[tokio::test]
async fn keys_are_made_listed_and_revoked_by_name() {
    let (app, boss) = app_with_admin().await;
    let words = [
        "provisioning-key",
        "create",
        "line-3",
        "--claims-max",
        "5",
        "--expires-in-days",
        "3",
    ];
    let (out, _) = command(&app, &boss, &words).await.unwrap();
    assert!(out.starts_with("alp_") && out.len() == 48);
    let (list, _) = command(&app, &boss, &["provisioning-key", "list"])
        .await
        .unwrap();
    assert!(list.contains("line-3") && list.contains("0 of 5"), "{list}");
    assert!(!list.contains("alp_"), "{list}");
    let revoke = ["provisioning-key", "revoke", "line-3"];
    command(&app, &boss, &revoke).await.unwrap();
    let again = command(&app, &boss, &revoke).await.unwrap_err();
    assert!(again.contains("no provisioning key"), "{again}");
    app.stop().await;
}

#[tokio::test]
async fn brokers_files_name_each_gateway_once_and_keep_the_servers_user() {
    let (app, boss) = app_with_admin().await;
    let service = app.service();
    for id in ["G1", "G2", "G2", "a:b", "airlift"] {
        let boss = admin();
        let made = service.issue_gateway_token(&boss, id, TokenIssue::Any, None);
        made.await.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("broker").display().to_string();
    let words = ["broker", "mosquitto", "--out", &out, "--keep", "alerts"];
    let (config, notes) = command(&app, &boss, &words).await.unwrap();
    assert!(config.contains("allow_anonymous false"), "{config}");
    assert!(notes.contains("gateway a:b is left out"), "{notes}");
    assert!(notes.contains("The servers have no password"), "{notes}");
    let passwords = folder.path().join("broker/passwords");
    assert_eq!(mode(&passwords), 0o600);
    let users = || -> Vec<String> {
        let text = fs::read_to_string(&passwords).unwrap();
        let user = |line: &str| line.split(':').next().unwrap().to_owned();
        text.lines().map(user).collect()
    };
    assert_eq!(users(), ["G1", "G2"]);

    let mut text = fs::read_to_string(&passwords).unwrap();
    text.push_str("airlift:$7$x\nalerts:$7$y\nthief:$7$z\n");
    fs::write(&passwords, text).unwrap();
    service.revoke_gateway_tokens(&admin(), "G1").await.unwrap();
    let (_, notes) = command(&app, &boss, &words).await.unwrap();
    assert!(!notes.contains("no password there"), "{notes}");
    assert_eq!(users(), ["airlift", "alerts", "G2"]);

    let words = ["broker", "emqx", "--out", &out];
    command(&app, &boss, &words).await.unwrap();
    let users = fs::read_to_string(folder.path().join("broker/users.csv")).unwrap();
    let mut lines = users.lines();
    assert_eq!(
        lines.next(),
        Some("user_id,password_hash,salt,is_superuser")
    );
    assert_eq!(lines.count(), 3);
    let acl = fs::read_to_string(folder.path().join("broker/acl.conf")).unwrap();
    assert!(acl.trim_end().ends_with("{deny, all}."), "{acl}");
    app.stop().await;
}
