//! Keeps the station connected to its access point.

use core::sync::atomic::Ordering;

use embassy_futures::select::{Either, select};
use embassy_net::Runner;
use embassy_time::{Duration, Timer, with_timeout};
use esp_hal::{peripherals::WIFI, system::software_reset};
use esp_println::println;
use esp_radio::wifi::{
    AuthenticationMethodConfig, Config, ControllerConfig, Interface, WifiController, WifiError,
    sta::StationConfig,
};
use portable_atomic::AtomicI32;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY_SECONDS: u64 = 2;
const RSSI_SECONDS: u64 = 5;
/// Before the next try with a radio that did not start.
const RESTART_SECONDS: u64 = 60;
/// Means that there is no connection; no receiver measures it.
const NO_RSSI: i32 = 0;

static RSSI_DBM: AtomicI32 = AtomicI32::new(NO_RSSI);

/// Signal strength of the access point in dBm, while connected.
pub fn rssi() -> Option<i8> {
    match RSSI_DBM.load(Ordering::Relaxed) {
        NO_RSSI => None,
        dbm => i8::try_from(dbm).ok(),
    }
}

/// Switches the radio on, connects, and connects again whenever the access point is lost. An empty
/// `password` means an open network.
#[embassy_executor::task]
pub async fn keep_connected(
    wifi: WIFI<'static>,
    ssid: heapless::String<32>,
    password: heapless::String<64>,
) -> ! {
    let mut controller = match start(wifi, &ssid, &password) {
        Ok(controller) => controller,
        Err(error) => {
            println!("airlift: the radio does not start: {error}; restarts in {RESTART_SECONDS} s");
            Timer::after_secs(RESTART_SECONDS).await;
            software_reset()
        }
    };
    loop {
        match with_timeout(CONNECT_TIMEOUT, controller.connect_async()).await {
            Ok(Ok(info)) => {
                println!("airlift: Wi-Fi {ssid} on channel {}", info.channel);
                watch(&controller).await;
            }
            Ok(Err(error)) => println!("airlift: no Wi-Fi {ssid}: {error}"),
            Err(_) => {
                println!("airlift: no Wi-Fi {ssid}: no answer");
                // A failure means that there was nothing to give up.
                let _ = with_timeout(DISCONNECT_TIMEOUT, controller.disconnect_async()).await;
            }
        }
        Timer::after_secs(RETRY_SECONDS).await;
    }
}

fn start(
    wifi: WIFI<'static>,
    ssid: &str,
    password: &str,
) -> Result<WifiController<'static>, WifiError> {
    let authentication = if password.is_empty() {
        AuthenticationMethodConfig::Open
    } else {
        AuthenticationMethodConfig::Wpa2Personal(password.try_into()?)
    };
    let station = StationConfig::default()
        .with_ssid(ssid.try_into()?)
        .with_authentication(authentication);
    let config = ControllerConfig::default().with_initial_config(Config::Station(station));
    WifiController::new(wifi, config)
}

/// Measures the signal until the access point is lost.
async fn watch(controller: &WifiController<'static>) {
    loop {
        if let Ok(dbm) = controller.rssi() {
            RSSI_DBM.store(dbm, Ordering::Relaxed);
        }
        let lost = controller.wait_for_disconnect_async();
        if let Either::First(_) = select(lost, Timer::after_secs(RSSI_SECONDS)).await {
            println!("airlift: the access point is lost");
            RSSI_DBM.store(NO_RSSI, Ordering::Relaxed);
            return;
        }
    }
}

/// Moves packets between the radio and the network stack.
#[embassy_executor::task]
pub async fn run_network(mut runner: Runner<'static, Interface>) -> ! {
    runner.run().await
}
