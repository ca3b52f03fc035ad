//! Why the chip restarted: heartbeats tell it.
//!
//! The chip itself knows power, watchdogs and "by software". Whether that was a panic has to be left
//! in RTC memory, which outlives such a reset.

use core::sync::atomic::Ordering;

use airlift_firmware::BootReason;
use esp_hal::{
    ram,
    rtc_cntl::{SocResetReason, reset_reason},
    system::{Cpu, software_reset},
};
use portable_atomic::AtomicU32;

const PANICKED: u32 = 0x5041_4E43;

/// [`PANICKED`], or anything else: after power on nobody has set it.
#[ram(unstable(rtc_fast, persistent))]
static NOTE: AtomicU32 = AtomicU32::new(0);

/// Tells the reason of this start, and forgets what the run before left: ask once.
///
/// Some of these chips report a brownout as power on (ESP-IDF, "Reset reasons" of the ESP32-C3).
pub fn take_reason() -> BootReason {
    use SocResetReason::*;

    let note = NOTE.swap(0, Ordering::Relaxed);
    match reset_reason(Cpu::ProCpu) {
        Some(ChipPowerOn) => BootReason::PowerOn,
        Some(SysBrownOut) => BootReason::Brownout,
        Some(CoreMwdt0 | CoreMwdt1 | CoreRtcWdt | Cpu0Mwdt0 | Cpu0Mwdt1 | Cpu0RtcWdt)
        | Some(SysRtcWdt | SysSuperWdt) => BootReason::Watchdog,
        Some(CoreSw | Cpu0Sw) if note == PANICKED => BootReason::Panic,
        Some(CoreSw | Cpu0Sw) => BootReason::Software,
        _ => BootReason::Other,
    }
}

/// Where the panic handler of esp-backtrace ends. Its own way is to stop for good; a board in the
/// field has to come back.
// SAFETY: esp-backtrace declares this symbol, with this signature, for its feature `custom-halt`;
// nothing else here or there defines it.
#[unsafe(no_mangle)]
extern "Rust" fn custom_halt() -> ! {
    NOTE.store(PANICKED, Ordering::Relaxed);
    software_reset()
}
