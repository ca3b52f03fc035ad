//! `airlift token …`: tokens of people and machines, straight in the database.

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use serde_json::json;
use uuid::Uuid;

use super::{
    console::{Console, Outcome, ended},
    database::{DatabaseArgs, caller, felt_everywhere},
    table::Table,
    text::{printable, time},
};
use crate::{
    domain::{Role, Token, TokenState},
    service::{NewToken, Service, TokenFilter, TokenRef},
};

const PAGE: i64 = 500;

#[derive(Args, Clone, Debug)]
pub struct TokenArgs {
    #[command(flatten)]
    pub database: DatabaseArgs,
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum TokenCommand {
    /// Make a token and print it, alone on the last line
    ///
    /// It is shown this once: the database keeps its SHA-256 alone. From the first token on, every
    /// door of the server asks for one.
    #[command(after_help = "Examples:\n  \
        airlift token create --role admin --name ann\n  \
        airlift token create --role publisher --name ci --expires-in 90d\n  \
        TOKEN=$(airlift token create --role viewer --name grafana | tail -1)\n  \
        curl -H \"Authorization: Bearer $TOKEN\" http://localhost:8018/api/ota/firmware")]
    Create(CreateArgs),
    /// List tokens, newest first
    List {
        /// Also those that were revoked
        #[arg(long)]
        all: bool,
        /// Print JSON, a line for each token
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token, for ever
    ///
    /// Every server refuses it when the command returns.
    #[command(after_help = "Example:\n  airlift token revoke --name ci")]
    Revoke {
        /// Name of the token
        #[arg(long, value_name = "NAME")]
        name: String,
    },
}

#[derive(Args, Clone, Debug)]
struct CreateArgs {
    /// What it may do: viewer reads, publisher uploads and releases, operator upgrades and rolls out,
    /// admin does everything
    #[arg(long, value_name = "ROLE", value_parser = role)]
    role: Role,
    /// What it is called in lists and in the audit log; no other token may have this name
    #[arg(long, value_name = "NAME")]
    name: String,
    /// After how long it ends, in days (90d), hours (12h) or minutes (30m) [default: never]
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    expires_in: Option<TimeDelta>,
}

pub(super) fn role(word: &str) -> Result<Role, String> {
    Role::parse(word).ok_or_else(|| {
        let all = Role::ALL.map(Role::as_str).join(", ");
        format!("choose from {all}")
    })
}

fn lifetime(text: &str) -> Result<TimeDelta, String> {
    let wrong = || "write a number and d, h or m, as in 90d".to_owned();
    let at = text.len().checked_sub(1).ok_or_else(wrong)?;
    let (number, unit) = text.split_at_checked(at).ok_or_else(wrong)?;
    let number: i64 = number.parse().map_err(|_| wrong())?;
    let time = match unit {
        "d" => TimeDelta::try_days(number),
        "h" => TimeDelta::try_hours(number),
        "m" => TimeDelta::try_minutes(number),
        _ => None,
    };
    time.filter(|time| *time > TimeDelta::zero() && *time <= TimeDelta::days(36_525))
        .ok_or_else(wrong)
}

/// Carries a command out.
pub async fn run(args: TokenArgs, service: &Service, mut console: Console<'_>) -> Result<Outcome> {
    let console = &mut console;
    ended(match args.command {
        TokenCommand::Create(args) => create(args, service, console).await,
        TokenCommand::List { all, json } => list(all, json, service, console).await,
        TokenCommand::Revoke { name } => revoke(name, service, console).await,
    })
}

async fn create(args: CreateArgs, service: &Service, console: &mut Console<'_>) -> Result<Outcome> {
    let expires_at = args.expires_in.map(|time| service.now() + time);
    let new = NewToken {
        name: args.name,
        role: args.role,
        expires_at,
    };
    let (token, secret) = service.create_token(&caller(), new).await?;
    writeln!(
        console.notes,
        "token {} with the role {}, {}; it is shown this once:",
        printable(&token.name),
        token.role.as_str(),
        end(&token),
    )?;
    writeln!(console.out, "{}", secret.reveal())?;
    console.out.flush()?;
    felt_everywhere().await;
    Ok(Outcome::Done)
}

fn end(token: &Token) -> String {
    match token.expires_at {
        Some(at) => format!("good until {}", time(at)),
        None => "good until it is revoked".to_owned(),
    }
}

async fn list(
    all: bool,
    json: bool,
    service: &Service,
    console: &mut Console<'_>,
) -> Result<Outcome> {
    let mut table = Table::new(&[
        "NAME",
        "ROLE",
        "STATE",
        "EXPIRES",
        "LAST USED",
        "MADE",
        "MADE BY",
    ]);
    let now = service.now();
    let mut before = Uuid::max();
    loop {
        let filter = TokenFilter {
            revoked: all,
            before,
            limit: PAGE,
        };
        let page = service.tokens(filter).await?;
        for token in &page.items {
            match json {
                true => writeln!(console.out, "{}", as_json(token, now))?,
                false => table.row(row(token, now)),
            }
            before = token.token_id;
        }
        if !page.more {
            break;
        }
    }
    if !json {
        table.write(console.out)?;
    }
    Ok(Outcome::Done)
}

fn state(token: &Token, now: DateTime<Utc>) -> &'static str {
    match token.state(now) {
        TokenState::Good => "good",
        TokenState::Expired => "expired",
        TokenState::Revoked => "revoked",
    }
}

fn row(token: &Token, now: DateTime<Utc>) -> [String; 7] {
    let or_never = |at: Option<DateTime<Utc>>| at.map_or_else(|| "never".to_owned(), time);
    [
        printable(&token.name),
        token.role.as_str().to_owned(),
        state(token, now).to_owned(),
        or_never(token.expires_at),
        or_never(token.last_used_at),
        time(token.created_at),
        printable(&token.created_by),
    ]
}

fn as_json(token: &Token, now: DateTime<Utc>) -> serde_json::Value {
    json!({
        "tokenId": token.token_id,
        "name": token.name,
        "role": token.role.as_str(),
        "state": state(token, now),
        "createdBy": token.created_by,
        "createdAt": token.created_at,
        "expiresAt": token.expires_at,
        "revokedAt": token.revoked_at,
        "lastUsedAt": token.last_used_at,
    })
}

async fn revoke(name: String, service: &Service, console: &mut Console<'_>) -> Result<Outcome> {
    let revoked = service
        .revoke_token(&caller(), TokenRef::Name(name.clone()))
        .await?;
    writeln!(console.out, "token {} is revoked", printable(&name))?;
    warn_without_admin(revoked.admin_left, console)?;
    felt_everywhere().await;
    Ok(Outcome::Done)
}

/// Says so if nobody is left who may do everything.
pub(super) fn warn_without_admin(admin_left: bool, console: &mut Console<'_>) -> Result<()> {
    if !admin_left {
        writeln!(
            console.notes,
            "No administrator is left, person or machine: airlift token create --role admin makes \
             one."
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_days_hours_or_minutes() {
        assert_eq!(lifetime("90d"), Ok(TimeDelta::days(90)));
        assert_eq!(lifetime("12h"), Ok(TimeDelta::hours(12)));
        assert_eq!(lifetime("30m"), Ok(TimeDelta::minutes(30)));
        for wrong in [
            "",
            "d",
            "90",
            "0d",
            "-1d",
            "1.5d",
            "90 d",
            "90w",
            "9ü",
            "99999999d",
        ] {
            assert!(lifetime(wrong).is_err(), "{wrong}");
        }
    }
}
