//! From the reset to Rust, and the ends that are not planned.

use core::{arch::global_asm, panic::PanicInfo};

use crate::{
    machine::{self, Reset},
    say,
};

/// What the unused stack is filled with, to find out afterwards how deep it went.
const UNUSED: u32 = 0xA11F_5EED;
/// Before the restart after a failure, so that one that comes again at once does not flood the
/// console.
const PAUSE_MS: u64 = 1_000;

global_asm!(
    ".section .text.start, \"ax\"",
    ".globl _start",
    "_start:",
    ".option push",
    ".option norelax",
    "la gp, __global_pointer$",
    ".option pop",
    "la sp, __stack_top",
    "la t0, trap",
    "csrw mtvec, t0",
    "la t0, __bss_start",
    "la t1, __bss_end",
    "1: bgeu t0, t1, 2f",
    "sw zero, 0(t0)",
    "addi t0, t0, 4",
    "j 1b",
    "2: la t1, __stack_top",
    "li t2, {unused}",
    "3: bgeu t0, t1, 4f",
    "sw t2, 0(t0)",
    "addi t0, t0, 4",
    "j 3b",
    "4: call airlift_main",
    ".align 2",
    "trap: la sp, __stack_top",
    "csrr a0, mcause",
    "csrr a1, mepc",
    "csrr a2, mtval",
    "call airlift_trap",
    unused = const UNUSED,
);

#[unsafe(no_mangle)]
extern "C" fn airlift_trap(cause: u32, at: u32, value: u32) -> ! {
    say!("airlift: trap {cause} at {at:#010x}, value {value:#010x}");
    machine::pause(PAUSE_MS);
    machine::reset(Reset::Panic)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    say!("airlift: {info}");
    machine::pause(PAUSE_MS);
    machine::reset(Reset::Panic)
}

unsafe extern "C" {
    static __stack_bottom: u32;
    static __stack_top: u32;
}

/// The deepest the stack has been since the reset, or since [`repaint_stack`], bytes.
pub fn stack_bytes_max() -> usize {
    let bottom = &raw const __stack_bottom;
    let top = &raw const __stack_top as usize;
    let mut word = bottom;
    while (word as usize) < top {
        // SAFETY: between the two ends there is nothing but the stack's memory; the linker script
        // aligns both.
        if unsafe { word.read_volatile() } != UNUSED {
            break;
        }
        word = word.wrapping_add(1);
    }
    top - word as usize
}

/// Forgets how deep the stack has been.
#[inline(never)]
pub fn repaint_stack() {
    let here = 0_u32;
    // What this function itself has on the stack ends well before.
    let end = &raw const here as usize - 256;
    let mut word = (&raw const __stack_bottom).cast_mut();
    while (word as usize) < end {
        // SAFETY: below all that is on the stack there is nothing but unused stack.
        unsafe { word.write_volatile(UNUSED) }
        word = word.wrapping_add(1);
    }
}

/// The memory set aside for the stack, bytes.
pub fn stack_bytes() -> usize {
    &raw const __stack_top as usize - &raw const __stack_bottom as usize
}
