//! What the shell asks of this board.

use core::{cell::RefCell, fmt::Arguments};

use airlift_board::Platform;
use esp_hal::{peripherals::RTC_TIMER, rng::Rng, system::software_reset};
use esp_println::println;

use crate::{watchdog::Watchdog, wifi};

/// An ESP32-C3 with a flash of 4 MB or more, on mains.
pub struct Board {
    rng: Rng,
    watchdog: RefCell<Watchdog>,
}

impl Board {
    /// Takes what it needs, and starts the watchdog.
    pub fn new(rtc_timer: RTC_TIMER<'static>) -> Self {
        Self {
            rng: Rng::new(),
            watchdog: RefCell::new(Watchdog::start(rtc_timer)),
        }
    }
}

impl Platform for Board {
    fn target(&self) -> &'static str {
        "esp32c3"
    }

    fn say(&self, line: Arguments<'_>) {
        println!("airlift: {line}");
    }

    fn random(&self) -> u64 {
        u64::from(self.rng.random()) << 32 | u64::from(self.rng.random())
    }

    fn reboot(&self) -> ! {
        software_reset()
    }

    fn alive(&self) {
        self.watchdog.borrow_mut().feed();
    }

    fn free_heap(&self) -> Option<u32> {
        u32::try_from(esp_alloc::HEAP.free()).ok()
    }

    fn rssi(&self) -> Option<i8> {
        wifi::rssi()
    }
}
