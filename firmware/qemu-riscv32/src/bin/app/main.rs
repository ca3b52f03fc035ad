//! The gateway on QEMU's `virt` machine.
#![no_std]
#![no_main]

mod descriptor;

use core::{cell::Cell, fmt::Arguments};

use airlift_board::{Memory, Platform, Settings};
use airlift_firmware::{Boot, BootReason, Gateway, Images, Notice, Running, flash::image::ChipId};
use airlift_qemu_riscv32::{
    executor,
    flash::VirtFlash,
    machine::{self, Reset, SLOT_FACTORY},
    network::Card,
    say, start,
};
use embassy_executor::Spawner;
use embassy_net::{Config, Runner, Stack, StackResources};
use static_cell::{ConstStaticCell, StaticCell};

const DEFAULT_ID: &str = "qemu-riscv32";
/// DHCP, DNS, broker, download, and two of the upload page.
const SOCKETS: usize = 6;
/// Before a restart that may well come to the same end.
const PAUSE_MS: u64 = 2_000;

struct Board {
    random: Cell<u64>,
}

impl Board {
    fn new() -> Self {
        Board {
            random: Cell::new(machine::ticks()),
        }
    }
}

impl Platform for Board {
    fn say(&self, line: Arguments<'_>) {
        say!("airlift: {line}");
    }

    fn noticed(&self, notice: &Notice<'_>) {
        self.say(format_args!("{notice}"));
        if let Notice::Finished { .. } | Notice::Rebooting | Notice::Confirmed { .. } = notice {
            say_memory();
        }
    }

    /// SplitMix64, from the time of the start on.
    fn random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.random.set(state ^ machine::ticks());
        let mixed = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn reboot(&self) -> ! {
        machine::reset(Reset::Software)
    }
}

/// There is no heap on this board: it says so.
fn say_memory() {
    let (deepest, room) = (start::stack_bytes_max(), start::stack_bytes());
    say!("airlift: stack {deepest} of {room} heap 0");
}

#[unsafe(no_mangle)]
extern "C" fn airlift_main(slot: u32) -> ! {
    static MEMORY: ConstStaticCell<Memory> = ConstStaticCell::new(Memory::new());
    let memory = MEMORY.take();
    let (gateway, settings) = boot(slot, memory);
    let deepest = start::stack_bytes_max();
    say!("airlift: boot stack {deepest}");
    start::repaint_stack();
    executor::run(|spawner| begin(spawner, gateway, settings, memory))
}

/// In a frame of its own, because the one of `airlift_main` stays for ever.
#[inline(never)]
fn boot(slot: u32, memory: &mut Memory) -> (&'static mut Gateway<VirtFlash>, &'static Settings) {
    static PLACE: StaticCell<Option<Gateway<VirtFlash>>> = StaticCell::new();
    static SETTINGS: StaticCell<Settings> = StaticCell::new();
    let board = Board::new();
    let mut flash = VirtFlash::new();
    let running = match slot {
        SLOT_FACTORY => Running::Factory,
        slot => Running::Ota(slot as u8),
    };
    if let Err(error) = Gateway::first_act(&mut flash, running) {
        board.say(format_args!("{error}"));
    }
    let settings = SETTINGS.init(Settings::read(&mut flash, DEFAULT_ID));
    let boot = Boot {
        running,
        reason: match machine::take_reset() {
            Reset::PowerOn => BootReason::PowerOn,
            Reset::Software => BootReason::Software,
            Reset::Panic => BootReason::Panic,
        },
    };
    let (version, since) = (descriptor::version(), machine::micros());
    say!("airlift: {version} starts after {since} us");
    let images = Images::App(ChipId::VIRT);
    let place = PLACE.init(None);
    match airlift_board::boot(place, flash, settings, images, boot, &board, memory) {
        Ok(gateway) => (gateway, settings),
        Err(error) => {
            board.say(format_args!("cannot start: {error}"));
            machine::pause(PAUSE_MS);
            machine::reset(Reset::Panic)
        }
    }
}

/// In a frame of its own, for the same reason.
#[inline(never)]
fn begin(
    spawner: Spawner,
    gateway: &'static mut Gateway<VirtFlash>,
    settings: &'static Settings,
    memory: &'static mut Memory,
) {
    static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();
    let board = Board::new();
    let card = Card::find().expect("QEMU is started with a virtio network card");
    let resources = RESOURCES.init(StackResources::new());
    let config = Config::dhcpv4(Default::default());
    let (stack, runner) = embassy_net::new(card, config, resources, board.random());
    let network = network(runner).expect("it is spawned once");
    let shell = shell(stack, board, gateway, settings, memory).expect("it is spawned once");
    spawner.spawn(network);
    spawner.spawn(shell);
}

#[embassy_executor::task]
async fn network(mut runner: Runner<'static, Card>) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn shell(
    stack: Stack<'static>,
    board: Board,
    gateway: &'static mut Gateway<VirtFlash>,
    settings: &'static Settings,
    memory: &'static mut Memory,
) -> ! {
    airlift_board::run(stack, gateway, settings, &board, memory).await
}
