//! The core alone: no network, no drivers, a flash that is plain memory and a server that is a file
//! in memory. It plays one whole update, and tells how deep the stack went and how large the core's
//! state is; the size of its sections is the size of the core. Used by `firmware/size.sh`.
#![no_std]
#![no_main]

use core::{cell::RefCell, slice};

use airlift_firmware::{
    Answer, Boot, BootReason, Booted, Config, Effect, Event, Gateway, Images, JobId,
    MARK_STEP_BYTES, Now, PublishId, Running, flash::image::ChipId,
};
use airlift_qemu_riscv32::{machine, say, start};
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use static_cell::ConstStaticCell;

/// Where QEMU loads the flash and the server's answers: far beyond what is linked.
const FLASH_AT: usize = 0x8100_0000;
const FLASH_BYTES: usize = 0x10_0000;
/// Length and bytes of the trusted key's line, then of the command, the signature, the manifest and the
/// image.
const SERVER_AT: usize = 0x8120_0000;
/// What a TCP segment brings.
const PIECE_BYTES: usize = 1_460;
const PUBLISHES_MAX: usize = 64;

struct MemoryFlash;

#[derive(Debug)]
struct Never;

impl NorFlashError for Never {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl MemoryFlash {
    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: memory that QEMU provides, that no section is linked to and that only this reads
        // and writes.
        unsafe { slice::from_raw_parts_mut(FLASH_AT as *mut u8, FLASH_BYTES) }
    }
}

impl ErrorType for MemoryFlash {
    type Error = Never;
}

impl ReadNorFlash for MemoryFlash {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Never> {
        let at = offset as usize;
        bytes.copy_from_slice(&self.bytes()[at..at + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        FLASH_BYTES
    }
}

impl NorFlash for MemoryFlash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Never> {
        self.bytes()[from as usize..to as usize].fill(0xFF);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Never> {
        let at = offset as usize;
        for (cell, byte) in self.bytes()[at..].iter_mut().zip(bytes) {
            *cell &= byte;
        }
        Ok(())
    }
}

/// The block at `at` of what QEMU loaded, and where the next begins.
fn block(at: usize) -> (&'static [u8], usize) {
    // SAFETY: memory that QEMU has loaded before the start and that nobody writes.
    unsafe {
        let length = (at as *const u32).read_volatile() as usize;
        let bytes = slice::from_raw_parts((at + 4) as *const u8, length);
        (bytes, (at + 4 + length).next_multiple_of(4))
    }
}

/// What the server has.
#[derive(Clone, Copy)]
enum File {
    Signature,
    Manifest,
    Image,
}

struct Server {
    key: &'static [u8],
    command: &'static [u8],
    signature: &'static [u8],
    manifest: &'static [u8],
    image: &'static [u8],
}

impl Server {
    fn load() -> Self {
        let (key, next) = block(SERVER_AT);
        let (command, next) = block(next);
        let (signature, next) = block(next);
        let (manifest, next) = block(next);
        let (image, _) = block(next);
        Server {
            key,
            command,
            signature,
            manifest,
            image,
        }
    }

    fn file(&self, file: File) -> &'static [u8] {
        match file {
            File::Signature => self.signature,
            File::Manifest => self.manifest,
            File::Image => self.image,
        }
    }
}

/// What the gateway wants and the loop below has not done yet.
#[derive(Default)]
struct Wishes {
    publishes: heapless::Vec<PublishId, PUBLISHES_MAX>,
    fetch: Option<(JobId, File)>,
    reboots: bool,
}

type Core = Gateway<MemoryFlash>;

static GATEWAY: ConstStaticCell<Option<Core>> = ConstStaticCell::new(None);

fn now() -> Now {
    Now {
        ms: machine::micros() / 1_000,
        unix_seconds: 0,
        jitter: machine::ticks(),
    }
}

fn boot(gateway: &mut Option<Core>, slot: u8, server: &Server, wishes: &RefCell<Wishes>) {
    let text = |text: &str| heapless::String::try_from(text).unwrap_or_default();
    let mut keys = heapless::Vec::new();
    let line = str::from_utf8(server.key).unwrap_or_default();
    match line.parse() {
        Ok(key) => keys.extend([key]),
        Err(_) => fail("the key is none"),
    }
    let config = Config {
        id: text("core-size"),
        heartbeat_ms: 30_000,
        self_test_ms: 300_000,
        images: Images::App(ChipId::VIRT),
        first_version: text("0.0.0"),
        battery: 100,
        mark_step_bytes: MARK_STEP_BYTES,
        trusted_keys: keys,
        device_type: text(""),
        target: heapless::String::new(),
    };
    let boot = Boot {
        running: Running::Ota(slot),
        reason: BootReason::PowerOn,
    };
    let out = &mut |effect: Effect<'_>| wish(wishes, effect);
    match Gateway::boot(gateway, MemoryFlash, config, boot, now(), out) {
        Ok(Booted::Run) => {}
        Ok(Booted::Reboot(_)) => fail("it wants to reboot"),
        Err(_) => fail("it does not boot"),
    }
}

fn wish(wishes: &RefCell<Wishes>, effect: Effect<'_>) {
    let mut wishes = wishes.borrow_mut();
    match effect {
        Effect::Publish { id, .. } => {
            if wishes.publishes.push(id).is_err() {
                fail("too many publishes");
            }
        }
        Effect::Fetch { job, url, .. } => {
            let file = match url {
                _ if url.ends_with(".asc") => File::Signature,
                _ if url.ends_with(".json") => File::Manifest,
                _ => File::Image,
            };
            wishes.fetch = Some((job, file));
        }
        Effect::Reboot => wishes.reboots = true,
        Effect::Subscribe | Effect::Stop(_) | Effect::Tell(_) => {}
    }
}

fn step(gateway: &mut Core, event: Event<'_>, wishes: &RefCell<Wishes>) {
    let out = &mut |effect: Effect<'_>| wish(wishes, effect);
    if gateway.step(event, now(), out).is_err() {
        fail("the flash failed");
    }
}

/// Acknowledges, serves and ticks until the gateway reboots or rests.
fn settle(gateway: &mut Core, server: &Server, wishes: &RefCell<Wishes>) {
    loop {
        let id = {
            let publishes = &mut wishes.borrow_mut().publishes;
            (!publishes.is_empty()).then(|| publishes.remove(0))
        };
        if let Some(id) = id {
            step(gateway, Event::Acked(id), wishes);
            continue;
        }
        let fetch = wishes.borrow_mut().fetch.take();
        if let Some((job, file)) = fetch {
            let body = server.file(file);
            let answer = Answer {
                status: 200,
                total: Some(body.len() as u64),
                etag: Some("\"core\""),
                ..Answer::default()
            };
            step(gateway, Event::Answer { job, answer }, wishes);
            for bytes in body.chunks(PIECE_BYTES) {
                step(gateway, Event::Chunk { job, bytes }, wishes);
            }
            step(gateway, Event::FetchEnded { job, reason: None }, wishes);
        } else if gateway.wake_ms() == Some(0) {
            step(gateway, Event::Tick, wishes);
        } else {
            return;
        }
    }
}

fn fail(why: &str) -> ! {
    say!("core: failed: {why}");
    machine::fail(1)
}

#[unsafe(no_mangle)]
extern "C" fn airlift_main() -> ! {
    let server = Server::load();
    let gateway = GATEWAY.take();
    let wishes = RefCell::new(Wishes::default());
    boot(gateway, 0, &server, &wishes);
    let Some(running) = gateway else {
        fail("no gateway")
    };
    step(running, Event::Connected, &wishes);
    step(running, Event::Message(server.command), &wishes);
    settle(running, &server, &wishes);
    if !wishes.borrow().reboots {
        fail("the update did not come to its reboot");
    }
    *wishes.borrow_mut() = Wishes::default();
    boot(gateway, 1, &server, &wishes);
    let Some(running) = gateway else {
        fail("no gateway")
    };
    step(running, Event::Connected, &wishes);
    settle(running, &server, &wishes);
    if running.saved().trial.is_some() {
        fail("the new version is not confirmed");
    }
    say!("core: updated {} bytes", server.image.len());
    say!("core: state {} bytes", size_of::<Core>());
    say!("core: stack {} bytes", start::stack_bytes_max());
    machine::power_off()
}
