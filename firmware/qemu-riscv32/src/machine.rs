//! The registers of QEMU's `virt` machine, so that nothing else has to know an address.
//!
//! Addresses: `hw/riscv/virt.c` of QEMU; registers: the 16550's, SiFive's CLINT and PLIC, and the
//! test finisher as the device tree of the machine names them.

use core::{arch::asm, fmt, ops::Range};

/// Where the app's data and stack are linked to: the lower 352 KiB of the 384 KiB of RAM.
pub const APP_RAM: Range<u32> = 0x8000_0000..0x8005_8000;
/// Where the app's code and constants are linked to: stands for the flash mapping of an ESP chip.
pub const APP_CODE: Range<u32> = 0x8010_0000..0x8017_0000;
/// What the bootloader gives the app in `a0`: the number of the OTA slot it starts, or this.
pub const SLOT_FACTORY: u32 = u32::MAX;

const FINISHER: usize = 0x0010_0000;
const MTIMECMP: usize = 0x0200_4000;
const MTIME: usize = 0x0200_BFF8;
const PLIC_PRIORITY: usize = 0x0C00_0000;
const PLIC_ENABLE: usize = 0x0C00_2000;
const PLIC_THRESHOLD: usize = 0x0C20_0000;
const PLIC_CLAIM: usize = 0x0C20_0004;
const UART: usize = 0x1000_0000;
/// The last 16 bytes of the RAM: no program is linked to them, and a reset leaves them as they are.
const KEPT: usize = 0x8005_FFF0;

/// Of `mtime`.
const TICKS_PER_MICROSECOND: u64 = 10;
/// Machine timer and machine external interrupt, in `mie`.
const MTIE_MEIE: u32 = 1 << 7 | 1 << 11;

pub(crate) fn read(address: usize) -> u32 {
    // SAFETY: used with the aligned addresses of registers and of the flash alone; reading them as a
    // word is what they are for.
    unsafe { (address as *const u32).read_volatile() }
}

pub(crate) fn write(address: usize, value: u32) {
    // SAFETY: as in `read`; no address used here is memory that Rust knows of.
    unsafe { (address as *mut u32).write_volatile(value) }
}

/// The serial console.
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: the 16550's transmit register; QEMU's takes bytes at any time.
            unsafe { (UART as *mut u8).write_volatile(byte) }
        }
        Ok(())
    }
}

/// Prints a line on the serial console.
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => {{
        // The console cannot fail.
        let _ = ::core::fmt::Write::write_fmt(
            &mut $crate::machine::Console,
            ::core::format_args!("{}\n", ::core::format_args!($($words)*)),
        );
    }};
}

/// Ends QEMU with exit code 0.
pub fn power_off() -> ! {
    finish(0x5555)
}

/// Ends QEMU with this exit code.
pub fn fail(code: u16) -> ! {
    finish(u32::from(code) << 16 | 0x3333)
}

/// Why the machine starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    PowerOn,
    Software,
    Panic,
}

const SOFTWARE: u32 = 0x5057_5265;
const PANIC: u32 = 0x5061_6E69;

/// Resets the machine; `reason` is told to the next start.
pub fn reset(reason: Reset) -> ! {
    let word = match reason {
        Reset::PowerOn => 0,
        Reset::Software => SOFTWARE,
        Reset::Panic => PANIC,
    };
    write(KEPT, word);
    finish(0x7777)
}

/// Why the machine started; told once.
pub fn take_reset() -> Reset {
    let reason = match read(KEPT) {
        SOFTWARE => Reset::Software,
        PANIC => Reset::Panic,
        _ => Reset::PowerOn,
    };
    write(KEPT, 0);
    reason
}

fn finish(word: u32) -> ! {
    write(FINISHER, word);
    loop {
        wait();
    }
}

/// Microseconds since power on: a reset does not set them back.
pub fn micros() -> u64 {
    ticks() / TICKS_PER_MICROSECOND
}

/// Of the machine's clock, ten per microsecond.
pub fn ticks() -> u64 {
    loop {
        let high = read(MTIME + 4);
        let low = read(MTIME);
        if high == read(MTIME + 4) {
            return u64::from(high) << 32 | u64::from(low);
        }
    }
}

/// From now on [`wait`] ends at the time set by [`wake_at`] and at the interrupts of [`listen`].
/// The interrupts themselves stay masked: nobody is interrupted.
pub fn enable_wakeups() {
    write(PLIC_THRESHOLD, 0);
    // SAFETY: `mie` alone, with `mstatus.MIE` clear since the reset, only ends `wfi`.
    unsafe { asm!("csrs mie, {}", in(reg) MTIE_MEIE) }
}

/// Lets the interrupt line of a device end [`wait`].
pub fn listen(line: u32) {
    write(PLIC_PRIORITY + 4 * line as usize, 1);
    write(PLIC_ENABLE, read(PLIC_ENABLE) | 1 << line);
}

/// Has every pending interrupt of a device served.
pub(crate) fn serve_interrupts(serve: fn()) {
    loop {
        let line = read(PLIC_CLAIM);
        if line == 0 {
            return;
        }
        serve();
        write(PLIC_CLAIM, line);
    }
}

/// Sets the end of the next [`wait`], microseconds.
pub fn wake_at(micros: u64) {
    let ticks = micros.saturating_mul(TICKS_PER_MICROSECOND);
    // High part first and as late as can be, so that no time in between is in the past.
    write(MTIMECMP + 4, u32::MAX);
    write(MTIMECMP, ticks as u32);
    write(MTIMECMP + 4, (ticks >> 32) as u32);
}

/// Does nothing for so long.
pub fn pause(ms: u64) {
    let until = micros() + 1_000 * ms;
    enable_wakeups();
    while micros() < until {
        wake_at(until);
        wait();
    }
}

/// Sleeps until something happens that was asked for.
pub fn wait() {
    // SAFETY: waits, changes nothing.
    unsafe { asm!("wfi") }
}
