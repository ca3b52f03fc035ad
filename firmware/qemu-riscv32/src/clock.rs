//! Time for embassy, and its timers.

use core::{cell::RefCell, task::Waker};

use critical_section::Mutex;
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

use crate::machine;

struct Clock {
    timers: Mutex<RefCell<Queue>>,
}

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock {
    timers: Mutex::new(RefCell::new(Queue::new())),
});

impl Driver for Clock {
    fn now(&self) -> u64 {
        machine::micros()
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|section| {
            // The executor looks at the queue before it sleeps, so a new first one needs no alarm.
            self.timers.borrow_ref_mut(section).schedule_wake(at, waker);
        });
    }
}

/// Wakes whom it is time to wake; the time of the next, microseconds, `u64::MAX` if there is none.
pub(crate) fn wake_due() -> u64 {
    critical_section::with(|section| {
        let mut timers = CLOCK.timers.borrow_ref_mut(section);
        timers.next_expiration(machine::micros())
    })
}

/// Nothing is ever interrupted on this machine: see [`machine::enable_wakeups`].
struct SingleThread;

critical_section::set_impl!(SingleThread);

// SAFETY: one hart, and interrupts stay masked, so all code is one critical section.
unsafe impl critical_section::Impl for SingleThread {
    unsafe fn acquire() {}

    unsafe fn release(_: ()) {}
}
