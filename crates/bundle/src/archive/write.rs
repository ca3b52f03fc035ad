use std::io::{self, Read, Write};

use zstd::Encoder;

use super::{
    digests::Digests,
    ustar::{self, BLOCK_BYTES},
};
use crate::{
    Error, MANIFEST_NAME, Manifest, Part, PartName, Refusal, SIGNATURE_BYTES_MAX, SIGNATURE_NAME,
};

/// zstd's level: higher ones save little of a firmware and take long for a large one. Its window is
/// below the reader's limit.
const LEVEL: i32 = 9;

/// Writes a bundle, the same bytes for the same content; without a signature if it is empty. Each
/// part is asked for when its turn comes.
///
/// # Errors
/// Those of `out` and `parts`, and [`Error`] in an [`io::Error`] for a manifest or signature that no
/// reader takes, or a part that is not the manifest's.
pub fn write<'a, W: Write>(
    out: W,
    manifest: &Manifest,
    signature: &[u8],
    parts: &mut dyn FnMut(PartName) -> io::Result<Box<dyn Read + 'a>>,
) -> io::Result<W> {
    manifest.check().map_err(invalid)?;
    if signature.len() > SIGNATURE_BYTES_MAX {
        return Err(invalid(Error::new(
            Refusal::TooLarge,
            format!(
                "the signatures have {} bytes, {SIGNATURE_BYTES_MAX} are the limit: sign with fewer keys",
                signature.len()
            ),
        )));
    }
    let json = manifest.to_json();
    let mut texts = vec![(MANIFEST_NAME, json.as_slice())];
    if !signature.is_empty() {
        texts.push((SIGNATURE_NAME, signature));
    }
    let sizes = texts.iter().map(|(_, bytes)| bytes.len() as u64);
    let sizes = sizes.chain(manifest.parts.iter().map(|part| part.size));
    let members: u64 = sizes
        .map(|size| BLOCK_BYTES as u64 + size + ustar::padding_bytes(size) as u64)
        .sum();
    let end = [0; 2 * BLOCK_BYTES];

    let mut encoder = Encoder::new(out, LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(members + end.len() as u64))?;
    for (name, bytes) in texts {
        let size = bytes.len() as u64;
        encoder.write_all(&ustar::compose(name, size, manifest.created_at))?;
        encoder.write_all(bytes)?;
        pad(&mut encoder, size)?;
    }
    for (part, &name) in manifest.parts.iter().zip(manifest.kind().parts()) {
        encoder.write_all(&ustar::compose(&part.name, part.size, manifest.created_at))?;
        copy(&mut parts(name)?, part, &mut encoder)?;
        pad(&mut encoder, part.size)?;
    }
    encoder.write_all(&end)?;
    encoder.finish()
}

fn pad(out: &mut impl Write, size: u64) -> io::Result<()> {
    out.write_all(&[0; BLOCK_BYTES][..ustar::padding_bytes(size)])
}

fn copy(from: &mut dyn Read, part: &Part, out: &mut impl Write) -> io::Result<()> {
    let mut digests = Digests::default();
    let mut buffer = [0; 16 << 10];
    let mut copied = 0;
    // One byte more than announced, so that a longer part is seen.
    let mut from = from.take(part.size + 1);
    loop {
        let count = match from.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            count => count?,
        };
        copied += count as u64;
        if copied > part.size || (count == 0 && copied < part.size) {
            return Err(invalid(Error::new(
                Refusal::PartMismatch,
                format!(
                    "the part {} has not the {} bytes of the manifest",
                    part.name, part.size
                ),
            )));
        }
        if count == 0 {
            return digests.check(part).map_err(invalid);
        }
        digests.update(&buffer[..count]);
        out.write_all(&buffer[..count])?;
    }
}

fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}
