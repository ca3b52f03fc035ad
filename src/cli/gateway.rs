//! `airlift gateway …`: gateways' tokens, a client of the server's HTTP API.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answer,
    client::{Client, ServerArgs},
    console::{Console, Outcome, ended},
    list::List,
    private_file::PrivateFile,
    table::Table,
    text,
};

/// Longest wait for many tokens, and what each adds to it.
const LONGEST: Duration = Duration::from_secs(120);
const LONGEST_PER_TOKEN: Duration = Duration::from_millis(5);
/// The bar moves so often.
const TICK: Duration = Duration::from_millis(100);

#[derive(Args, Clone, Debug)]
pub struct GatewayArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Print the server's data as JSON; of a list, a line per entry
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: GatewayCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum GatewayCommand {
    /// Give a gateway its first token, or a list of gateways theirs
    ///
    /// The token is printed alone on the last line, and shown this once. The gateway need not be
    /// known yet. With --csv all of the list get tokens or none does; --out gets them as
    /// `gateway_id,token`.
    #[command(after_help = "Examples:\n  \
        airlift gateway add HQ2026TEST001\n  \
        airlift gateway add C3-0001 --device-type esp32c3\n  \
        airlift gateway add --csv ids.csv --out tokens.csv\n\n\
        ids.csv begins with a line of names, the first being gatewayId:\n  \
        gatewayId\n  HQ2026TEST001\n  HQ2026TEST002")]
    Add(AddArgs),
    /// Give a gateway a new token; the old one stays good until the new one is first used
    ///
    /// The new token is printed alone on the last line, and shown this once.
    #[command(after_help = "Examples:\n  \
        airlift gateway rotate HQ2026TEST001\n  \
        airlift gateway rotate HQ2026TEST001 --grace-seconds 0")]
    Rotate(RotateArgs),
    /// End all tokens of a gateway at once, and its connection
    #[command(after_help = "Example:\n  \
        airlift gateway revoke HQ2026TEST001")]
    Revoke(IdArgs),
    /// List the tokens of all gateways, the newest first, without their secrets
    #[command(after_help = "Example:\n  \
        airlift gateway list --limit 1000 --json | jq -r 'select(.lastUsedAt == null).gatewayId'")]
    List(ListArgs),
    /// List the tokens of one gateway, without their secrets
    Tokens(IdArgs),
}

#[derive(Args, Clone, Debug)]
struct AddArgs {
    /// The gateway
    #[arg(value_name = "ID", required_unless_present = "csv")]
    id: Option<String>,
    /// Register it as of this device type, too
    #[arg(long, value_name = "TYPE", requires = "id")]
    device_type: Option<String>,
    /// List of gateways, instead of one
    #[arg(long, value_name = "FILE", conflicts_with = "id", requires = "out")]
    csv: Option<PathBuf>,
    /// Where the list's tokens go; must not be there yet
    #[arg(long, value_name = "FILE", requires = "csv")]
    out: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
struct RotateArgs {
    #[command(flatten)]
    gateway: IdArgs,
    /// How long the old token stays good if the new one is not used [default: a week]
    #[arg(long, value_name = "SECONDS")]
    grace_seconds: Option<u32>,
}

#[derive(Args, Clone, Debug)]
struct IdArgs {
    /// The gateway
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(Args, Clone, Debug)]
struct ListArgs {
    /// Tokens to list
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    limit: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewToken {
    token: String,
    predecessor_ends_at: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    gateway_id: String,
    created_by: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
}

impl Token {
    const HEADINGS: [&'static str; 5] = ["GATEWAY", "ENDS", "LAST USED", "MADE", "BY"];

    fn row(self) -> Vec<String> {
        let ends = match (self.revoked_at, self.expires_at) {
            (Some(at), _) => format!("revoked {}", text::time(at)),
            (None, Some(at)) => text::time(at),
            (None, None) => "-".to_owned(),
        };
        vec![
            self.gateway_id,
            ends,
            self.last_used_at.map_or_else(|| "-".to_owned(), text::time),
            text::time(self.created_at),
            self.created_by,
        ]
    }
}

/// Carries out a command; an error is a sentence for the person who gave it.
pub async fn run(args: GatewayArgs, mut console: Console<'_>) -> Result<Outcome> {
    let client = Client::new(&args.server)?;
    let ran = Run {
        client,
        json: args.json,
        console: &mut console,
    };
    ended(ran.command(args.command).await)
}

/// A command being carried out.
struct Run<'r, 'c> {
    client: Client,
    json: bool,
    console: &'r mut Console<'c>,
}

impl Run<'_, '_> {
    async fn command(mut self, command: GatewayCommand) -> Result<Outcome> {
        match command {
            GatewayCommand::Add(AddArgs {
                csv: Some(csv),
                out: Some(out),
                ..
            }) => self.add_list(csv, out).await,
            GatewayCommand::Add(args) => {
                let id = args.id.context("name a gateway")?;
                if let Some(device_type) = args.device_type {
                    self.register(&id, &device_type).await?;
                }
                self.issue(&id, json!({ "issue": "first" })).await
            }
            GatewayCommand::Rotate(args) => {
                let mut body = json!({ "issue": "rotation" });
                if let Some(seconds) = args.grace_seconds {
                    body["graceSeconds"] = seconds.into();
                }
                self.issue(&args.gateway.id, body).await
            }
            GatewayCommand::Revoke(args) => self.revoke(&args.id).await,
            GatewayCommand::List(args) => self.list(args).await,
            GatewayCommand::Tokens(args) => self.tokens(&args.id).await,
        }
    }

    async fn register(&self, id: &str, device_type: &str) -> Result<()> {
        let plain = |text: &str| !text.contains([',', '"', '\r', '\n']);
        ensure!(
            plain(id) && plain(device_type),
            "neither a gateway id nor a device type has commas, quotes or line ends"
        );
        let list = format!("gatewayId,deviceType\n{id},{device_type}\n");
        let path = ["gateways", "tags"];
        self.client
            .post_csv(&path, list.into_bytes(), LONGEST)
            .await?;
        Ok(())
    }

    async fn issue(&mut self, id: &str, body: Value) -> Result<Outcome> {
        let path = ["gateways", id, "token"];
        let data = self.client.post(&path, &[], Some(&body)).await?;
        if self.json {
            writeln!(self.console.out, "{data:#}")?;
            return Ok(Outcome::Done);
        }
        let new: NewToken = answer::read(&data)?;
        if let Some(at) = new.predecessor_ends_at {
            writeln!(
                self.console.notes,
                "The token before it is good until this one is first used, at latest until {}.",
                text::time(at)
            )?;
        }
        writeln!(
            self.console.notes,
            "MQTT: user name {}, the token as password. HTTP: Authorization: Bearer. Shown this once:",
            text::printable(id)
        )?;
        writeln!(self.console.out, "{}", new.token)?;
        Ok(Outcome::Done)
    }

    async fn add_list(&mut self, csv: PathBuf, out: PathBuf) -> Result<Outcome> {
        let list = fs::read(&csv).with_context(|| format!("can't read {}", csv.display()))?;
        // Before there are tokens: what can't be written is lost.
        let file = PrivateFile::create(&out)?;
        let count = list.iter().filter(|byte| **byte == b'\n').count();
        let longest = LONGEST + LONGEST_PER_TOKEN * u32::try_from(count)?;
        let bar = match self.console.is_terminal {
            true => ProgressBar::new_spinner(),
            false => ProgressBar::hidden(),
        };
        bar.set_message(format!("making {count} tokens"));
        bar.enable_steady_tick(TICK);
        let path = ["gateways", "tokens"];
        let answer = self.client.post_csv(&path, list, longest).await;
        bar.finish_and_clear();
        let tokens = answer?;
        let made = tokens.iter().filter(|byte| **byte == b'\n').count();
        file.keep(&tokens)?;
        writeln!(
            self.console.notes,
            "{} tokens are in {}, which nobody else may read; the server does not show them again",
            made.saturating_sub(1),
            out.display()
        )?;
        Ok(Outcome::Done)
    }

    async fn revoke(&mut self, id: &str) -> Result<Outcome> {
        let data = self.client.delete(&["gateways", id, "token"], &[]).await?;
        if self.json {
            writeln!(self.console.out, "{data:#}")?;
            return Ok(Outcome::Done);
        }
        writeln!(
            self.console.out,
            "{} may no longer in; with an outside broker, write its files again: airlift broker \
             mosquitto{}",
            text::printable(id),
            self.client.flag()
        )?;
        Ok(Outcome::Done)
    }

    async fn list(&mut self, args: ListArgs) -> Result<Outcome> {
        let row = |item: &Value| Ok(answer::read::<Token>(item)?.row());
        let list = List {
            path: &["gateways", "tokens"],
            query: &[],
            limit: args.limit,
        };
        let table = Table::new(&Token::HEADINGS);
        list.write(&self.client, self.json, table, row, self.console)
            .await
    }

    async fn tokens(&mut self, id: &str) -> Result<Outcome> {
        let data = self.client.get(&["gateways", id, "tokens"], &[]).await?;
        let items: Vec<Value> = serde_json::from_value(data)?;
        let mut table = Table::new(&Token::HEADINGS);
        for item in &items {
            match self.json {
                true => writeln!(self.console.out, "{item}")?,
                false => table.row(answer::read::<Token>(item)?.row()),
            }
        }
        if !self.json {
            table.write(self.console.out)?;
        }
        Ok(Outcome::Done)
    }
}
