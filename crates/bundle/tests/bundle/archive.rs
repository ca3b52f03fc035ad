//! What is written is read; what is cut or changed on its way is not.

use std::io::{self, Read};

use airlift_bundle::{Archive, Error, Kind, Manifest, ReadError, Refusal, archive};
use proptest::prelude::*;

use crate::fuzz::samples::{self, Bundle, bundle, bundle_of, noise, tar, zstd};

fn refusal<T>(read: Result<T, ReadError>) -> Result<T, Refusal> {
    read.map_err(|error| {
        error
            .refusal()
            .unwrap_or_else(|| panic!("the input does not fail: {error}"))
    })
}

/// Gives one byte at a time.
struct Drip<'b>(&'b [u8]);

impl Read for Drip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(1);
        self.0.read(&mut buffer[..count])
    }
}

proptest! {
    #[test]
    fn any_bundle_comes_back_equal(
        kind in proptest::sample::select(Kind::ALL.to_vec()),
        sizes in proptest::array::uniform2(1usize..70_000),
        seed in any::<u64>(),
        signature in proptest::collection::vec(any::<u8>(), 0..4096),
        chunk in 1usize..5000,
    ) {
        let parts = kind.parts().iter().zip(sizes).map(|(_, size)| noise(seed, size));
        let bundle = Bundle { signature, ..bundle_of(samples::manifest(kind), parts.collect()) };
        let bytes = bundle.write();
        prop_assert_eq!(refusal(Bundle::read(bytes.as_slice(), chunk)), Ok(bundle.clone()));
        prop_assert_eq!(bundle.write(), bytes, "the same content, other bytes");
    }
}

#[test]
fn the_input_may_come_byte_by_byte() {
    let bundle = bundle(Kind::FirmwareAndWeb);
    let bytes = bundle.write();
    assert_eq!(refusal(Bundle::read(Drip(&bytes), 1)), Ok(bundle));
}

#[test]
fn manifest_and_signature_are_here_before_a_byte_of_a_part_is_read() {
    let mut bundle = bundle(Kind::Firmware);
    bundle.parts[0] = noise(3, 1 << 20);
    let bundle = bundle_of(bundle.manifest, bundle.parts);
    let bytes = bundle.write();
    let mut input = bytes.as_slice();
    let archive = Archive::open(&mut input).expect("a bundle");
    assert_eq!(archive.manifest_bytes(), bundle.manifest.to_json());
    assert_eq!(archive.signature(), bundle.signature);
    drop(archive);
    let taken = bytes.len() - input.len();
    assert!(taken <= 256 << 10, "{taken} of {} bytes", bytes.len());
}

#[test]
fn an_unsigned_bundle_has_no_signature_or_an_empty_one() {
    let unsigned = Bundle {
        signature: Vec::new(),
        ..bundle(Kind::Web)
    };
    let without = unsigned.write();
    let with_empty = zstd(&tar(&unsigned.members()));
    for bytes in [without, with_empty] {
        assert_eq!(
            refusal(Bundle::read(bytes.as_slice(), 4096)),
            Ok(unsigned.clone())
        );
    }
}

#[test]
fn a_bundle_that_ends_early_is_truncated_wherever_it_ends() {
    let bytes = bundle(Kind::FirmwareAndWeb).write();
    for end in 0..bytes.len() {
        let read = refusal(Bundle::read(&bytes[..end], 300));
        assert_eq!(
            read,
            Err(Refusal::Truncated),
            "{end} of {} bytes",
            bytes.len()
        );
    }
}

#[test]
fn an_archive_that_ends_early_in_a_whole_frame_is_truncated_wherever_it_ends() {
    let tar = tar(&bundle(Kind::FirmwareAndWeb).members());
    for end in 0..tar.len() {
        let read = refusal(Bundle::read(zstd(&tar[..end]).as_slice(), 300));
        assert_eq!(
            read,
            Err(Refusal::Truncated),
            "{end} of {} bytes",
            tar.len()
        );
    }
}

#[test]
fn no_changed_byte_makes_another_bundle() {
    let bundle = bundle(Kind::FirmwareAndWeb);
    let bytes = bundle.write();
    let mut accepted = 0;
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            if let Ok(read) = refusal(Bundle::read(changed.as_slice(), 300)) {
                assert_eq!(read, bundle, "bit {bit} of byte {at}");
                accepted += 1;
            }
        }
    }
    // A few bits of a zstd frame mean nothing.
    assert!(
        accepted <= 32,
        "{accepted} changes passed: what do they change?"
    );
}

#[test]
fn no_changed_byte_of_the_archive_changes_a_part() {
    let bundle = bundle(Kind::FirmwareAndWeb);
    let tar = tar(&bundle.members());
    for at in 0..tar.len() {
        for change in [1, 0x80, 0xff] {
            let mut changed = tar.clone();
            changed[at] ^= change;
            let Ok(read) = refusal(Bundle::read(zstd(&changed).as_slice(), 300)) else {
                continue;
            };
            // The signature is not compared here: whoever checks it sees its change.
            assert_eq!(read.parts, bundle.parts, "byte {at}");
            assert_eq!(read.manifest.parts, bundle.manifest.parts, "byte {at}");
            let signature = tar
                .windows(10)
                .position(|at| at == b"-----BEGIN")
                .expect("it");
            let manifest = 512..512 + bundle.manifest.to_json().len();
            let may_change = manifest.contains(&at)
                || (signature..signature + bundle.signature.len()).contains(&at);
            assert!(may_change || read == bundle, "byte {at} passed");
        }
    }
}

#[test]
fn an_input_that_fails_is_no_refusal_wherever_it_fails() {
    let bytes = bundle(Kind::FirmwareAndWeb).write();
    for end in 0..=bytes.len() {
        let read = Bundle::read(bytes[..end].chain(Broken), 300);
        let Err(ReadError::Io(error)) = read else {
            panic!("after {end} bytes: {read:?}");
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

#[test]
fn an_interrupted_read_is_tried_again() {
    struct Interrupted<'b>(&'b [u8], bool);
    impl Read for Interrupted<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            match self.1 {
                true => Err(io::ErrorKind::Interrupted.into()),
                false => Drip(self.0)
                    .read(buffer)
                    .inspect(|&count| self.0 = &self.0[count..]),
            }
        }
    }
    let bundle = bundle(Kind::Web);
    let bytes = bundle.write();
    assert_eq!(
        refusal(Bundle::read(Interrupted(&bytes, false), 300)),
        Ok(bundle)
    );
}

#[test]
fn a_part_that_nobody_reads_is_checked_all_the_same() {
    let mut bundle = bundle(Kind::FirmwareAndWeb);
    let count = |bytes: &[u8]| {
        let mut parts = Archive::open(bytes)?.into_parts()?;
        let mut count = 0;
        while parts.next_part()?.is_some() {
            count += 1;
        }
        Ok(count)
    };
    assert_eq!(refusal(count(&bundle.write())), Ok(2));
    bundle.parts[0][1] ^= 1;
    let altered = zstd(&tar(&bundle.members()));
    assert_eq!(refusal(count(&altered)), Err(Refusal::PartMismatch));
}

#[test]
fn after_an_error_there_is_no_going_on() {
    let mut bundle = bundle(Kind::Web);
    bundle.parts[0][1] ^= 1;
    let altered = zstd(&tar(&bundle.members()));
    let mut parts = Archive::open(altered.as_slice())
        .expect("a bundle")
        .into_parts()
        .expect("parts");
    let mut part = parts.next_part().expect("a part").expect("a part");
    let mut buffer = [0; 4096];
    let error = loop {
        if let Err(error) = part.read_chunk(&mut buffer) {
            break error;
        }
    };
    assert_eq!(error.refusal(), Some(Refusal::PartMismatch));
    assert!(part.read_chunk(&mut buffer).is_err());
    assert!(parts.next_part().is_err());
    assert!(parts.next_part().is_err());
}

#[test]
fn no_room_for_bytes_is_not_taken_for_their_end() {
    let bytes = bundle(Kind::Web).write();
    let mut parts = Archive::open(bytes.as_slice())
        .expect("a bundle")
        .into_parts()
        .expect("parts");
    let mut part = parts.next_part().expect("a part").expect("a part");
    assert!(part.read_chunk(&mut []).is_err());
}

/// A bundle's writer with these parts' bytes.
fn written(manifest: &Manifest, signature: &[u8], part: &[u8]) -> Result<usize, Refusal> {
    archive::write(Vec::new(), manifest, signature, &mut |_| Ok(Box::new(part)))
        .map(|bytes| bytes.len())
        .map_err(|error| {
            let inner = error
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<Error>());
            inner.expect("a refusal").refusal
        })
}

#[test]
fn nothing_is_written_that_no_reader_takes() {
    let sound = bundle(Kind::Web);
    let part = sound.parts[0].as_slice();
    let (manifest, signature) = (&sound.manifest, sound.signature.as_slice());
    assert!(written(manifest, signature, part).is_ok());
    assert_eq!(
        written(manifest, &[b's'; 4097], part),
        Err(Refusal::TooLarge)
    );
    assert_eq!(
        written(manifest, signature, &part[1..]),
        Err(Refusal::PartMismatch)
    );
    let longer = [part, b"x"].concat();
    assert_eq!(
        written(manifest, signature, &longer),
        Err(Refusal::PartMismatch)
    );
    let other = noise(9, part.len());
    assert_eq!(
        written(manifest, signature, &other),
        Err(Refusal::PartMismatch)
    );
    let unknown = Manifest {
        kind: "all".into(),
        ..manifest.clone()
    };
    assert_eq!(
        written(&unknown, signature, part),
        Err(Refusal::InvalidManifest)
    );
}

/// The most memory this process has had so far, bytes. Each test is a process of its own.
fn memory_peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("its peak");
    let kib: usize = line
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number");
    kib << 10
}

#[test]
fn a_bundle_of_200_mib_is_read_in_16_mib_of_memory() {
    const PART_BYTES: u64 = 200 << 20;
    const MEMORY_BYTES_MAX: usize = 16 << 20;
    let zeros = || Box::new(io::repeat(0).take(PART_BYTES));
    let mut manifest = samples::manifest(Kind::Firmware);
    manifest.target = "raw".into();
    manifest.parts[0].size = PART_BYTES;
    // Of that many zeros.
    manifest.parts[0].sha256 = SHA256_OF_200_MIB.into();
    manifest.parts[0].md5 = MD5_OF_200_MIB.into();
    let bytes = archive::write(Vec::new(), &manifest, b"", &mut |_| Ok(zeros())).expect("a bundle");
    let before = memory_peak();
    let mut parts = Archive::open(bytes.as_slice())
        .expect("a bundle")
        .into_parts()
        .expect("parts");
    let mut read = 0;
    let mut buffer = vec![0; 64 << 10];
    while let Some(mut part) = parts.next_part().expect("a part") {
        loop {
            match part.read_chunk(&mut buffer).expect("bytes") {
                0 => break,
                count => read += count as u64,
            }
        }
    }
    assert_eq!(read, PART_BYTES);
    let grown = memory_peak() - before;
    assert!(grown <= MEMORY_BYTES_MAX, "{grown} bytes");
}

const SHA256_OF_200_MIB: &str = "72abf2ca8f36943ebe2e49ca3a51d409ca5f0bfcffab6c9d25643c17c32889da";
const MD5_OF_200_MIB: &str = "3566de3a97906edb98d004d6b947ae9b";
