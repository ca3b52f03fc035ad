use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};

use super::{
    device::{Device, content},
    server::{Body, Server},
};

/// Of the package, unpacked.
const BYTES: u64 = 500 << 20;
/// Most memory that the agent may take for it, KiB.
const MEMORY_MAX: u64 = 20 << 10;
/// Of that, what is its own and not the program itself. Pages of the program count as its memory too,
/// and unoptimised it is so large that it takes more than the work.
const OWN_MEMORY_MAX: u64 = 12 << 10;

/// Half noise, half letters: it packs to somewhat more than half.
struct Mixed {
    state: u64,
    left: u64,
}

impl Read for Mixed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        for word in buffer[..count].chunks_mut(8) {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            let noise = if self.state & 1 == 0 {
                self.state
            } else {
                u64::from_le_bytes(*b"airlift ")
            };
            word.copy_from_slice(&noise.to_le_bytes()[..word.len()]);
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// A tar archive in zstd with the largest window that is taken.
fn pack(path: &Path) -> String {
    let mut encoder = zstd::Encoder::new(BufWriter::new(File::create(path).unwrap()), 1).unwrap();
    encoder.window_log(23).unwrap();
    let mut archive = tar::Builder::new(encoder);
    let mut header = tar::Header::new_gnu();
    header.set_size(BYTES);
    header.set_mode(0o644);
    let noise = Mixed {
        state: 88_172_645_463_325_252,
        left: BYTES,
    };
    archive.append_data(&mut header, "data", noise).unwrap();
    let mut file = archive.into_inner().unwrap().finish().unwrap();
    file.flush().unwrap();
    let mut digest = Sha256::new();
    let mut file = BufReader::new(File::open(path).unwrap());
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block).unwrap() {
            0 => return hex::encode(digest.finalize()),
            count => digest.update(&block[..count]),
        }
    }
}

/// A line of a process's memory, KiB; none once it has ended.
fn memory(process: u32, what: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(what))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn half_a_gigabyte_is_installed_in_twenty_megabytes_of_memory() {
    let server = Server::start();
    let device = Device::new(&server, &["app"]);
    let file = device.path().join("package");
    let sha256 = pack(&file);
    let packed = fs::metadata(&file).unwrap().len();
    assert!(packed > BYTES / 3, "{packed} bytes: packed too well");
    server.push_body(content("app", "1.0.0"), &sha256, Body::OnDisk(file));

    let begun = Instant::now();
    let mut agent = device.agent(&["--once"]);
    let agent = agent.stdout(Stdio::inherit()).stderr(Stdio::inherit());
    let mut agent = agent.spawn().unwrap();
    let (mut most, mut own) = (0, 0);
    let status = loop {
        most = most.max(memory(agent.id(), "VmHWM:").unwrap_or(0));
        own = own.max(memory(agent.id(), "RssAnon:").unwrap_or(0));
        if let Some(status) = agent.try_wait().unwrap() {
            break status;
        }
        thread::sleep(Duration::from_millis(10));
    };
    println!(
        "{} MiB, packed {} MiB, in {:.1} s: at most {most} KiB of memory, {own} KiB of it the agent's own",
        BYTES >> 20,
        packed >> 20,
        begun.elapsed().as_secs_f64()
    );
    assert!(status.success());
    let installed = fs::metadata(device.local("app").join("data")).unwrap();
    assert_eq!(installed.len(), BYTES);
    assert!(own > 1000 && own < OWN_MEMORY_MAX, "{own} KiB");
    if !cfg!(debug_assertions) {
        assert!(most < MEMORY_MAX, "{most} KiB");
    }
}
