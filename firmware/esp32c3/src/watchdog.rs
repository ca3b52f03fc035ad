//! The RTC watchdog: an image that hangs must restart, or its trial would never fail.

use esp_hal::{
    peripherals::RTC_TIMER,
    rtc_cntl::{Rtc, RwdtStage},
    time::Duration,
};

/// The shell shows life every 30 s; this forgives it two times.
const TIMEOUT: Duration = Duration::from_secs(90);

/// The watchdog; it is never stopped.
pub struct Watchdog(Rtc<'static>);

impl Watchdog {
    /// From now on the chip resets unless [`Watchdog::feed`] is called every 90 s.
    pub fn start(timer: RTC_TIMER<'static>) -> Self {
        let mut rtc = Rtc::new(timer);
        rtc.rwdt.set_timeout(RwdtStage::Stage0, TIMEOUT);
        rtc.rwdt.enable();
        rtc.rwdt.feed();
        Self(rtc)
    }

    /// Shows that the program is alive.
    pub fn feed(&mut self) {
        self.0.rwdt.feed();
    }
}
