//! `airlift provisioning-key …`: keys with which gateways claim tokens, a client of the server's HTTP
//! API.

use anyhow::{Context, Result, bail};
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answer,
    client::{Client, ServerArgs},
    console::{Console, Outcome, ended},
    list::List,
    table::Table,
    text,
};
use crate::domain::Clock;

/// Keys that are looked through for a name.
const KEYS_MAX: usize = 500;

#[derive(Args, Clone, Debug)]
pub struct ProvisioningKeyArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Print the server's data as JSON; of a list, a line per entry
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: ProvisioningKeyCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum ProvisioningKeyCommand {
    /// Make a key; it is printed alone on the last line, and shown this once
    #[command(after_help = "Examples:\n  \
        airlift provisioning-key create line-3 --claims-max 500 --expires-in-days 30\n  \
        airlift provisioning-key create sensors --device-type esp32c3")]
    Create(CreateArgs),
    /// List keys, the newest first, without their secrets
    List(ListArgs),
    /// From now on nobody claims with it; gateways that have keep their tokens
    #[command(after_help = "Example:\n  \
        airlift provisioning-key revoke line-3")]
    Revoke(RevokeArgs),
}

#[derive(Args, Clone, Debug)]
struct CreateArgs {
    /// What it is called
    #[arg(value_name = "NAME")]
    name: String,
    /// So many gateways may claim [default: any number]
    #[arg(long, value_name = "COUNT")]
    claims_max: Option<i64>,
    /// For so long gateways may claim [default: until it is revoked]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    expires_in_days: Option<u32>,
    /// Only gateways of this type; those not known yet become of it
    #[arg(long, value_name = "TYPE")]
    device_type: Option<String>,
}

#[derive(Args, Clone, Debug)]
struct ListArgs {
    /// Keys to list
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    limit: usize,
}

#[derive(Args, Clone, Debug)]
struct RevokeArgs {
    /// Its name, or its keyId
    #[arg(value_name = "NAME|ID")]
    key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    key_id: String,
    name: String,
    device_type: Option<String>,
    claims_max: Option<i64>,
    claims: i64,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    /// Of a new one alone.
    key: Option<String>,
}

/// Carries out a command; an error is a sentence for the person who gave it.
pub async fn run(args: ProvisioningKeyArgs, mut console: Console<'_>) -> Result<Outcome> {
    let client = Client::new(&args.server)?;
    let ran = match args.command {
        ProvisioningKeyCommand::Create(create) => {
            make(create, &client, args.json, &mut console).await
        }
        ProvisioningKeyCommand::List(list_args) => {
            list(list_args, &client, args.json, &mut console).await
        }
        ProvisioningKeyCommand::Revoke(which) => {
            revoke(which, &client, args.json, &mut console).await
        }
    };
    ended(ran)
}

async fn make(
    args: CreateArgs,
    client: &Client,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Outcome> {
    let lifetime = args
        .expires_in_days
        .map(|days| TimeDelta::days(days.into()));
    let body = json!({
        "name": args.name,
        "deviceType": args.device_type,
        "claimsMax": args.claims_max,
        "expiresAt": lifetime.map(|lifetime| Clock::System.now() + lifetime),
    });
    let data = client
        .post(&["provisioning-keys"], &[], Some(&body))
        .await?;
    if json {
        writeln!(console.out, "{data:#}")?;
        return Ok(Outcome::Done);
    }
    let key: Key = answer::read(&data)?;
    let secret = key.key.context("the server's answer has no key")?;
    writeln!(
        console.notes,
        "Gateways that never had a token claim one with it: airlift-gateway --provisioning-key, or \
         the agent's provisioningKeyFile. Shown this once:"
    )?;
    writeln!(console.out, "{secret}")?;
    Ok(Outcome::Done)
}

async fn list(
    args: ListArgs,
    client: &Client,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Outcome> {
    let row = |item: &Value| -> Result<Vec<String>> {
        let key: Key = answer::read(item)?;
        let claims = match key.claims_max {
            Some(max) => format!("{} of {max}", key.claims),
            None => key.claims.to_string(),
        };
        let ends = match (key.revoked_at, key.expires_at) {
            (Some(at), _) => format!("revoked {}", text::time(at)),
            (None, Some(at)) => text::time(at),
            (None, None) => "-".to_owned(),
        };
        Ok(vec![
            key.name,
            claims,
            key.device_type.unwrap_or_else(|| "-".to_owned()),
            ends,
            key.key_id,
        ])
    };
    let list = List {
        path: &["provisioning-keys"],
        query: &[],
        limit: args.limit,
    };
    let table = Table::new(&["NAME", " CLAIMS", "DEVICE TYPE", "ENDS", "ID"]);
    list.write(client, json, table, row, console).await
}

async fn revoke(
    args: RevokeArgs,
    client: &Client,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Outcome> {
    let query = [("limit", KEYS_MAX.to_string())];
    let data = client.get(&["provisioning-keys"], &query).await?;
    let keys: answer::Page<Key> = answer::read(&data)?;
    let good = keys
        .items
        .into_iter()
        .filter(|key| key.revoked_at.is_none());
    let mut named = good.filter(|key| key.name == args.key || key.key_id == args.key);
    let Some(key) = named.next() else {
        bail!(
            "there is no provisioning key {:?} that is not revoked: airlift provisioning-key list \
             shows those there are",
            args.key
        );
    };
    let data = client
        .delete(&["provisioning-keys", &key.key_id], &[])
        .await?;
    match json {
        true => writeln!(console.out, "{data:#}")?,
        false => writeln!(
            console.out,
            "nobody claims with {} any more; the {} gateways that have keep their tokens",
            key.name, key.claims
        )?,
    }
    Ok(Outcome::Done)
}
