//! Headers of tar archives: the two forms in which stock tar writes a plain file with a short name.

use crate::{Error, Refusal, field};

pub(super) const BLOCK_BYTES: usize = 512;
/// Zero blocks at the end: two, and as many as fill a record of 20 blocks, as stock tar does.
pub(super) const END_BLOCKS_MAX: usize = 21;

// Where a field begins and ends.
const NAME: (usize, usize) = (0, 100);
const MODE: (usize, usize) = (100, 108);
const UID: (usize, usize) = (108, 116);
const GID: (usize, usize) = (116, 124);
const SIZE: (usize, usize) = (124, 136);
const MTIME: (usize, usize) = (136, 148);
const CHECKSUM: (usize, usize) = (148, 156);
const TYPE: usize = 156;
const LINK: (usize, usize) = (157, 257);
const MAGIC: (usize, usize) = (257, 265);
/// Of ustar: folders before the name. Of GNU: more times, and where in a sparse file the data lies.
const PREFIX: (usize, usize) = (345, 512);

const USTAR: &[u8; 8] = b"ustar\x0000";
const GNU: &[u8; 8] = b"ustar  \x00";
const REGULAR_FILE: u8 = b'0';

/// Greatest number in a field of 12 bytes.
const NUMBER_MAX: u64 = (1 << 33) - 1;

/// A file in the archive. Its mode, owner and time are nobody's business here.
#[derive(Default)]
pub(super) struct Member {
    /// Plain: no path.
    pub(super) name: String,
    /// Bytes.
    pub(super) size: u64,
}

/// Reads a header; `None` if it is a zero block.
pub(super) fn parse(block: &[u8; BLOCK_BYTES]) -> Result<Option<Member>, Error> {
    if block == &[0; BLOCK_BYTES] {
        return Ok(None);
    }
    let at = |(begin, end): (usize, usize)| &block[begin..end];
    let is_tar = number(&at(CHECKSUM)[..7]) == Some(checksum(block)) && at(CHECKSUM)[7] == b' ';
    if !is_tar || (at(MAGIC) != USTAR && at(MAGIC) != GNU) {
        return Err(malformed("it holds no tar archive, or a garbled one"));
    }
    let what = match block[TYPE] {
        REGULAR_FILE => None,
        b'1' => Some("a hard link"),
        b'2' => Some("a symbolic link"),
        b'5' => Some("a folder"),
        b'x' | b'g' => {
            return Err(malformed(
                "it has PAX headers: pack it with `tar --format=ustar`",
            ));
        }
        b'L' | b'K' => return Err(malformed("it has GNU headers for long names")),
        _ => Some("no plain file"),
    };
    let length = at(NAME)
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(NAME.1);
    let (name, behind) = at(NAME).split_at(length);
    let shown = String::from_utf8_lossy(name).into_owned();
    let is_whole = behind.iter().chain(at(PREFIX)).all(|&byte| byte == 0);
    if !field::is_plain(name) || !is_whole {
        return Err(Error::new(
            Refusal::UnsafePath,
            format!("the bundle's member {shown:?} has no plain name of a bundle's file"),
        ));
    }
    if what.is_some() || at(LINK).iter().any(|&byte| byte != 0) {
        let what = what.unwrap_or("a link");
        return Err(malformed(&format!("its member {shown} is {what}")));
    }
    let size = number(at(SIZE))
        .ok_or_else(|| malformed(&format!("the size of its member {shown} is no number")))?;
    Ok(Some(Member { name: shown, size }))
}

/// Octal digits with a NUL or a space behind them: no sign, no other base.
fn number(field: &[u8]) -> Option<u64> {
    let (end, digits) = field.split_last()?;
    let is_number =
        matches!(end, 0 | b' ') && digits.iter().all(|digit| (b'0'..b'8').contains(digit));
    is_number.then(|| {
        let values = digits.iter().map(|digit| u64::from(digit - b'0'));
        values.fold(0, |number, value| number << 3 | value)
    })
}

/// The sum of the header's bytes, its own field taken as spaces.
fn checksum(block: &[u8; BLOCK_BYTES]) -> u64 {
    let (begin, end) = CHECKSUM;
    let others = block[..begin].iter().chain(&block[end..]);
    others.map(|&byte| u64::from(byte)).sum::<u64>() + (end - begin) as u64 * u64::from(b' ')
}

/// Zero bytes behind a file of this size.
pub(super) fn padding_bytes(size: u64) -> usize {
    let block = BLOCK_BYTES as u64;
    (size.next_multiple_of(block) - size) as usize
}

/// The header of a file that belongs to root and that all may read, changed at `mtime`, Unix seconds.
pub(super) fn compose(name: &str, size: u64, mtime: i64) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    let mut put = |(begin, _): (usize, usize), text: &str| {
        block[begin..begin + text.len()].copy_from_slice(text.as_bytes());
    };
    put(NAME, name);
    put(MODE, "0000644");
    put(UID, "0000000");
    put(GID, "0000000");
    put(SIZE, &format!("{:011o}", size.min(NUMBER_MAX)));
    // Later than the year 2242: as late as the field can tell.
    put(
        MTIME,
        &format!("{:011o}", mtime.unsigned_abs().min(NUMBER_MAX)),
    );
    block[TYPE] = REGULAR_FILE;
    block[MAGIC.0..MAGIC.1].copy_from_slice(USTAR);
    let sum = format!("{:06o}\0 ", checksum(&block));
    block[CHECKSUM.0..CHECKSUM.1].copy_from_slice(sum.as_bytes());
    block
}

fn malformed(what: &str) -> Error {
    Error::new(
        Refusal::Malformed,
        format!("this is no bundle as bundles are: {what}"),
    )
}
