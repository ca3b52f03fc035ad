//! `airlift rollout …`: a client of the server's HTTP API.
//!
//! To add a command: a variant in [`RolloutCommand`] and what it does in [`run`].

mod request;
mod screen;
mod show;
mod watch;

use anyhow::Result;
use clap::{Args, Subcommand, builder::PossibleValuesParser};
use serde_json::Value;

use self::{request::RequestArgs, show::Rollout};
pub use super::console::{Console, Outcome};
use super::{
    answer,
    client::{Client, ServerArgs},
    console::ended,
    list::List,
    table::Table,
    text,
};
use crate::domain::{MemberState, RolloutState};

#[derive(Args, Clone, Debug)]
pub struct RolloutArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Print the server's data as JSON; of a list, a line per entry; of a watch, a line per change
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: RolloutCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum RolloutCommand {
    /// Bring a version to many gateways, wave by wave
    ///
    /// Without a target, to every gateway of the device type. A wave begins when the one before has
    /// ended and soaked. A gateway is confirmed when a heartbeat proves that it runs the version.
    /// More failures than allowed halt the rollout.
    #[command(after_help = "Examples:\n  \
        airlift rollout create 1.0.2 --waves 10,50,100 --watch\n  \
        airlift rollout create 1.0.2 --tag site=lab --current-version '<1.0.2'\n  \
        airlift rollout create 1.0.2 --filter 'tag:site=lab online:true' --max-in-flight 20\n  \
        airlift rollout create 1.0.2 --gateways-file ids.txt --halt-at-failure-percent 0\n  \
        airlift rollout create 1.0.2 --waves 5,100 --soak 86400 \\\n      \
        --window 01:00-05:00 --timezone Asia/Shanghai --start-at 2026-03-01T00:00:00Z")]
    Create(Box<CreateArgs>),
    /// Say what `create` with the same flags would do, and do nothing
    ///
    /// How many gateways each wave would have, which of the target would be left out and why, and
    /// the first gateways with the versions that they would go through.
    #[command(after_help = "Examples:\n  \
        airlift rollout dry-run 1.0.2 --waves 10,50,100\n  \
        airlift rollout dry-run 1.0.2 --tag site=lab --limit 100")]
    DryRun(Box<DryRunArgs>),
    /// List rollouts, the newest first
    #[command(after_help = "Examples:\n  \
        airlift rollout list --state running\n  \
        airlift rollout list --json | jq -r 'select(.counters.failed > 0).rolloutId'")]
    List(ListArgs),
    /// Show what a rollout is and how it stands
    Status(StatusArgs),
    /// List the gateways of a rollout, each with its wave and state
    #[command(after_help = "Examples:\n  \
        airlift rollout gateways ID --state failed\n  \
        airlift rollout gateways ID --wave 1 --json | jq -r .gatewayId")]
    Gateways(GatewaysArgs),
    /// Send nothing more until it is resumed; updates under way go on
    Pause(IdArgs),
    /// Let a paused rollout go on, or a halted one, whose failures are then accepted
    Resume(IdArgs),
    /// End a rollout for good; updates under way go on
    Cancel(IdArgs),
    /// Try the gateways that failed or were skipped again
    Retry(IdArgs),
    /// Follow a rollout until it completes, halts or is cancelled
    ///
    /// A bar on a terminal, else a line per change. A server that is away is asked again until it
    /// is back. Ctrl-C ends the watching; the rollout goes on.
    Watch(IdArgs),
}

#[derive(Args, Clone, Debug)]
struct CreateArgs {
    #[command(flatten)]
    request: RequestArgs,
    /// Follow it until it ends, as `airlift rollout watch` does
    #[arg(long)]
    watch: bool,
}

#[derive(Args, Clone, Debug)]
struct DryRunArgs {
    #[command(flatten)]
    request: RequestArgs,
    /// Gateways to show
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 20,
        value_parser = clap::value_parser!(u16).range(1..=500)
    )]
    limit: u16,
}

#[derive(Args, Clone, Debug)]
struct ListArgs {
    /// Only those in this state
    #[arg(
        long,
        value_name = "STATE",
        value_parser = PossibleValuesParser::new(RolloutState::ALL.map(RolloutState::as_str))
    )]
    state: Option<String>,
    /// Only those of this device type
    #[arg(long, value_name = "TYPE")]
    device_type: Option<String>,
    /// Rollouts to list
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    limit: usize,
}

#[derive(Args, Clone, Debug)]
struct StatusArgs {
    #[command(flatten)]
    rollout: IdArgs,
    /// Follow it until it ends, as `airlift rollout watch` does
    #[arg(long)]
    watch: bool,
}

#[derive(Args, Clone, Debug)]
struct GatewaysArgs {
    #[command(flatten)]
    rollout: IdArgs,
    /// Only those in this state
    #[arg(
        long,
        value_name = "STATE",
        value_parser = PossibleValuesParser::new(MemberState::ALL.map(MemberState::as_str))
    )]
    state: Option<String>,
    /// Only those of this wave, from 1
    #[arg(long, value_name = "NUMBER")]
    wave: Option<usize>,
    /// Gateways to list [default: all]
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
}

#[derive(Args, Clone, Debug)]
struct IdArgs {
    /// The rollout's id, as `airlift rollout list` shows it
    #[arg(value_name = "ID")]
    id: String,
}

/// Carries out a command; an error is a sentence for the person who gave it.
pub async fn run(args: RolloutArgs, mut console: Console<'_>) -> Result<Outcome> {
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
    async fn command(mut self, command: RolloutCommand) -> Result<Outcome> {
        match command {
            RolloutCommand::Create(args) => self.create(*args).await,
            RolloutCommand::DryRun(args) => self.dry_run(*args).await,
            RolloutCommand::List(args) => self.list(args).await,
            RolloutCommand::Status(args) => self.status(args).await,
            RolloutCommand::Gateways(args) => self.gateways(args).await,
            RolloutCommand::Pause(args) => self.act(&args.id, "pause").await,
            RolloutCommand::Resume(args) => self.act(&args.id, "resume").await,
            RolloutCommand::Cancel(args) => self.act(&args.id, "cancel").await,
            RolloutCommand::Retry(args) => self.act(&args.id, "retry").await,
            RolloutCommand::Watch(args) => self.watch(&args.id).await,
        }
    }

    async fn create(&mut self, args: CreateArgs) -> Result<Outcome> {
        let body = args.request.body(self.console.input)?;
        let made = self.client.post(&["rollouts"], &[], Some(&body)).await?;
        let rollout: Rollout = answer::read(&made)?;
        let id = &rollout.rollout_id;
        if args.watch {
            if !self.json {
                writeln!(self.console.out, "rollout {id}")?;
            }
            return self.watch(id).await;
        }
        if self.json {
            return self.json(&made);
        }
        rollout.write(self.console.out)?;
        let server = self.client.flag();
        writeln!(
            self.console.out,
            "\nTo follow it: airlift rollout watch {id}{server}"
        )?;
        Ok(Outcome::Done)
    }

    async fn dry_run(&mut self, args: DryRunArgs) -> Result<Outcome> {
        let body = args.request.body(self.console.input)?;
        let limit = [("limit", args.limit.to_string())];
        let path = ["rollouts", "dry-run"];
        let data = self.client.post(&path, &limit, Some(&body)).await?;
        if self.json {
            return self.json(&data);
        }
        let version = body["version"].as_str().unwrap_or_default();
        show::write_dry_run(version, &data, self.console.out)?;
        Ok(Outcome::Done)
    }

    async fn status(&mut self, args: StatusArgs) -> Result<Outcome> {
        let id = &args.rollout.id;
        if args.watch {
            return self.watch(id).await;
        }
        let data = self.client.get(&["rollouts", id], &[]).await?;
        if self.json {
            return self.json(&data);
        }
        answer::read::<Rollout>(&data)?.write(self.console.out)?;
        Ok(Outcome::Done)
    }

    async fn act(&mut self, id: &str, action: &str) -> Result<Outcome> {
        let path = ["rollouts", id, action];
        let data = self.client.post(&path, &[], None).await?;
        if self.json {
            return self.json(&data);
        }
        let rollout: Rollout = answer::read(&data)?;
        writeln!(
            self.console.out,
            "rollout {}: {}",
            rollout.rollout_id,
            rollout.sentence()
        )?;
        Ok(Outcome::Done)
    }

    async fn list(&mut self, args: ListArgs) -> Result<Outcome> {
        let query = [("state", args.state), ("deviceType", args.device_type)];
        let table = Table::new(&[
            "ROLLOUT",
            "STATE",
            "VERSION",
            "TYPE",
            " WAVE",
            " CONFIRMED",
            " FAILED",
            " TOTAL",
            "CREATED",
            "NAME",
        ]);
        let row = |item: &Value| -> Result<Vec<String>> {
            let rollout: Rollout = answer::read(item)?;
            let waves = rollout.wave_counters.len();
            Ok(vec![
                rollout.rollout_id,
                rollout.state,
                rollout.version,
                rollout.device_type,
                format!("{}/{waves}", rollout.wave),
                rollout.counters.confirmed.to_string(),
                rollout.counters.failed.to_string(),
                rollout.counters.total.to_string(),
                text::time(rollout.created_at),
                rollout.name,
            ])
        };
        let list = List {
            path: &["rollouts"],
            query: &query,
            limit: args.limit,
        };
        list.write(&self.client, self.json, table, row, self.console)
            .await
    }

    async fn gateways(&mut self, args: GatewaysArgs) -> Result<Outcome> {
        let wave = args.wave.map(|wave| wave.to_string());
        let query = [("state", args.state), ("wave", wave)];
        let table = Table::new(&["STATE", " WAVE", "GATEWAY", "REASON"]);
        let row = |item: &Value| -> Result<Vec<String>> {
            let gateway: show::Gateway = answer::read(item)?;
            let wave = gateway.wave.map(|wave| wave.to_string());
            Ok(vec![
                gateway.state,
                wave.unwrap_or_else(|| "-".to_owned()),
                gateway.gateway_id,
                gateway.reason.unwrap_or_default(),
            ])
        };
        let path = ["rollouts", &args.rollout.id, "gateways"];
        let list = List {
            path: &path,
            query: &query,
            limit: args.limit.unwrap_or(usize::MAX),
        };
        list.write(&self.client, self.json, table, row, self.console)
            .await
    }

    async fn watch(&mut self, id: &str) -> Result<Outcome> {
        watch::watch(&self.client, id, self.json, self.console).await
    }

    fn json(&mut self, data: &Value) -> Result<Outcome> {
        writeln!(self.console.out, "{data:#}")?;
        Ok(Outcome::Done)
    }
}
