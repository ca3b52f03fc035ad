//! The archive: tar under zstd, read as a stream in constant memory, and no other way of writing one
//! down than ours and stock tar's.
//!
//! One zstd frame; in it `manifest.json`, `manifest.json.asc`, and the parts of the manifest's kind
//! in their order, all of them plain files; then two or more zero blocks, as many as stock tar puts
//! there; then nothing. A size is compared with its limit, and a part's with the manifest, before a
//! byte of it is read.

mod digests;
mod inflate;
mod parts;
mod ustar;
mod write;

use std::io::Read;

use self::{
    inflate::Inflate,
    ustar::{BLOCK_BYTES, Member},
};
pub use self::{
    parts::{PartReader, Parts},
    write::write,
};
use crate::{
    MANIFEST_BYTES_MAX, MANIFEST_NAME, Manifest, PartName, ReadError, Refusal, SIGNATURE_BYTES_MAX,
    SIGNATURE_NAME,
};

/// A bundle of which manifest and signature are here, to be checked before anything else is read.
pub struct Archive<R> {
    tar: Tar<R>,
    head: Head,
}

/// What comes before the parts.
struct Head {
    manifest: Vec<u8>,
    signature: Vec<u8>,
    /// The header behind them, or the archive's end.
    next: Option<Member>,
}

impl<R: Read> Archive<R> {
    /// Reads up to the first part's header. The manifest is not looked into.
    ///
    /// # Errors
    /// [`ReadError::Io`] if `input` fails; all else is a refusal.
    pub fn open(input: R) -> Result<Self, ReadError> {
        let mut tar = Tar(Inflate::new(input)?);
        let head = tar.head()?;
        Ok(Self { tar, head })
    }

    pub fn manifest_bytes(&self) -> &[u8] {
        &self.head.manifest
    }

    /// The file of signatures; empty if the bundle is unsigned.
    pub fn signature(&self) -> &[u8] {
        &self.head.signature
    }

    /// Goes on to the parts, which are compared with the manifest: whoever has to trust it checks
    /// its signature first.
    ///
    /// # Errors
    /// Those of [`Manifest::parse`].
    pub fn into_parts(self) -> Result<Parts<R>, ReadError> {
        let manifest = Manifest::parse(&self.head.manifest)?;
        Ok(Parts::new(self.tar, manifest, self.head.next))
    }
}

/// Of a member that has no place where it stands, whatever the manifest says.
fn unexpected(member: &Member) -> ReadError {
    let is_ours = [MANIFEST_NAME, SIGNATURE_NAME].contains(&member.name.as_str())
        || PartName::parse(&member.name).is_some();
    let message = match is_ours {
        true => format!(
            "the bundle's member {} is there twice or out of order",
            member.name
        ),
        false => format!(
            "the bundle has a member that no bundle has: {}",
            member.name
        ),
    };
    ReadError::refused(Refusal::Malformed, message)
}

/// The tar archive in the frame.
struct Tar<R>(Inflate<R>);

impl<R: Read> Tar<R> {
    fn head(&mut self) -> Result<Head, ReadError> {
        let first = self.header()?;
        if first
            .as_ref()
            .is_none_or(|member| member.name != MANIFEST_NAME)
        {
            let first = first.as_ref().map_or("its end", |member| &member.name);
            return Err(ReadError::refused(
                Refusal::Malformed,
                format!("the bundle does not begin with {MANIFEST_NAME}, but with {first}"),
            ));
        }
        let manifest = self.text(first, MANIFEST_BYTES_MAX)?;
        let mut next = self.header()?;
        let mut signature = Vec::new();
        if next
            .as_ref()
            .is_some_and(|member| member.name == SIGNATURE_NAME)
        {
            signature = self.text(next, SIGNATURE_BYTES_MAX)?;
            next = self.header()?;
        }
        match &next {
            Some(member) if PartName::parse(&member.name).is_none() => Err(unexpected(member)),
            _ => Ok(Head {
                manifest,
                signature,
                next,
            }),
        }
    }

    /// `None` at the first block of the archive's end.
    fn header(&mut self) -> Result<Option<Member>, ReadError> {
        let mut block = [0; BLOCK_BYTES];
        self.0.fill(&mut block)?;
        Ok(ustar::parse(&block)?)
    }

    /// A member that is kept in memory.
    fn text(&mut self, member: Option<Member>, bytes_max: usize) -> Result<Vec<u8>, ReadError> {
        let Member { name, size } = member.unwrap_or_default();
        let length = usize::try_from(size)
            .ok()
            .filter(|&length| length <= bytes_max);
        let Some(length) = length else {
            return Err(ReadError::refused(
                Refusal::TooLarge,
                format!("the bundle's {name} has {size} bytes, {bytes_max} are the limit"),
            ));
        };
        let mut bytes = vec![0; length];
        self.0.fill(&mut bytes)?;
        self.padding(size)?;
        Ok(bytes)
    }

    /// What is between a file of this size and the next header.
    fn padding(&mut self, size: u64) -> Result<(), ReadError> {
        let mut padding = [0; BLOCK_BYTES];
        let padding = &mut padding[..ustar::padding_bytes(size)];
        self.0.fill(padding)?;
        match padding.iter().all(|&byte| byte == 0) {
            true => Ok(()),
            false => Err(ReadError::refused(
                Refusal::Malformed,
                "the bundle hides bytes behind a member: build it anew",
            )),
        }
    }

    /// Whether nothing but the rest of the end follows the end's first block.
    fn end(&mut self) -> Result<(), ReadError> {
        let mut block = [0; BLOCK_BYTES];
        self.0.fill(&mut block)?;
        if block != [0; BLOCK_BYTES] {
            return Err(ReadError::refused(
                Refusal::Malformed,
                "the bundle's archive has one zero block where its end has two",
            ));
        }
        for _ in 0..=ustar::END_BLOCKS_MAX - 2 {
            if !self.0.fill_or_end(&mut block)? {
                return self.0.finish();
            }
            if block != [0; BLOCK_BYTES] {
                break;
            }
        }
        Err(ReadError::refused(
            Refusal::TooLarge,
            "the bundle's archive goes on behind its end: build it anew",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{ustar::END_BLOCKS_MAX, *};
    use crate::{Kind, Part, SCHEMA};

    const SIGNATURE: &[u8] = b"none";
    const PART_BYTES: u64 = 64 << 10;

    fn member(name: &str, size: u64, bytes: &[u8]) -> Vec<u8> {
        let mut member = [&ustar::compose(name, size, 1)[..], bytes].concat();
        member.resize(member.len().next_multiple_of(BLOCK_BYTES), 0);
        member
    }

    /// A manifest of one part that is all zeros.
    fn manifest() -> Vec<u8> {
        let name = PartName::Firmware;
        let part = Part {
            name: name.file_name().into(),
            partition: name.partition().into(),
            size: PART_BYTES,
            sha256: "de2f256064a0af797747c2b97505dc0b9f3df0de4f489eac731c23ae9ca9cc31".into(),
            md5: "fcd6bcb56c1689fcef28b57c22475bad".into(),
        };
        let manifest = Manifest {
            schema: SCHEMA,
            device_type: "gateway".into(),
            version: "1.0.0".into(),
            target: "esp32-wroom".into(),
            kind: Kind::Firmware.as_str().into(),
            release_counter: 1,
            allow_rollback: false,
            min_version: None,
            created_at: 1,
            expires_at: None,
            parts: vec![part],
            changelog: String::new(),
        };
        manifest.to_json()
    }

    /// A frame of `begin` and a GiB of zeros behind it (RFC 8878, 3.1.1): 40 KiB.
    fn bomb(begin: &[u8]) -> Vec<u8> {
        let raw_block = (begin.len() as u32) << 3;
        let mut frame = [
            &[0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x58],
            &raw_block.to_le_bytes()[..3],
        ]
        .concat();
        frame.extend_from_slice(begin);
        for _ in 0..8192 {
            // 128 KiB of the same byte.
            frame.extend_from_slice(&[0x02, 0x00, 0x10, 0x00]);
        }
        frame
    }

    /// How many bytes come out of a bomb before it is refused, and by which word.
    fn read(bomb: &[u8]) -> (u64, Refusal) {
        let mut tar = Tar(Inflate::new(bomb).expect("memory"));
        let head = match tar.head() {
            Ok(head) => head,
            Err(error) => return (tar.0.given(), error.refusal().expect("a refusal")),
        };
        let manifest = Manifest::parse(&head.manifest).expect("a manifest");
        let mut parts = Parts::new(tar, manifest, head.next);
        loop {
            match parts.next_part().map(|part| part.is_some()) {
                Ok(is_part) => assert!(is_part, "the bomb is accepted"),
                Err(error) => return (parts.given(), error.refusal().expect("a refusal")),
            }
        }
    }

    #[test]
    fn of_a_bomb_of_a_gib_no_more_comes_out_than_it_takes_to_see_it() {
        const GIB: u64 = 1 << 30;
        let json = manifest();
        let manifest = member(MANIFEST_NAME, json.len() as u64, &json);
        let signature = member(SIGNATURE_NAME, SIGNATURE.len() as u64, SIGNATURE);
        let head = (manifest.len() + signature.len() + BLOCK_BYTES) as u64;
        let end = ((END_BLOCKS_MAX + 1) * BLOCK_BYTES) as u64;
        for (what, members, bytes_max) in [
            (
                "the manifest",
                [vec![], vec![], member(MANIFEST_NAME, GIB, b"")],
                512,
            ),
            (
                "the signature",
                [vec![], manifest.clone(), member(SIGNATURE_NAME, GIB, b"")],
                head,
            ),
            (
                "a part",
                [
                    manifest.clone(),
                    signature.clone(),
                    member("firmware.bin", GIB, b""),
                ],
                head,
            ),
            (
                "the end",
                [manifest, signature, member("firmware.bin", PART_BYTES, b"")],
                head + PART_BYTES + end,
            ),
        ] {
            let (given, refusal) = read(&bomb(&members.concat()));
            assert_eq!(refusal, Refusal::TooLarge, "{what}");
            assert!(
                given <= bytes_max,
                "{what}: {given} bytes, {bytes_max} are needed to see it"
            );
        }
    }
}
