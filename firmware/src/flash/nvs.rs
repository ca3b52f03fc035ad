//! NVS: named values in flash, in ESP-IDF's own format, so that its tools write what a gateway is
//! delivered with and read what it has saved. A value is replaced by writing the new one wholly
//! before the old one is given up: whatever moment the power fails in, one of the two is there.
//!
//! Source: ESP-IDF, "Non-Volatile Storage Library", internals.

mod entry;
mod page;
mod recovery;
mod space;
mod value;

use core::{error::Error, fmt};

use embedded_storage::nor_flash::NorFlash;

use self::{
    entry::{
        BLOB_CHUNK, BLOB_INDEX, CRC_INITIAL, ENTRY_BYTES, Entry, I8, I16, I32, I64, NAME_BYTES_MAX,
        Name, OLD_BLOB, TEXT, U8, U16, U32, U64,
    },
    page::{ENTRIES, Items, Layout, Place},
    value::Value,
};
use super::{SECTOR_BYTES, partition_table::Partition};

/// Pages of the largest partition that is mounted: 128 KiB, beyond which ESP-IDF advises against
/// NVS.
pub const NVS_PAGES_MAX: u32 = 32;
/// Longest string, bytes: it lies in one page, with a zero behind it.
pub const STR_BYTES_MAX: usize = CHUNK_BYTES_MAX - 1;
/// Longest blob, bytes. A partition may have less room.
pub const BLOB_BYTES_MAX: usize = CHUNK_BYTES_MAX * 127;

/// A page with nothing else in it holds so many bytes of one value.
const CHUNK_BYTES_MAX: usize = (ENTRIES as usize - 1) * ENTRY_BYTES;

/// Why a value was not read or saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NvsError<E> {
    /// The flash failed. The next call recovers as after a power cut.
    Flash(E),
    /// The partition is not made of 2 to [`NVS_PAGES_MAX`] whole sectors.
    Partition,
    /// It was written by a later version of the format.
    NewerVersion,
    /// No room for the value; what was there before is kept.
    Full,
    /// The name of a namespace or a key has no byte, more than 15, or a zero in it.
    Name,
    /// The value is longer than this many bytes.
    TooLong {
        /// Bytes allowed.
        limit: usize,
    },
    /// The value does not fit into the buffer.
    Buffer {
        /// Bytes it needs.
        needed: usize,
    },
    /// The key holds a value of another type.
    OtherType,
    /// The string is not UTF-8, or has a zero in it.
    Text,
}

impl<E: fmt::Debug> fmt::Display for NvsError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flash(error) => write!(f, "flash: {error:?}"),
            Self::Partition => write!(
                f,
                "the NVS partition is not made of 2 to {NVS_PAGES_MAX} whole sectors"
            ),
            Self::NewerVersion => f.write_str("the NVS partition is of a newer version"),
            Self::Full => f.write_str("no room in the NVS partition"),
            Self::Name => write!(
                f,
                "the name of a namespace or key is not 1 to {NAME_BYTES_MAX} bytes"
            ),
            Self::TooLong { limit } => write!(f, "the value is longer than {limit} bytes"),
            Self::Buffer { needed } => write!(f, "the value needs a buffer of {needed} bytes"),
            Self::OtherType => f.write_str("the key holds a value of another type"),
            Self::Text => f.write_str("the string is not UTF-8 or has a zero in it"),
        }
    }
}

impl<E: fmt::Debug> Error for NvsError<E> {}

type Result<T, F> =
    core::result::Result<T, NvsError<<F as embedded_storage::nor_flash::ErrorType>::Error>>;

/// The page that is written to.
#[derive(Clone, Copy, Debug)]
struct Current {
    page: u8,
    /// First entry that is still empty; [`ENTRIES`] if none is.
    next: u8,
}

/// A mounted NVS partition. It keeps where to write next; values are looked up in the flash.
#[derive(Debug)]
pub struct Nvs {
    layout: Layout,
    /// One bit for each page that holds items.
    held: u32,
    current: Option<Current>,
    /// The page that was begun last.
    newest: u8,
    next_seq: u32,
    /// The namespace asked for last, with its number.
    namespace: Option<(Name, u8)>,
    /// The flash failed in the middle of a change.
    is_torn: bool,
}

macro_rules! numbers {
    ($($get:ident, $set:ident, $number:ty, $kind:expr;)*) => {$(
        #[doc = concat!("The `", stringify!($number), "` of a key, if it has one.")]
        pub fn $get<F: NorFlash>(
            &mut self,
            flash: &mut F,
            namespace: &str,
            key: &str,
        ) -> Result<Option<$number>, F> {
            let data = self.number(flash, namespace, key, $kind)?;
            Ok(data.map(|data| {
                let mut bytes = [0; size_of::<$number>()];
                bytes.copy_from_slice(&data[..size_of::<$number>()]);
                <$number>::from_le_bytes(bytes)
            }))
        }

        #[doc = concat!("Saves a `", stringify!($number), "`, whatever the key held before.")]
        pub fn $set<F: NorFlash>(
            &mut self,
            flash: &mut F,
            namespace: &str,
            key: &str,
            value: $number,
        ) -> Result<(), F> {
            let mut data = [0xff; 8];
            data[..size_of::<$number>()].copy_from_slice(&value.to_le_bytes());
            self.set(flash, namespace, key, Value::Number($kind, data))
        }
    )*};
}

impl Nvs {
    /// Mounts a partition and repairs what a power cut has left. One without any NVS in it becomes
    /// an empty one.
    pub fn mount<F: NorFlash>(flash: &mut F, partition: &Partition) -> Result<Self, F> {
        let pages = partition.size / SECTOR_BYTES;
        if !partition.size.is_multiple_of(SECTOR_BYTES)
            || !partition.offset.is_multiple_of(SECTOR_BYTES)
            || !(2..=NVS_PAGES_MAX).contains(&pages)
        {
            return Err(NvsError::Partition);
        }
        let layout = Layout {
            offset: partition.offset,
            pages: pages as u8,
        };
        recovery::mount(flash, layout)
    }

    numbers! {
        get_u8, set_u8, u8, U8;
        get_u16, set_u16, u16, U16;
        get_u32, set_u32, u32, U32;
        get_u64, set_u64, u64, U64;
        get_i8, set_i8, i8, I8;
        get_i16, set_i16, i16, I16;
        get_i32, set_i32, i32, I32;
        get_i64, set_i64, i64, I64;
    }

    /// The string of a key, if it has one, read into `buffer`.
    pub fn get_str<'b, F: NorFlash>(
        &mut self,
        flash: &mut F,
        namespace: &str,
        key: &str,
        buffer: &'b mut [u8],
    ) -> Result<Option<&'b str>, F> {
        let Some((namespace, key)) = self.names(flash, namespace, key)? else {
            return Ok(None);
        };
        let Some((place, head)) = self.find_kind(flash, namespace, &key, &[TEXT])? else {
            return Ok(None);
        };
        // The zero at the end is not handed out.
        let length = head.size().saturating_sub(1);
        if length > buffer.len() {
            return Err(NvsError::Buffer { needed: length });
        }
        let is_sound = self
            .layout
            .read_data(flash, place, &head, &mut |offset, bytes| {
                let rest = buffer.get_mut(offset..length).unwrap_or_default();
                let taken = bytes.len().min(rest.len());
                rest[..taken].copy_from_slice(&bytes[..taken]);
            })
            .map_err(NvsError::Flash)?;
        if !is_sound {
            return Ok(None);
        }
        core::str::from_utf8(&buffer[..length])
            .map(Some)
            .map_err(|_| NvsError::Text)
    }

    /// Saves a string of up to [`STR_BYTES_MAX`] bytes, whatever the key held before.
    pub fn set_str<F: NorFlash>(
        &mut self,
        flash: &mut F,
        namespace: &str,
        key: &str,
        value: &str,
    ) -> Result<(), F> {
        if value.len() > STR_BYTES_MAX {
            return Err(NvsError::TooLong {
                limit: STR_BYTES_MAX,
            });
        }
        if value.contains('\0') {
            return Err(NvsError::Text);
        }
        self.set(flash, namespace, key, Value::Text(value))
    }

    /// Reads the blob of a key, if it has one, into `buffer`; tells its length.
    pub fn get_blob<F: NorFlash>(
        &mut self,
        flash: &mut F,
        namespace: &str,
        key: &str,
        buffer: &mut [u8],
    ) -> Result<Option<usize>, F> {
        let Some((namespace, key)) = self.names(flash, namespace, key)? else {
            return Ok(None);
        };
        let kinds = [BLOB_INDEX, OLD_BLOB];
        let Some((place, head)) = self.find_kind(flash, namespace, &key, &kinds)? else {
            return Ok(None);
        };
        let length = match head.kind() {
            BLOB_INDEX => head.blob_bytes(),
            _ => head.size(),
        };
        if length > buffer.len() {
            return Err(NvsError::Buffer { needed: length });
        }
        let is_sound = self
            .read_blob(flash, place, &head, &mut |offset, bytes| {
                if let Some(to) = buffer.get_mut(offset..offset + bytes.len()) {
                    to.copy_from_slice(bytes);
                }
            })
            .map_err(NvsError::Flash)?;
        Ok(is_sound.then_some(length))
    }

    /// Saves a blob of up to [`BLOB_BYTES_MAX`] bytes, whatever the key held before.
    pub fn set_blob<F: NorFlash>(
        &mut self,
        flash: &mut F,
        namespace: &str,
        key: &str,
        value: &[u8],
    ) -> Result<(), F> {
        if value.len() > BLOB_BYTES_MAX {
            return Err(NvsError::TooLong {
                limit: BLOB_BYTES_MAX,
            });
        }
        self.set(flash, namespace, key, Value::Blob(value))
    }

    /// Erases a key with its value, if it is there.
    pub fn erase_key<F: NorFlash>(
        &mut self,
        flash: &mut F,
        namespace: &str,
        key: &str,
    ) -> Result<(), F> {
        let Some((namespace, key)) = self.names(flash, namespace, key)? else {
            return Ok(());
        };
        self.is_torn = true;
        self.erase_all_but(flash, namespace, &key, None)
            .map_err(NvsError::Flash)?;
        self.is_torn = false;
        Ok(())
    }

    fn number<F: NorFlash>(
        &mut self,
        flash: &mut F,
        namespace: &str,
        key: &str,
        kind: u8,
    ) -> Result<Option<[u8; 8]>, F> {
        let Some((namespace, key)) = self.names(flash, namespace, key)? else {
            return Ok(None);
        };
        let found = self.find_kind(flash, namespace, &key, &[kind])?;
        Ok(found.map(|(_, entry)| entry.data()))
    }

    /// The number of a namespace that is there, and the key's name.
    fn names<F: NorFlash>(
        &mut self,
        flash: &mut F,
        namespace: &str,
        key: &str,
    ) -> Result<Option<(u8, Name)>, F> {
        let name = Name::new(namespace).ok_or(NvsError::Name)?;
        let key = Name::new(key).ok_or(NvsError::Name)?;
        self.ready(flash)?;
        let namespace = self.namespace(flash, &name).map_err(NvsError::Flash)?;
        Ok(namespace.map(|namespace| (namespace, key)))
    }

    /// After a failure of the flash, what is there is found out as after a power cut.
    fn ready<F: NorFlash>(&mut self, flash: &mut F) -> Result<(), F> {
        if self.is_torn {
            *self = recovery::mount(flash, self.layout)?;
        }
        Ok(())
    }

    /// The number of a namespace.
    fn namespace<F: NorFlash>(
        &mut self,
        flash: &mut F,
        name: &Name,
    ) -> core::result::Result<Option<u8>, F::Error> {
        if let Some((cached, number)) = &self.namespace
            && cached == name
        {
            return Ok(Some(*number));
        }
        let found = self.find(flash, &mut |entry| {
            entry.kind() == U8 && entry.is_named(0, name)
        })?;
        Ok(found.map(|(_, entry)| {
            let number = entry.data()[0];
            self.namespace = Some((*name, number));
            number
        }))
    }

    /// The item of a key that is of one of these kinds.
    fn find_kind<F: NorFlash>(
        &self,
        flash: &mut F,
        namespace: u8,
        key: &Name,
        kinds: &[u8],
    ) -> Result<Option<(Place, Entry)>, F> {
        let mut is_other = false;
        let found = self
            .find(flash, &mut |entry| {
                if entry.kind() == BLOB_CHUNK || !entry.is_named(namespace, key) {
                    return false;
                }
                let fits = kinds.contains(&entry.kind());
                is_other |= !fits;
                fits
            })
            .map_err(NvsError::Flash)?;
        if found.is_none() && is_other {
            return Err(NvsError::OtherType);
        }
        Ok(found)
    }

    #[inline(never)]
    fn find<F: NorFlash>(
        &self,
        flash: &mut F,
        is_sought: &mut dyn FnMut(&Entry) -> bool,
    ) -> core::result::Result<Option<(Place, Entry)>, F::Error> {
        let mut items = Items::of(self.held);
        while let Some((place, entry)) = items.next(flash, self.layout)? {
            if is_sought(&entry) {
                return Ok(Some((place, entry)));
            }
        }
        Ok(None)
    }
}
