//! From power on to a running gateway: the bootloader chooses, the core decides what the boot is.

use std::time::Instant;

use airlift_firmware::{Boot, BootReason, Config, Effect, Gateway, MARK_STEP_BYTES, Running};
use airlift_simflash::App;
use anyhow::{Result, anyhow, bail};

use super::{Life, Shared, broken, power_is_cut};
use crate::{
    args::Member,
    chip::Chip,
    faults::{Faults, Plan},
    hands::Hands,
    local::{Address, Local},
};

/// What a life must know of those before.
pub(super) struct Past {
    /// Why the last one ended.
    pub reason: BootReason,
    /// Message ids of the upgrades that had ended when the process began.
    pub ended: Option<Vec<String>>,
}

impl Default for Past {
    fn default() -> Self {
        Past {
            reason: BootReason::PowerOn,
            ended: None,
        }
    }
}

/// Boots to a life, or to the reason for the next boot.
pub(super) fn boot<'g>(
    (shared, member, chip): (&'g Shared, &'g Member, &'g Chip),
    mut faults: Option<&'g mut Faults>,
    past: &'g mut Past,
    page: Option<&Address>,
) -> Result<Result<Box<Life<'g>>, BootReason>> {
    let mut plan = faults
        .as_mut()
        .map_or_else(Plan::default, |faults| faults.life());
    chip.power_on(plan.power_cut.take());
    let mut hands = Hands {
        shared,
        id: &member.id,
        token: member.token.as_ref(),
        chip,
        faults,
        flaw: member.flaw,
        link: None,
        download: None,
        fetches_proof: false,
        confirmed: false,
        reboots: false,
        failure: None,
    };
    let Some(running) = bootloader(&hands, member)? else {
        return Ok(Err(power_is_cut(&hands)));
    };
    let config = Config {
        id: member.id.as_str().try_into().map_err(|_| {
            anyhow!("the id {:?} is too long", member.id) // Checked with the arguments.
        })?,
        heartbeat_ms: shared.heartbeat.as_millis() as u64,
        self_test_ms: shared.self_test.as_millis() as u64,
        mark_step_bytes: MARK_STEP_BYTES,
        trusted_keys: shared.trusted_keys.clone(),
        device_type: shared.device_type.clone(),
        target: shared.board.target().name().try_into().map_err(|_| {
            anyhow!("the board's name is too long") // All are shorter.
        })?,
        images: shared.board.images(),
        first_version: shared.first_version.clone(),
        battery: shared.battery,
    };
    let boot = Boot {
        running,
        reason: past.reason,
    };
    let mut perform = |effect: Effect<'_>| hands.perform(effect);
    let mut place = None;
    let now = shared.now();
    let booted = Gateway::boot(&mut place, chip.clone(), config, boot, now, &mut perform);
    if chip.is_cut() {
        return Ok(Err(power_is_cut(&hands)));
    }
    booted.map_err(|error| broken(&hands, error.into()))?;
    let Some(gateway) = place else {
        return Ok(Err(BootReason::Software));
    };
    past.ended.get_or_insert_with(|| {
        let ended = gateway.saved().ended.iter().filter(|end| end.delivered);
        ended.map(|end| end.msg_id.as_str().to_owned()).collect()
    });
    let mut life = Box::new(Life {
        past,
        fell_back: matches!(&gateway.saved().rolled_back, Some(back) if !back.told),
        local: page.map(|page| Local::start(page, &member.id, gateway.version())),
        gateway,
        hands,
        plan,
        born: Instant::now(),
        next: None,
    });
    life.try_out();
    if !life.plan.silent {
        life.connect();
    }
    life.look()?;
    Ok(Ok(life))
}

/// Lets the bootloader choose; `None` if the power was cut under it.
fn bootloader(hands: &Hands<'_>, member: &Member) -> Result<Option<Running>> {
    let Hands {
        shared, chip, id, ..
    } = hands;
    let bootloader = shared.board.bootloader(shared.bootloader);
    let booted = bootloader.boot(&mut (*chip).clone());
    if chip.is_cut() {
        return Ok(None);
    }
    let booted = booted.map_err(|_| broken(hands, anyhow!("the flash cannot be read")))?;
    let refused = booted.refused.join("; ");
    let running = match booted.app {
        App::Factory => Running::Factory,
        App::Ota(slot) => Running::Ota(slot),
        App::None => bail!(
            "{} holds no application that boots: {refused}. Flash one, or give another --flash: a \
             fresh one boots",
            member.flash.display()
        ),
    };
    if !refused.is_empty() {
        let text = format!("the bootloader passes over {refused}");
        shared.say.event(id, "bootloader_refused", &text);
    }
    Ok(Some(running))
}
