//! The gateway on an ESP32-C3: starts the chip and hands it to the shell that all boards share.
#![no_std]
#![no_main]

mod board;
mod flash;
mod reset;
mod watchdog;
mod wifi;

use core::fmt::{Display, Write};

use airlift_board::{Memory, Platform, Settings, boot, run};
use airlift_firmware::{Boot, Gateway, Images, flash::image::ChipId};
use embassy_executor::Spawner;
use embassy_net::StackResources;
use embassy_time::Timer;
use esp_backtrace as _;
use esp_bootloader_esp_idf::{
    BUILD_DATE, BUILD_TIME, ESP_IDF_COMPATIBLE_VERSION, MMU_PAGE_SIZE, SECURE_VERSION, esp_app_desc,
};
use esp_hal::{clock::CpuClock, delay::Delay, ram, timer::timg::TimerGroup};
use esp_storage::FlashStorage;
use heapless::String;
use static_cell::{ConstStaticCell, StaticCell};

use crate::board::Board;

const VERSION: &str = match option_env!("AIRLIFT_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};
const _: () = assert!(
    !VERSION.is_empty() && VERSION.len() < 32,
    "a version has 1 to 31 bytes: the app descriptor keeps no more"
);

esp_app_desc!(
    VERSION,
    env!("CARGO_PKG_NAME"),
    BUILD_TIME,
    BUILD_DATE,
    ESP_IDF_COMPATIBLE_VERSION,
    MMU_PAGE_SIZE,
    0,
    u16::MAX,
    SECURE_VERSION
);

/// The heap is the radio's: everything else is static. The first part lies where the bootloader was.
const RECLAIMED_HEAP_BYTES: usize = 64 * 1024;
const HEAP_BYTES: usize = 96 * 1024;

/// DHCP, DNS, broker, download, upload page, and one to spare.
const SOCKETS: usize = 6;
const REMIND_SECONDS: u64 = 30;
const GIVE_UP_SECONDS: u32 = 10;

static PLACE: StaticCell<Option<Gateway<FlashStorage<'static>>>> = StaticCell::new();
static MEMORY: ConstStaticCell<Memory> = ConstStaticCell::new(Memory::new());
static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();

#[esp_rtos::main]
async fn main(spawner: Spawner) -> ! {
    esp_println::logger::init_logger(log::LevelFilter::Warn);
    let chip = esp_hal::init(esp_hal::Config::default().with_cpu_clock(CpuClock::max()));
    let board = Board::new(chip.RTC_TIMER);

    let memory = MEMORY.take();
    let (gateway, settings) = start(FlashStorage::new(chip.FLASH), &board, memory);

    esp_alloc::heap_allocator!(#[ram(reclaimed)] size: RECLAIMED_HEAP_BYTES);
    esp_alloc::heap_allocator!(size: HEAP_BYTES);
    esp_rtos::start(TimerGroup::new(chip.TIMG0).timer0, chip.FROM_CPU_INTR0);
    let (stack, runner) = embassy_net::new(
        esp_radio::wifi::Interface::station(),
        embassy_net::Config::dhcpv4(Default::default()),
        RESOURCES.init(StackResources::new()),
        board.random(),
    );
    // Each is spawned once, so its storage is free.
    spawner.spawn(wifi::run_network(runner).unwrap());
    if settings.ssid.is_empty() {
        spawner.spawn(ask_for_settings().unwrap());
    } else {
        let (ssid, password) = (settings.ssid.clone(), settings.psk.clone());
        spawner.spawn(wifi::keep_connected(chip.WIFI, ssid, password).unwrap());
    }
    run(stack, gateway, &settings, &board, memory).await
}

/// The first thing to run: the boot trial. In a frame of its own, for that of `main` stays for ever.
#[inline(never)]
fn start(
    mut flash: FlashStorage<'static>,
    board: &Board,
    memory: &mut Memory,
) -> (&'static mut Gateway<FlashStorage<'static>>, Settings) {
    let Some(running) = flash::running(&mut flash) else {
        give_up(
            board,
            "the partition table is bad, or does not have the partition that runs",
        );
    };
    if let Err(error) = Gateway::first_act(&mut flash, running) {
        board.say(format_args!("{error}"));
    }
    let settings = Settings::read(&mut flash, &default_id());
    let start = Boot {
        running,
        reason: reset::take_reason(),
    };
    let images = Images::App(ChipId::ESP32_C3);
    let place = PLACE.init(None);
    match boot(place, flash, &settings, images, start, board, memory) {
        Ok(gateway) => (gateway, settings),
        Err(error) => give_up(board, error),
    }
}

/// The id of a gateway that was given none: from its MAC address.
fn default_id() -> String<20> {
    let mut id = String::try_from("esp32c3-").unwrap_or_default();
    for byte in esp_hal::efuse::base_mac_address().as_bytes() {
        write!(id, "{byte:02x}").expect("8 letters and 12 digits fit in 20 bytes");
    }
    id
}

/// Without a network nobody else can be told.
#[embassy_executor::task]
async fn ask_for_settings() -> ! {
    loop {
        esp_println::println!(
            "airlift: no Wi-Fi: airlift/ssid is missing in NVS; provision the board (README.md)"
        );
        Timer::after_secs(REMIND_SECONDS).await;
    }
}

/// Ends a start that cannot go on. It restarts, so that a bootloader that can roll back does.
fn give_up(board: &Board, why: impl Display) -> ! {
    board.say(format_args!("{why}; restarts in {GIVE_UP_SECONDS} s"));
    Delay::new().delay_millis(1000 * GIVE_UP_SECONDS);
    board.reboot()
}
