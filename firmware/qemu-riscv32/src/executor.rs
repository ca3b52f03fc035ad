//! Runs the tasks, and lets the machine sleep when there is nothing to do: a busy loop would take a
//! whole processor of the host.

use core::{
    ptr,
    sync::atomic::{AtomicBool, Ordering},
};

use embassy_executor::{Spawner, raw::Executor};
use static_cell::StaticCell;

use crate::{clock, machine, network};

static AWAKE: AtomicBool = AtomicBool::new(true);

#[unsafe(export_name = "__pender")]
fn pender(_: *mut ()) {
    AWAKE.store(true, Ordering::Relaxed);
}

/// Runs what `start` spawns, for ever.
pub fn run(start: impl FnOnce(Spawner)) -> ! {
    static EXECUTOR: StaticCell<Executor> = StaticCell::new();
    let executor: &'static Executor = EXECUTOR.init(Executor::new(ptr::null_mut()));
    machine::enable_wakeups();
    start(executor.spawner());
    loop {
        let next = clock::wake_due();
        if AWAKE.swap(false, Ordering::Relaxed) {
            // SAFETY: here alone, so never from within itself.
            unsafe { executor.poll() }
            continue;
        }
        machine::wake_at(next);
        machine::wait();
        machine::serve_interrupts(network::interrupted);
    }
}
