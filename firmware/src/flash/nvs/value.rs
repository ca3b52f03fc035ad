//! How a value is read, compared and replaced.

use embedded_storage::nor_flash::NorFlash;

use super::{
    BLOB_CHUNK, BLOB_INDEX, CHUNK_BYTES_MAX, CRC_INITIAL, ENTRIES, ENTRY_BYTES, Entry, Items, Name,
    Nvs, NvsError, Place, Result, TEXT, U8,
    entry::{NO_CHUNK, SECOND_VERSION, entries_of},
    page::State,
};
use crate::flash::crc32::crc32_le;

/// A blob does not begin in the rest of a page if that is less than a tenth of it: a chunk costs a
/// head, and a scrap here costs another one.
const SCRAP_ENTRIES: u8 = ENTRIES / 10;

/// What is to be saved.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    /// Kind and bytes.
    Number(u8, [u8; 8]),
    Text(&'a str),
    Blob(&'a [u8]),
}

/// The bytes behind an item's head; strings end with a zero.
#[derive(Clone, Copy)]
struct Payload<'a> {
    bytes: &'a [u8],
    end: &'static [u8],
}

impl Payload<'_> {
    fn size(&self) -> usize {
        self.bytes.len() + self.end.len()
    }

    fn crc(&self) -> u32 {
        crc32_le(crc32_le(CRC_INITIAL, self.bytes), self.end)
    }

    /// Whether `bytes` are there at that offset.
    fn has(&self, offset: usize, bytes: &[u8]) -> bool {
        let all = self.bytes.iter().chain(self.end).skip(offset);
        all.take(bytes.len()).eq(bytes)
    }
}

const NOTHING: Payload<'_> = Payload {
    bytes: &[],
    end: &[],
};

impl Nvs {
    pub(super) fn set<F: NorFlash>(
        &mut self,
        flash: &mut F,
        namespace: &str,
        key: &str,
        value: Value<'_>,
    ) -> Result<(), F> {
        let name = Name::new(namespace).ok_or(NvsError::Name)?;
        let key = Name::new(key).ok_or(NvsError::Name)?;
        self.ready(flash)?;
        let number = self.namespace(flash, &name).map_err(NvsError::Flash)?;
        if let Some(namespace) = number
            && self
                .holds(flash, namespace, &key, value)
                .map_err(NvsError::Flash)?
        {
            return Ok(());
        }
        self.is_torn = true;
        let result = self.replace(flash, number, &name, &key, value);
        self.is_torn = matches!(result, Err(NvsError::Flash(_)));
        result
    }

    fn replace<F: NorFlash>(
        &mut self,
        flash: &mut F,
        namespace: Option<u8>,
        name: &Name,
        key: &Name,
        value: Value<'_>,
    ) -> Result<(), F> {
        let namespace = match namespace {
            Some(namespace) => namespace,
            None => self.add_namespace(flash, name)?,
        };
        let (place, entry) = match value {
            Value::Number(kind, data) => {
                let entry = Entry::number(namespace, kind, key, data);
                (self.append(flash, entry, NOTHING)?, entry)
            }
            Value::Text(text) => {
                let payload = Payload {
                    bytes: text.as_bytes(),
                    end: &[0],
                };
                let size = payload.size() as u16;
                let crc = payload.crc();
                let entry = Entry::sized(namespace, TEXT, NO_CHUNK, key, size, crc);
                (self.append(flash, entry, payload)?, entry)
            }
            Value::Blob(bytes) => self.append_blob(flash, namespace, key, bytes)?,
        };
        self.erase_all_but(flash, namespace, key, Some((place, entry)))
            .map_err(NvsError::Flash)
    }

    fn add_namespace<F: NorFlash>(&mut self, flash: &mut F, name: &Name) -> Result<u8, F> {
        let mut is_used = [false; 255];
        is_used[0] = true;
        let mut items = Items::of(self.held);
        while let Some((_, entry)) = items.next(flash, self.layout).map_err(NvsError::Flash)? {
            let number = match (entry.namespace(), entry.kind()) {
                (0, U8) => entry.data()[0],
                (namespace, _) => namespace,
            };
            if let Some(is_used) = is_used.get_mut(usize::from(number)) {
                *is_used = true;
            }
        }
        let number = is_used.iter().position(|is_used| !is_used);
        let number = number.ok_or(NvsError::Full)? as u8;
        let mut data = [0xff; 8];
        data[0] = number;
        self.append(flash, Entry::number(0, U8, name, data), NOTHING)?;
        self.namespace = Some((*name, number));
        Ok(number)
    }

    /// Writes an item where there is room for it.
    fn append<F: NorFlash>(
        &mut self,
        flash: &mut F,
        entry: Entry,
        payload: Payload<'_>,
    ) -> Result<Place, F> {
        if self.room() < entry.span() {
            self.next_page(flash, entry.span())?;
        }
        self.write_item(flash, &entry, payload)
            .map_err(NvsError::Flash)
    }

    /// Writes an item into the current page, which has room for it. Its head is marked written
    /// before its bytes are there, as ESP-IDF does: they are then never taken for heads, and an
    /// item that is not marked wholly does not count.
    fn write_item<F: NorFlash>(
        &mut self,
        flash: &mut F,
        entry: &Entry,
        payload: Payload<'_>,
    ) -> core::result::Result<Place, F::Error> {
        let place = self.take(entry.span());
        let Place { page, index } = place;
        self.layout.write(flash, place, &entry.0)?;
        self.layout
            .mark(flash, page, index..index + 1, State::Written)?;
        if entry.span() == 1 {
            return Ok(place);
        }
        let (whole, rest) = payload
            .bytes
            .split_at(payload.bytes.len() / ENTRY_BYTES * ENTRY_BYTES);
        let first = Place {
            page,
            index: index + 1,
        };
        if !whole.is_empty() {
            self.layout.write(flash, first, whole)?;
        }
        if whole.len() < payload.size() {
            let mut last = [0xff; ENTRY_BYTES];
            last[..rest.len()].copy_from_slice(rest);
            last[rest.len()..rest.len() + payload.end.len()].copy_from_slice(payload.end);
            let index = first.index + (whole.len() / ENTRY_BYTES) as u8;
            self.layout.write(flash, Place { page, index }, &last)?;
        }
        self.layout
            .mark(
                flash,
                page,
                first.index..index + entry.span(),
                State::Written,
            )
            .map(|()| place)
    }

    /// Writes a blob's chunks and then its index, which makes them count.
    fn append_blob<F: NorFlash>(
        &mut self,
        flash: &mut F,
        namespace: u8,
        key: &Name,
        bytes: &[u8],
    ) -> Result<(Place, Entry), F> {
        let old = self
            .find(flash, &mut |entry| {
                entry.kind() == BLOB_INDEX && entry.is_named(namespace, key)
            })
            .map_err(NvsError::Flash)?;
        let first_chunk = match old {
            Some((_, index)) if index.blob_first_chunk() < SECOND_VERSION => SECOND_VERSION,
            _ => 0,
        };
        self.expect_room(
            flash,
            entries_of(bytes.len()) + bytes.len() / CHUNK_BYTES_MAX + 2,
        )?;
        let result = self.append_chunks(flash, namespace, key, bytes, first_chunk);
        if matches!(result, Err(NvsError::Full)) {
            self.erase_chunks(flash, namespace, key, &|chunk| {
                chunk & SECOND_VERSION == first_chunk
            })
            .map_err(NvsError::Flash)?;
        }
        result
    }

    fn append_chunks<F: NorFlash>(
        &mut self,
        flash: &mut F,
        namespace: u8,
        key: &Name,
        bytes: &[u8],
        first_chunk: u8,
    ) -> Result<(Place, Entry), F> {
        let mut rest = bytes;
        let mut chunks = 0;
        while chunks == 0 || !rest.is_empty() {
            let needed = entries_of(rest.len().min(CHUNK_BYTES_MAX)) as u8 + 1;
            let least = needed.min(SCRAP_ENTRIES);
            if self.room() < least {
                self.next_page(flash, least)?;
            }
            let taken = usize::from(self.room() - 1) * ENTRY_BYTES;
            let (chunk, later) = rest.split_at(taken.min(rest.len()));
            if chunks == SECOND_VERSION - 1 {
                return Err(NvsError::Full);
            }
            let payload = Payload {
                bytes: chunk,
                end: &[],
            };
            let entry = Entry::sized(
                namespace,
                BLOB_CHUNK,
                first_chunk + chunks,
                key,
                chunk.len() as u16,
                payload.crc(),
            );
            self.append(flash, entry, payload)?;
            chunks += 1;
            rest = later;
        }
        let size = bytes.len() as u32;
        let index = Entry::blob_index(namespace, key, size, chunks, first_chunk);
        Ok((self.append(flash, index, NOTHING)?, index))
    }

    /// Whether the key has exactly this value already.
    fn holds<F: NorFlash>(
        &self,
        flash: &mut F,
        namespace: u8,
        key: &Name,
        value: Value<'_>,
    ) -> core::result::Result<bool, F::Error> {
        let found = self.find(flash, &mut |entry| {
            entry.kind() != BLOB_CHUNK && entry.is_named(namespace, key)
        })?;
        let Some((place, head)) = found else {
            return Ok(false);
        };
        let payload = match value {
            Value::Number(kind, data) => return Ok(head.kind() == kind && head.data() == data),
            Value::Text(text) if head.kind() == TEXT => Payload {
                bytes: text.as_bytes(),
                end: &[0],
            },
            Value::Blob(bytes) if head.kind() == BLOB_INDEX => Payload { bytes, end: &[] },
            Value::Text(_) | Value::Blob(_) => return Ok(false),
        };
        let size = match head.kind() {
            BLOB_INDEX => head.blob_bytes(),
            _ => head.size(),
        };
        if size != payload.size() {
            return Ok(false);
        }
        let mut is_equal = true;
        let is_sound = self.read_blob(flash, place, &head, &mut |offset, bytes| {
            is_equal &= payload.has(offset, bytes);
        })?;
        Ok(is_sound && is_equal)
    }

    /// Hands on the bytes of a blob, or of an item that is in one piece, with their offset; tells
    /// whether they are sound and as many as they should be.
    #[inline(never)]
    pub(super) fn read_blob<F: NorFlash>(
        &self,
        flash: &mut F,
        place: Place,
        head: &Entry,
        take: &mut dyn FnMut(usize, &[u8]),
    ) -> core::result::Result<bool, F::Error> {
        if head.kind() != BLOB_INDEX {
            return self.layout.read_data(flash, place, head, take);
        }
        let mut start = 0;
        for number in 0..head.blob_chunks() {
            let Some((place, chunk)) = self.find_chunk(flash, head, number)? else {
                return Ok(false);
            };
            let is_sound = self
                .layout
                .read_data(flash, place, &chunk, &mut |offset, bytes| {
                    take(start + offset, bytes);
                })?;
            if !is_sound {
                return Ok(false);
            }
            start += chunk.size();
        }
        Ok(start == head.blob_bytes())
    }

    pub(super) fn find_chunk<F: NorFlash>(
        &self,
        flash: &mut F,
        index: &Entry,
        number: u8,
    ) -> core::result::Result<Option<(Place, Entry)>, F::Error> {
        let name = index.name();
        let Some(chunk) = index.blob_first_chunk().checked_add(number) else {
            return Ok(None);
        };
        self.find(flash, &mut |entry| {
            entry.kind() == BLOB_CHUNK
                && entry.chunk() == chunk
                && entry.is_named(index.namespace(), &name)
        })
    }

    /// Erases what a key holds, but for `kept` and its chunks. Chunks go last: without their index
    /// they count for nothing.
    pub(super) fn erase_all_but<F: NorFlash>(
        &mut self,
        flash: &mut F,
        namespace: u8,
        key: &Name,
        kept: Option<(Place, Entry)>,
    ) -> core::result::Result<(), F::Error> {
        let mut has_chunks = false;
        let mut items = Items::of(self.held);
        while let Some((place, entry)) = items.next(flash, self.layout)? {
            if !entry.is_named(namespace, key) {
                continue;
            }
            if entry.kind() == BLOB_CHUNK {
                has_chunks = true;
            } else if kept.is_none_or(|(kept, _)| kept != place) {
                self.layout.erase_item(flash, place, entry.span())?;
            }
        }
        if !has_chunks {
            return Ok(());
        }
        self.erase_chunks(flash, namespace, key, &|chunk| {
            kept.is_none_or(|(_, entry)| !entry.has_chunk(chunk))
        })
    }

    #[inline(never)]
    fn erase_chunks<F: NorFlash>(
        &mut self,
        flash: &mut F,
        namespace: u8,
        key: &Name,
        is_given_up: &dyn Fn(u8) -> bool,
    ) -> core::result::Result<(), F::Error> {
        let mut items = Items::of(self.held);
        while let Some((place, entry)) = items.next(flash, self.layout)? {
            if entry.kind() == BLOB_CHUNK
                && entry.is_named(namespace, key)
                && is_given_up(entry.chunk())
            {
                self.layout.erase_item(flash, place, entry.span())?;
            }
        }
        Ok(())
    }
}
