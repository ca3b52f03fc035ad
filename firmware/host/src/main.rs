//! `airlift-gateway`: an OTA gateway on a PC, or a fleet of them.
//!
//! It decides nothing about updates: `airlift-firmware` does, and this shell gives it a broker, an
//! HTTP client, a flash in a file and a clock, so that a server under test meets the rules a board
//! follows.
//!
//! `args` the command line, `board` the hardware to be, `flash` and `chip` its flash in a file, `broker`
//! and `link` MQTT, `fetch` HTTP, `local` the upload page's sockets, `credentials` tokens, `life` and `hands` the
//! shell around the core, `faults` and `flaws` what goes wrong, `say` stdout, `clock` the wall clock.

mod args;
mod board;
mod broker;
mod chip;
mod clock;
mod credentials;
mod faults;
mod fetch;
mod flash;
mod flaws;
mod hands;
mod life;
mod link;
mod local;
mod say;

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use airlift_proto::Topics;
use anyhow::{Context, Result, anyhow};
use clap::Parser;
use tokio::{sync::watch, task::JoinSet, time::sleep};

use crate::{
    args::Args,
    broker::Broker,
    faults::Counts,
    flaws::Flaw,
    life::{End, Shared},
    local::Address,
    say::Say,
};

/// Gateways of a fleet that start in one second, so that they do not knock all at once.
const FLEET_STARTS_PER_SECOND: u32 = 500;
/// Host names looked up at the same time.
const BLOCKING_THREADS_MAX: usize = 16;

fn main() -> ExitCode {
    match start(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("airlift-gateway: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: &Args) -> Result<ExitCode> {
    let members = args.members()?;
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow!("cannot set up TLS"))?;
    // Two connections and a file per gateway; where the limit cannot be raised, opening them says so.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let _lock = flash::lock(&members[0].flash)?;
    let (trusted_keys, other_keys) = args.trusted_keys()?;
    let shared = Shared {
        board: args.board,
        trusted_keys,
        device_type: args.device_type()?,
        bootloader: args.bootloader,
        broker: Broker::new(&args.mqtt)?,
        credentials: args.credentials()?,
        topics: Topics::new(&args.topic_prefix),
        client: fetch::client()?,
        say: Say::new(args.log, members.len() == 1),
        battery: args.battery,
        first_version: args.first_version()?,
        heartbeat: Duration::from_secs(args.heartbeat_seconds.into()),
        self_test: Duration::from_secs(args.self_test_seconds.into()),
        reboot: Duration::from_secs(args.reboot_seconds.into()),
        bytes_per_second: args.download_bytes_per_second,
        exit_after_update: args.exit_after_update,
        durable: members.len() == 1,
        faults: args.faults,
        counts: Counts::default(),
        epoch: Instant::now(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let page = page(args, &shared).await?;
        if !other_keys.is_empty() {
            let text = format!(
                "cannot check signatures by {other_keys}: gateways know Ed25519 alone; what only they \
                 signed is refused"
            );
            shared.say.event(&args.id, "keys_not_used", &text);
        }
        if let Some(seed) = args.faults {
            shared.say.faults(&args.id, seed, None);
        }
        for flaw in Flaw::ALL {
            let flawed = members.iter().filter(|member| member.flaw == Some(flaw));
            let ids: Vec<&str> = flawed.map(|member| member.id.as_str()).collect();
            if !ids.is_empty() {
                shared.say.flaw(&args.id, flaw, &ids, members.len());
            }
        }
        let shared = Arc::new(shared);
        let code = run(shared.clone(), members, page).await;
        if let Some(seed) = args.faults {
            shared.say.faults(&args.id, seed, Some(&shared.counts));
        }
        Ok(code)
    })
}

/// The upload page's address, and how to use it told.
async fn page(args: &Args, shared: &Shared) -> Result<Option<Address>> {
    let Some(address) = args.local_listen else {
        return Ok(None);
    };
    let (password, hint) = match &args.local_password {
        Some(password) => (password.clone(), String::new()),
        None => {
            let password = local::new_password()?;
            let hint = format!(", password {password}");
            (password, hint)
        }
    };
    let page = Address::bind(address, password).await?;
    let text = format!("serves its upload page at http://{}{hint}", page.socket()?);
    shared.say.event(&args.id, "local_page", &text);
    Ok(Some(page))
}

/// Runs all gateways to their ends; any failure is the process's.
async fn run(shared: Arc<Shared>, members: Vec<args::Member>, page: Option<Address>) -> ExitCode {
    let (stop, stopping) = watch::channel(false);
    let mut gateways = JoinSet::new();
    for (number, member) in (0..).zip(members) {
        let (shared, page, mut stopping) = (shared.clone(), page.clone(), stopping.clone());
        gateways.spawn(async move {
            let delay = Duration::from_secs(1) * number / FLEET_STARTS_PER_SECOND;
            tokio::select! {
                () = sleep(delay) => {}
                _ = stopping.wait_for(|stop| *stop) => return Ok(End::Stopped),
            }
            let id = member.id.clone();
            life::run(&shared, member, page, stopping).await.context(id)
        });
    }
    tokio::spawn(async move {
        asked_to_stop().await;
        stop.send_replace(true);
    });
    let mut code = ExitCode::SUCCESS;
    while let Some(end) = gateways.join_next().await {
        match end.map_err(anyhow::Error::from).flatten() {
            Ok(End::Stopped | End::Updated) => {}
            Ok(End::Failed) => code = ExitCode::FAILURE,
            Err(error) => {
                eprintln!("airlift-gateway: {error:#}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

/// Waits for ctrl-c or SIGTERM.
async fn asked_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    // If it cannot be heard, ctrl-c ends the process as the system does by default.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
