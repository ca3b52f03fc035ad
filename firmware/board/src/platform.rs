//! What only the board can do or know.

use core::fmt::Arguments;

use airlift_firmware::Notice;

/// What a board does for the shell.
pub trait Platform {
    /// Prints one line on the console.
    fn say(&self, line: Arguments<'_>);

    /// Hears what the core tells the person watching.
    fn noticed(&self, notice: &Notice<'_>) {
        self.say(format_args!("{notice}"));
    }

    /// A random number. It spreads retries, nothing secret depends on it.
    fn random(&self) -> u64;

    /// Restarts the board.
    fn reboot(&self) -> !;

    /// Called every so often as long as neither the core, nor the clock, nor a task hangs: the moment
    /// to feed a watchdog.
    fn alive(&self) {}

    /// The board's name, as bundles name what they are for; empty if it has none, then any is taken.
    fn target(&self) -> &'static str {
        ""
    }

    /// Battery charge, percent; `None` on mains.
    fn battery(&self) -> Option<u8> {
        None
    }

    /// Bytes of heap that are free; `None` without a heap.
    fn free_heap(&self) -> Option<u32> {
        None
    }

    /// Signal strength, dBm; `None` on a cable.
    fn rssi(&self) -> Option<i8> {
        None
    }
}
