//! `airlift-agent`: keeps the packages of a Linux device current.

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use airlift_agent::{
    config::Config, cycle::Summary, daemon::Daemon, disk::Disk, folders::Folders, status,
};
use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

const CONFIG_DEFAULT: &str = "/etc/airlift-agent/device.json";

/// Keeps the packages of this device current: asks their servers for new versions, fetches and checks
/// them, swaps them in, and swaps the old ones back if a script or the health command fails, or the
/// power does.
#[derive(Debug, Parser)]
#[command(
    name = "airlift-agent",
    version,
    after_help = "\
Examples:
  airlift-agent --config device.json --once
      One poll: whatever has a new version is updated, then it ends. Exit code 0: everything is
      current or became so; 1: something failed, was refused or could not be asked; 2: the command
      line is wrong.

  airlift-agent
      Poll after poll, as airlift-agent.service runs it. SIGTERM ends it: a download goes on at the
      next start, an update that has begun is finished first.

  airlift-agent status
      What is installed, what the branches had at the last poll, what failed and why.

  airlift-agent retry app
      A version that failed is not tried again until it changes. This has app's tried again.

The device JSON, with one package:
  {
    \"device\": \"GW-1\",
    \"package\": [
      {
        \"package\": \"app\",
        \"branch\": \"main\",
        \"local\": \"/opt/app\",
        \"remote\": \"http://192.0.2.1:8018\"
      }
    ]
  }
Also: server, deviceType, updates, downgrade, pollSeconds, stateDir, trustedKeys, requireSignature,
scriptTimeoutSeconds, healthTimeoutSeconds, caFile, tokenFile, provisioningKeyFile. docs/agent.md says what each means.

Environment:
  RUST_LOG         how much it says: error, warn, info (the default), debug
  STATE_DIRECTORY  where it keeps what it knows, unless stateDir says it
  NOTIFY_SOCKET, WATCHDOG_USEC
                   systemd sets them: it is told that the agent is ready, what it does, that it lives"
)]
struct Arguments {
    /// The device JSON
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "AIRLIFT_AGENT_CONFIG",
        default_value = CONFIG_DEFAULT
    )]
    config: PathBuf,
    /// Poll once, print what was done, and end
    #[arg(long)]
    once: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what is installed, what is new, and what failed
    ///
    /// Reads what the agent wrote; it may run meanwhile, and need not.
    Status(StatusArguments),
    /// Have versions that failed tried again
    ///
    /// An agent that runs does so at once, another one when it starts.
    Retry(RetryArguments),
}

#[derive(Args, Debug)]
struct StatusArguments {
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct RetryArguments {
    /// The package; all of them without it
    package: Option<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("airlift-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    log();
    let config = Config::read(&arguments.config)?;
    for warning in &config.warnings {
        tracing::warn!(file = %config.file.display(), "{warning}");
    }
    match &arguments.command {
        Some(Command::Status(status)) => show(&config, status.json),
        Some(Command::Retry(retry)) => try_again(&config, retry.package.as_deref()),
        None => work(config, arguments.once),
    }
}

fn work(config: Config, once: bool) -> Result<ExitCode> {
    let daemon = Daemon::new(config, Disk::default())?;
    daemon.end_on_signals()?;
    if !once {
        daemon.run()?;
        return Ok(ExitCode::SUCCESS);
    }
    let summary = daemon.once()?;
    print(&summary).context("stdout")?;
    Ok(match summary.is_good() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn print(summary: &Summary) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (what, lines) in [
        ("updated", &summary.updated),
        ("failed", &summary.failed),
        ("refused", &summary.refused),
        ("could not ask", &summary.unreachable),
        ("later", &summary.waiting),
    ] {
        for line in lines {
            writeln!(out, "{what}: {line}")?;
        }
    }
    if *summary == Summary::default() {
        writeln!(out, "everything is current")?;
    }
    Ok(())
}

fn show(config: &Config, as_json: bool) -> Result<ExitCode> {
    let status = status::read(config, &Folders::new(&config.state_dir))?;
    let text = match as_json {
        true => serde_json::to_string_pretty(&status)? + "\n",
        false => status::table(&status),
    };
    io::stdout().write_all(text.as_bytes()).context("stdout")?;
    Ok(ExitCode::SUCCESS)
}

fn try_again(config: &Config, package: Option<&str>) -> Result<ExitCode> {
    let folders = Folders::new(&config.state_dir);
    let status = status::read(config, &folders)?;
    let is_meant = |name: &str| package.is_none_or(|package| package == name);
    let mut failed = status.packages.iter().filter(|it| it.failed.is_some());
    if let Some(package) = package {
        let is_known = status.packages.iter().any(|it| it.package == package);
        ensure!(
            is_known,
            "this device has no package {package}; see airlift-agent status"
        );
    }
    if !failed.any(|it| is_meant(&it.package)) {
        println!("nothing failed");
        return Ok(ExitCode::SUCCESS);
    }
    let marked = status::retry(&folders, &Disk::default(), package);
    marked.with_context(|| format!("{}", folders.root().display()))?;
    println!("tried again at the next poll");
    Ok(ExitCode::SUCCESS)
}

/// To stderr; systemd's journal has times of its own.
fn log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    match std::env::var_os("JOURNAL_STREAM") {
        Some(_) => builder.without_time().init(),
        None => builder.init(),
    }
}
