//! Parses arguments, sets up the log, runs a command.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    time::Duration,
};

use airlift::{
    app::{App, Database},
    cli::{
        Cli, Command, ServeArgs, broker, bundle,
        console::{Console, Outcome},
        database::DatabaseArgs,
        gateway, key, package, provisioning_key, rollout, token, user,
    },
    config::{Config, LogFormat},
    domain::Clock,
};
use anyhow::{Context, Result};
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// What the built-in broker's crates say below a warning is of no use to an operator.
const QUIET: &str = ",rmqtt=error,rmqtt_net=error,rmqtt_codec=error";
/// Longest wait for blocking work (a file being written) when the process ends.
const RUNTIME_SHUTDOWN: Duration = Duration::from_secs(5);
/// As with a wrong flag; 1 says that the command could be carried out, and gateways failed or the
/// bundle is refused.
const COMMAND_FAILED: u8 = 2;

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let (result, failure) = match cli.command {
        Some(Command::Rollout(args)) => (
            ask(async |console| rollout::run(args, console).await),
            ExitCode::from(COMMAND_FAILED),
        ),
        Some(Command::Package(args)) => (
            ask(async |console| package::run(*args, console).await),
            ExitCode::from(COMMAND_FAILED),
        ),
        Some(Command::Gateway(args)) => (
            ask(async |console| gateway::run(args, console).await),
            ExitCode::from(COMMAND_FAILED),
        ),
        Some(Command::ProvisioningKey(args)) => (
            ask(async |console| provisioning_key::run(args, console).await),
            ExitCode::from(COMMAND_FAILED),
        ),
        Some(Command::Broker(args)) => (
            ask(async |console| broker::run(args, console).await),
            ExitCode::from(COMMAND_FAILED),
        ),
        Some(Command::Bundle(args)) => (
            here(|console| bundle::run(args, &Clock::System, console)),
            ExitCode::from(COMMAND_FAILED),
        ),
        Some(Command::Key(args)) => (
            here(|console| key::run(args, &Clock::System, console)),
            ExitCode::from(COMMAND_FAILED),
        ),
        Some(Command::Token(args)) => (
            on_database(args.database.clone(), async |database, console| {
                token::run(args, &database.service, console).await
            }),
            ExitCode::from(COMMAND_FAILED),
        ),
        Some(Command::User(args)) => (
            on_database(args.database.clone(), async |database, console| {
                user::run(args, &database.service, console).await
            }),
            ExitCode::from(COMMAND_FAILED),
        ),
        Some(Command::Serve(args)) => {
            let matches = matches.subcommand_matches("serve").unwrap_or(&matches);
            (run(*args, matches), ExitCode::FAILURE)
        }
        None => (run(cli.serve, &matches), ExitCode::FAILURE),
    };
    result.unwrap_or_else(|error| {
        eprintln!("airlift: {error:#}");
        failure
    })
}

/// Asks a running server.
fn ask(command: impl AsyncFnOnce(Console<'_>) -> Result<Outcome>) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    here(|console| runtime.block_on(command(console)))
}

/// Works on the database itself, as a server would that runs beside.
fn on_database(
    args: DatabaseArgs,
    command: impl AsyncFnOnce(&Database, Console<'_>) -> Result<Outcome>,
) -> Result<ExitCode> {
    let config = args.resolve()?;
    install_tls()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    here(|console| {
        runtime.block_on(async {
            let database = Database::open(&config, Clock::System).await?;
            let result = command(&database, console).await;
            database.close().await;
            result
        })
    })
}

/// Carries out a command on this process's own streams.
fn here(command: impl FnOnce(Console<'_>) -> Result<Outcome>) -> Result<ExitCode> {
    let console = Console {
        input: &mut io::stdin(),
        out: &mut io::stdout(),
        notes: &mut io::stderr(),
        is_terminal: io::stdout().is_terminal(),
    };
    Ok(command(console)?.into())
}

fn run(mut args: ServeArgs, matches: &ArgMatches) -> Result<ExitCode> {
    args.options.note_environment(matches);
    let config = args.options.over_file(args.config.as_deref())?.resolve()?;
    start_log(&config)?;
    install_tls()?;
    allow_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(serve(&config));
    runtime.shutdown_timeout(RUNTIME_SHUTDOWN);
    result.map(|()| ExitCode::SUCCESS)
}

/// As many open files as the system permits: each connection is one, and the limit that a shell sets is
/// often 1,024, for programs that airlift is none of.
fn allow_files() {
    let files = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: files.maximum,
        ..files
    };
    if let Err(error) = setrlimit(Resource::Nofile, all) {
        tracing::warn!(%error, files = files.current, "the limit of open files stays");
    }
}

/// Two TLS providers are in the dependency tree; rustls wants to be told which.
fn install_tls() -> Result<()> {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok()
        .context("a TLS provider is installed already")
}

async fn serve(config: &Config) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Boxed: what a start takes would stay in the stack.
    let app = Box::pin(App::start(config, Clock::System)).await?;
    tracing::info!(
        http = %app.http_addr,
        mqtt = app.mqtt_addr.map(tracing::field::display),
        public_url = config.public_url,
        docs = format!("http://{}/docs", app.http_addr),
        "airlift serves"
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    let stopped = async {
        app.stop().await;
        Ok(())
    };
    tokio::select! {
        result = stopped => result,
        _ = interrupt.recv() => anyhow::bail!("interrupted again: stopped at once"),
    }
}

fn start_log(config: &Config) -> Result<()> {
    let filter = EnvFilter::try_new(format!("{}{QUIET}", config.log))
        .with_context(|| format!("--log {:?} is not a filter", config.log))?;
    let log = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => log.with(layer.with_target(false)).init(),
        LogFormat::Json => log.with(layer.json().flatten_event(true)).init(),
    }
    Ok(())
}
