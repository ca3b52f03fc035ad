use std::time::Duration;

use anyhow::Result;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};

use super::{Console, Outcome, screen::Screen, show::Rollout};
use crate::cli::{answer, client::Client};

/// Between two looks at the rollout.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Shows how the rollout goes until it ends or halts.
pub async fn watch(
    client: &Client,
    id: &str,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Outcome> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let path = ["rollouts", id];
    // Who names a wrong server or rollout is told so at once.
    let mut data = client.get(&path, &[]).await?;
    let mut screen = Screen::new(json, console);
    loop {
        let rollout: Rollout = answer::read(&data)?;
        screen.show(&data, &rollout)?;
        if let Some(outcome) = outcome(&rollout) {
            screen.end(&advice(&rollout, &client.flag()))?;
            return Ok(outcome);
        }
        data = loop {
            let look = async {
                sleep(LOOK_INTERVAL).await;
                client.get(&path, &[]).await
            };
            let looked = tokio::select! {
                looked = look => looked,
                _ = interrupt.recv() => {
                    screen.end(&format!(
                        "The rollout goes on without being watched. To watch it again:\n  \
                         airlift rollout watch {id}{server}\nTo stop it:\n  \
                         airlift rollout pause {id}{server}",
                        id = rollout.rollout_id,
                        server = client.flag(),
                    ))?;
                    return Ok(Outcome::Interrupted);
                }
            };
            match looked {
                Ok(data) => break data,
                Err(error) if error.passes => screen.away(&error.what)?,
                Err(error) => {
                    screen.end("")?;
                    return Err(error.into());
                }
            }
        };
        screen.back()?;
    }
}

/// `None` while it goes on, or is paused and may.
fn outcome(rollout: &Rollout) -> Option<Outcome> {
    match rollout.state.as_str() {
        "completed" if rollout.counters.failed == 0 => Some(Outcome::Done),
        "completed" | "halted" | "cancelled" => Some(Outcome::Failures),
        _ => None,
    }
}

/// What to do about how it ended.
fn advice(rollout: &Rollout, server: &str) -> String {
    let id = &rollout.rollout_id;
    let mut advice = Vec::new();
    if rollout.counters.failed > 0 {
        advice.push(format!(
            "To see what failed:\n  airlift rollout gateways {id} --state failed{server}"
        ));
    }
    if rollout.counters.failed > 0 && rollout.state != "cancelled" {
        advice.push(format!(
            "To try that again:\n  airlift rollout retry {id}{server}"
        ));
    }
    if rollout.state == "halted" {
        advice.push(format!(
            "To accept the failures and go on:\n  airlift rollout resume {id}{server}"
        ));
    }
    advice.join("\n")
}
