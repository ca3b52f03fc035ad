//! A flash with an NVS partition in it, and values of every type.

use std::collections::BTreeMap;

use airlift_firmware::flash::{
    nvs::{Nvs, NvsError},
    partition_table::{DataKind, Kind, Label, Partition},
};
use airlift_simflash::{SECTOR_BYTES, SimError, SimFlash};

/// Sectors before the partition: nothing may be written there.
pub const OFFSET: u32 = 2 * SECTOR_BYTES as u32;

pub type Result<T> = std::result::Result<T, NvsError<SimError>>;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    I8(i8),
    I16(i16),
    I32(i32),
    I64(i64),
    Text(String),
    Blob(Vec<u8>),
}

impl Value {
    /// A blob of bytes that tell which it is.
    pub fn blob(length: usize, number: u32) -> Self {
        let start = number.wrapping_mul(97);
        let bytes = (0..length as u32).map(|at| start.wrapping_add(at * 31 + at / 251) as u8);
        Self::Blob(bytes.collect())
    }

    /// Entries of 32 bytes it takes at least.
    pub fn entries(&self) -> usize {
        match self {
            Self::Text(text) => 1 + (text.len() + 1).div_ceil(32),
            Self::Blob(bytes) => 2 + bytes.len().div_ceil(32) + bytes.len() / 4000,
            _ => 1,
        }
    }
}

pub type Key = (&'static str, &'static str);
pub type Model = BTreeMap<Key, Value>;

#[derive(Clone, Debug)]
pub enum Operation {
    Set(Key, Value),
    Erase(Key),
}

impl Operation {
    pub fn key(&self) -> Key {
        match self {
            Self::Set(key, _) | Self::Erase(key) => *key,
        }
    }

    pub fn apply(&self, model: &mut Model) {
        match self.clone() {
            Self::Set(key, value) => model.insert(key, value),
            Self::Erase(key) => model.remove(&key),
        };
    }
}

pub fn partition(pages: usize) -> Partition {
    Partition {
        label: Label::try_from("nvs").unwrap(),
        kind: Kind::Data(DataKind::Nvs),
        offset: OFFSET,
        size: (pages * SECTOR_BYTES) as u32,
        flags: 0,
    }
}

/// Of a flash with the partition, what is before it, and a sector behind it.
fn pages(flash: &SimFlash) -> usize {
    flash.size() / SECTOR_BYTES - 3
}

pub fn mount(flash: &mut SimFlash) -> Result<Nvs> {
    let partition = partition(pages(flash));
    Nvs::mount(flash, &partition)
}

pub struct Device {
    pub flash: SimFlash,
    pub nvs: Nvs,
    pages: usize,
}

impl Device {
    pub fn new(pages: usize) -> Self {
        let size = OFFSET as usize + (pages + 1) * SECTOR_BYTES;
        Self::start(SimFlash::new(size))
    }

    /// From the bytes of a whole partition.
    pub fn from_partition(bytes: &[u8]) -> Self {
        let mut flash = SimFlash::new(OFFSET as usize + bytes.len() + SECTOR_BYTES);
        flash.load(OFFSET, bytes);
        Self::start(flash)
    }

    /// Mounts what is there.
    pub fn start(mut flash: SimFlash) -> Self {
        let nvs = mount(&mut flash).unwrap();
        let pages = pages(&flash);
        Self { flash, nvs, pages }
    }

    pub fn restart(self) -> Self {
        Self::start(self.flash)
    }

    pub fn partition_bytes(&self) -> Vec<u8> {
        self.flash.bytes(OFFSET, self.pages * SECTOR_BYTES)
    }

    pub fn set(&mut self, (namespace, key): Key, value: &Value) -> Result<()> {
        let (nvs, flash) = (&mut self.nvs, &mut self.flash);
        match value {
            Value::U8(value) => nvs.set_u8(flash, namespace, key, *value),
            Value::U16(value) => nvs.set_u16(flash, namespace, key, *value),
            Value::U32(value) => nvs.set_u32(flash, namespace, key, *value),
            Value::U64(value) => nvs.set_u64(flash, namespace, key, *value),
            Value::I8(value) => nvs.set_i8(flash, namespace, key, *value),
            Value::I16(value) => nvs.set_i16(flash, namespace, key, *value),
            Value::I32(value) => nvs.set_i32(flash, namespace, key, *value),
            Value::I64(value) => nvs.set_i64(flash, namespace, key, *value),
            Value::Text(value) => nvs.set_str(flash, namespace, key, value),
            Value::Blob(value) => nvs.set_blob(flash, namespace, key, value),
        }
    }

    /// The value of the key, of whatever type it is.
    pub fn get(&mut self, (namespace, key): Key) -> Option<Value> {
        let (nvs, flash) = (&mut self.nvs, &mut self.flash);
        let mut buffer = vec![0; 40_000];
        // A key that is not there is not there for any type, and one that is has one type only.
        let mut answers = vec![
            wrap(nvs.get_u8(flash, namespace, key), Value::U8),
            wrap(nvs.get_u16(flash, namespace, key), Value::U16),
            wrap(nvs.get_u32(flash, namespace, key), Value::U32),
            wrap(nvs.get_u64(flash, namespace, key), Value::U64),
            wrap(nvs.get_i8(flash, namespace, key), Value::I8),
            wrap(nvs.get_i16(flash, namespace, key), Value::I16),
            wrap(nvs.get_i32(flash, namespace, key), Value::I32),
            wrap(nvs.get_i64(flash, namespace, key), Value::I64),
        ];
        let text = nvs.get_str(flash, namespace, key, &mut buffer);
        answers.push(wrap(text, |text| Value::Text(text.to_owned())));
        let blob = nvs.get_blob(flash, namespace, key, &mut buffer);
        answers.push(wrap(blob, |length| Value::Blob(buffer[..length].to_vec())));
        let mut found = answers.iter().flatten().flatten();
        let value = found.next().cloned();
        assert!(found.next().is_none(), "{key}: {answers:?}");
        let others = answers.iter().filter(|answer| answer.is_err()).count();
        let expected = if value.is_some() {
            answers.len() - 1
        } else {
            0
        };
        assert_eq!(others, expected, "{key}: {answers:?}");
        value
    }

    pub fn apply(&mut self, operation: &Operation) -> Result<()> {
        match operation {
            Operation::Set(key, value) => self.set(*key, value),
            Operation::Erase((namespace, key)) => {
                self.nvs.erase_key(&mut self.flash, namespace, key)
            }
        }
    }

    /// Checks that these keys hold what the model says, or nothing if it says nothing.
    pub fn check<'k>(&mut self, keys: impl IntoIterator<Item = &'k Key>, model: &Model) {
        for key in keys {
            assert_eq!(self.get(*key).as_ref(), model.get(key), "{key:?}");
        }
    }

    /// No entry of a page in use is left between two states: ESP-IDF does not expect that.
    pub fn check_states(&self) {
        for page in self.partition_bytes().chunks(SECTOR_BYTES) {
            let is_in_use = page[28..32] == crc(&page[4..28]).to_le_bytes();
            let mut states = page[32..64]
                .iter()
                .flat_map(|byte| [0, 2, 4, 6].map(|shift| byte >> shift & 0b11));
            assert!(!is_in_use || states.all(|state| state != 0b01));
        }
    }

    /// Nothing outside of the partition has been touched.
    pub fn check_surroundings(&self) {
        let end = OFFSET + (self.pages * SECTOR_BYTES) as u32;
        let before = self.flash.bytes(0, OFFSET as usize);
        let behind = self.flash.bytes(end, SECTOR_BYTES);
        assert!(before.iter().chain(&behind).all(|byte| *byte == 0xff));
    }
}

/// The usual CRC-32, but continued from a value of all ones.
pub fn crc(bytes: &[u8]) -> u32 {
    let mut crc = 0;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ (0xedb8_8320 * (crc & 1));
        }
    }
    !crc
}

/// `Err` is for a value of another type.
fn wrap<T>(
    answer: Result<Option<T>>,
    value: impl FnOnce(T) -> Value,
) -> std::result::Result<Option<Value>, ()> {
    match answer {
        Ok(answer) => Ok(answer.map(value)),
        Err(NvsError::OtherType) => Err(()),
        Err(error) => panic!("{error}"),
    }
}
