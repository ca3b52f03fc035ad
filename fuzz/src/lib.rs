//! What the fuzz targets do with their bytes. `crates/bundle/tests/bundle/fuzzed.rs` runs the same with
//! seeded changes, on stable Rust and in seconds.
//!
//! To add a target: a module with `run` and `seeds`, its line in [`targets`], a file in
//! `fuzz_targets` and its entry in `Cargo.toml`.

pub mod bundle_reader;
pub mod manifest;
pub mod openpgp;
pub mod samples;

/// A target's name, what it does with bytes, and bytes to begin with.
pub type Target = (&'static str, fn(&[u8]), Vec<Vec<u8>>);

pub fn targets() -> Vec<Target> {
    vec![
        ("bundle_reader", bundle_reader::run, bundle_reader::seeds()),
        ("manifest", manifest::run, manifest::seeds()),
        ("openpgp", openpgp::run, openpgp::seeds()),
    ]
}

/// Most edits of [`edit`].
const EDITS_MAX: usize = 16;

/// `sound` with the changes that `edits` spells: where (two bytes), how many bytes go, how many come
/// in their place, and those. So a fuzzer gets behind checks that it would never meet by chance.
pub fn edit(sound: &[u8], mut edits: &[u8]) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    for _ in 0..EDITS_MAX {
        let [high, low, gone, come, rest @ ..] = edits else {
            break;
        };
        let begin = usize::from(u16::from_be_bytes([*high, *low])) % (bytes.len() + 1);
        let end = bytes.len().min(begin + usize::from(*gone));
        let (new, rest) = rest.split_at(rest.len().min(usize::from(*come)));
        bytes.splice(begin..end, new.iter().copied());
        edits = rest;
    }
    bytes
}
