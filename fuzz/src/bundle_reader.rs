//! The archive's reader: whatever comes, it says the same of it however it is cut, and what it
//! accepts is what its manifest says.

use std::io::{self, Read};

use airlift_bundle::{Kind, Manifest, ReadError, Refusal};

use super::{
    edit,
    samples::{self, Bundle, digests, seal, tar, zstd},
};

/// The first byte says what the others are.
pub fn run(data: &[u8]) {
    let [form, rest @ ..] = data else { return };
    let bytes = match form % 4 {
        0 => rest.to_vec(),
        1 => zstd(rest),
        2 => zstd(&sealed(rest.to_vec())),
        _ => zstd(&sealed(edit(&sound(*form), rest))),
    };
    check(&bytes);
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for kind in Kind::ALL {
        let bundle = samples::bundle(kind);
        let tar = tar(&bundle.members());
        seeds.push([&[0], bundle.write().as_slice()].concat());
        seeds.push([&[1], tar.as_slice()].concat());
        seeds.push([&[2], tar.as_slice()].concat());
    }
    // The second member's name, and nothing.
    seeds.push(b"\x03\x04\x00\x01\x01n".to_vec());
    seeds.push(b"\x07".to_vec());
    seeds
}

/// The archive that is changed.
fn sound(form: u8) -> Vec<u8> {
    let kind = Kind::ALL[usize::from(form / 4) % Kind::ALL.len()];
    tar(&samples::bundle(kind).members())
}

/// With right checksums wherever a header may be.
fn sealed(mut tar: Vec<u8>) -> Vec<u8> {
    let blocks = tar.chunks_exact_mut(512);
    blocks
        .filter(|block| block[257..].starts_with(b"ustar"))
        .for_each(seal);
    tar
}

/// Gives a few bytes at a time, never as many as asked for.
struct Drops<'b>(&'b [u8]);

impl Read for Drops<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (self.0.len() % 7 + 1).min(self.0.len()).min(buffer.len());
        self.0.read(&mut buffer[..count])
    }
}

fn check(bytes: &[u8]) {
    let read = outcome(Bundle::read(bytes, 4096));
    assert_eq!(read, outcome(Bundle::read(Drops(bytes), 11)));
    let Ok(bundle) = read else { return };
    let manifest = Manifest::parse(&bundle.manifest.to_json());
    assert_eq!(manifest.as_ref(), Ok(&bundle.manifest));
    assert_eq!(bundle.parts.len(), bundle.manifest.parts.len());
    for (part, bytes) in bundle.manifest.parts.iter().zip(&bundle.parts) {
        assert_eq!(part.size, bytes.len() as u64);
        assert_eq!((part.sha256.clone(), part.md5.clone()), digests(bytes));
    }
    assert_eq!(
        outcome(Bundle::read(bundle.write().as_slice(), 4096)),
        Ok(bundle)
    );
}

fn outcome(read: Result<Bundle, ReadError>) -> Result<Bundle, Refusal> {
    read.map_err(|error| match error {
        ReadError::Refused(error) => error.refusal,
        ReadError::Io(error) => panic!("memory does not fail: {error}"),
    })
}
