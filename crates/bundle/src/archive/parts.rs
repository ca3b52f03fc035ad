use std::{io, io::Read};

use super::{Tar, digests::Digests, unexpected, ustar::Member};
use crate::{Manifest, Part, PartName, ReadError, Refusal, field};

/// A bundle of which the parts are to be read.
pub struct Parts<R> {
    tar: Tar<R>,
    manifest: Manifest,
    /// What stands where it is read next.
    next: Next,
    /// Parts of the manifest that have begun.
    begun: usize,
}

enum Next {
    /// A header, or the archive's end, that has been read.
    Header(Option<Member>),
    /// The rest of a part, bytes.
    Data { left: u64, digests: Digests },
    /// A header.
    Unread,
    /// Nothing: everything was there.
    Nothing,
    /// Nobody knows: an error came before.
    Failed,
}

impl<R: Read> Parts<R> {
    pub(super) fn new(tar: Tar<R>, manifest: Manifest, next: Option<Member>) -> Self {
        Self {
            tar,
            manifest,
            next: Next::Header(next),
            begun: 0,
        }
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The next part; what is left of the one before is read and checked first. `None` also proves
    /// that all parts were there and that nothing follows.
    ///
    /// # Errors
    /// After an error there is no going on: each further call fails.
    pub fn next_part(&mut self) -> Result<Option<PartReader<'_, R>>, ReadError> {
        let mut rest = [0; 4096];
        while let Next::Data { .. } = self.next {
            self.read_chunk(&mut rest)?;
        }
        let header = match std::mem::replace(&mut self.next, Next::Failed) {
            Next::Header(header) => header,
            Next::Unread => self.tar.header()?,
            Next::Nothing => {
                self.next = Next::Nothing;
                return Ok(None);
            }
            Next::Data { .. } | Next::Failed => return Err(failed_before()),
        };
        match (header, self.manifest.parts.get(self.begun)) {
            (Some(member), Some(part)) if member.name == part.name => {
                check_size(&member, part, &self.manifest)?;
                self.next = Next::Data {
                    left: part.size,
                    digests: Digests::default(),
                };
                self.begun += 1;
                Ok(Some(PartReader {
                    part: self.begun - 1,
                    parts: self,
                }))
            }
            (Some(member), _) => Err(self.out_of_place(&member)),
            (None, Some(part)) => Err(ReadError::refused(
                Refusal::PartMismatch,
                format!(
                    "the manifest names {}, which the bundle does not have",
                    part.name
                ),
            )),
            (None, None) => {
                self.tar.end()?;
                self.next = Next::Nothing;
                Ok(None)
            }
        }
    }

    /// Bytes that came out of the frame so far.
    #[cfg(test)]
    pub(super) fn given(&self) -> u64 {
        self.tar.0.given()
    }

    fn out_of_place(&self, member: &Member) -> ReadError {
        let is_named = self
            .manifest
            .parts
            .iter()
            .any(|part| part.name == member.name);
        if PartName::parse(&member.name).is_none() || is_named {
            return unexpected(member);
        }
        ReadError::refused(
            Refusal::PartMismatch,
            format!(
                "the bundle has {}, which its manifest does not name",
                member.name
            ),
        )
    }

    fn read_chunk(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let (left, mut digests) = match std::mem::replace(&mut self.next, Next::Failed) {
            Next::Data { left, digests } => (left, digests),
            Next::Failed => return Err(failed_before()),
            // The part has ended before.
            other => {
                self.next = other;
                return Ok(0);
            }
        };
        let part = &self.manifest.parts[self.begun - 1];
        if left == 0 {
            self.tar.padding(part.size)?;
            digests.check(part)?;
            self.next = Next::Unread;
            return Ok(0);
        }
        let room = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if room == 0 {
            let message = "no room for the part's bytes";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message).into());
        }
        let count = self.tar.0.read(&mut buffer[..room])?;
        if count == 0 {
            return Err(ReadError::refused(
                Refusal::Truncated,
                format!("the bundle ends early, in its part {}", part.name),
            ));
        }
        digests.update(&buffer[..count]);
        self.next = Next::Data {
            left: left - count as u64,
            digests,
        };
        Ok(count)
    }
}

/// What the header says is compared before a byte of the part is read.
fn check_size(member: &Member, part: &Part, manifest: &Manifest) -> Result<(), ReadError> {
    let Member { name, size } = member;
    let bytes_max =
        PartName::parse(name).map_or(0, |part| field::part_bytes_max(manifest.target(), part));
    if *size > bytes_max {
        let target = manifest.target().name();
        let message = format!("the part {name} has {size} bytes, {target} takes {bytes_max}");
        return Err(ReadError::refused(Refusal::TooLarge, message));
    }
    if *size != part.size {
        return Err(ReadError::refused(
            Refusal::PartMismatch,
            format!(
                "the part {name} is not the one that the manifest names: it has {size} bytes, not {}",
                part.size
            ),
        ));
    }
    Ok(())
}

fn failed_before() -> ReadError {
    let message = "an error came before: there is nothing more to read";
    io::Error::other(message).into()
}

/// One part's bytes.
pub struct PartReader<'p, R> {
    parts: &'p mut Parts<R>,
    /// Its place in the manifest.
    part: usize,
}

impl<R: Read> PartReader<'_, R> {
    pub fn part(&self) -> &Part {
        &self.parts.manifest.parts[self.part]
    }

    /// Puts bytes into `buffer`, which must not be empty, and gives their count. 0 is the end, and
    /// then size and digests were those of the manifest: until then nobody may rely on the bytes.
    ///
    /// # Errors
    /// [`Refusal::PartMismatch`] if they were not.
    pub fn read_chunk(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        self.parts.read_chunk(buffer)
    }
}
