//! The text form, in which people write tables. Blank offsets are filled in as ESP-IDF does: behind
//! what stands above, aligned.

use heapless::Vec;

use super::{
    AppKind, DATA_SUBTYPES, DataKind, FLAG_ENCRYPTED, FLAG_READONLY, FREE_OFFSET, Kind, Label,
    LineFault, OTA_SLOTS_MAX, PARTITIONS_MAX, Partition, PartitionTable, TYPE_APP, TYPE_DATA,
    TableError,
};

const FIELDS: usize = 6;
/// Greatest number a custom type or subtype can have: 0xFF is erased flash.
const NUMBER_MAX: u32 = 0xFE;

impl PartitionTable {
    /// Reads ESP-IDF's CSV: name, type, subtype, offset, size, flags. Names of the types
    /// `bootloader` and `partition_table` are not known; their places are fixed here.
    ///
    /// # Errors
    /// Names the line, or the partition if the table as a whole is not sound.
    pub fn from_csv(text: &str) -> Result<Self, TableError> {
        let mut partitions: Vec<Partition, PARTITIONS_MAX> = Vec::new();
        let mut free = u64::from(FREE_OFFSET);
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let partition = parse_line(line, free).map_err(|fault| TableError::Line {
                line: number,
                fault,
            })?;
            free = partition.end();
            partitions
                .push(partition)
                .map_err(|_| TableError::TooManyPartitions)?;
        }
        Self::checked(partitions)
    }
}

/// `free` is the end of what stands above, bytes.
fn parse_line(line: &str, free: u64) -> Result<Partition, LineFault> {
    let mut fields = [""; FIELDS];
    for (index, field) in line.split(',').map(str::trim).enumerate() {
        match fields.get_mut(index) {
            Some(place) => *place = field,
            // A comma at the end is common.
            None if field.is_empty() => {}
            None => return Err(LineFault::TooManyFields),
        }
    }
    let [label, type_, subtype, offset, size, flags] = fields;
    if label.is_empty() {
        return Err(LineFault::NoLabel);
    }
    let label = Label::try_from(label).map_err(|_| LineFault::LabelTooLong)?;
    let kind = parse_kind(type_, subtype)?;
    let offset = if offset.is_empty() {
        let aligned = free.next_multiple_of(u64::from(kind.alignment()));
        u32::try_from(aligned).map_err(|_| LineFault::Full)?
    } else {
        let offset = parse_number(offset).ok_or(LineFault::Offset)?;
        if u64::from(offset) < free {
            return Err(LineFault::Overlap { free });
        }
        offset
    };
    if size.is_empty() {
        return Err(LineFault::NoSize);
    }
    Ok(Partition {
        label,
        kind,
        offset,
        size: parse_number(size).ok_or(LineFault::Size)?,
        flags: parse_flags(flags)?,
    })
}

fn parse_kind(type_: &str, subtype: &str) -> Result<Kind, LineFault> {
    let type_ = if type_.eq_ignore_ascii_case("app") {
        TYPE_APP
    } else if type_.eq_ignore_ascii_case("data") {
        TYPE_DATA
    } else {
        parse_byte(type_).ok_or(LineFault::Type)?
    };
    let named = match type_ {
        TYPE_APP => parse_app_kind(subtype).map(Kind::App),
        TYPE_DATA => DATA_SUBTYPES
            .iter()
            .find(|(.., name)| name.eq_ignore_ascii_case(subtype))
            .map(|(kind, ..)| Kind::Data(*kind)),
        _ => None,
    };
    if let Some(kind) = named {
        return Ok(kind);
    }
    if subtype.is_empty() && type_ != TYPE_APP {
        let (_, undefined) = Kind::Data(DataKind::Undefined).to_bytes();
        return Ok(Kind::from_bytes(type_, undefined));
    }
    let number = parse_byte(subtype).ok_or(LineFault::Subtype)?;
    Ok(Kind::from_bytes(type_, number))
}

fn parse_app_kind(name: &str) -> Option<AppKind> {
    if name.eq_ignore_ascii_case("factory") {
        return Some(AppKind::Factory);
    }
    if name.eq_ignore_ascii_case("test") {
        return Some(AppKind::Test);
    }
    let (prefix, slot) = name.split_at_checked(4)?;
    if !prefix.eq_ignore_ascii_case("ota_") || (slot.len() > 1 && slot.starts_with('0')) {
        return None;
    }
    let is_number = slot.bytes().all(|byte| byte.is_ascii_digit());
    let slot = slot.parse().ok().filter(|_| is_number)?;
    (slot < OTA_SLOTS_MAX).then_some(AppKind::Ota(slot))
}

fn parse_byte(text: &str) -> Option<u8> {
    let number = parse_number(text).filter(|number| *number <= NUMBER_MAX)?;
    u8::try_from(number).ok()
}

/// Decimal or 0x…, times 1024 with K behind it, times 1024² with M.
fn parse_number(text: &str) -> Option<u32> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'k' | b'K' => (text.get(..text.len() - 1)?, 1 << 10),
        b'm' | b'M' => (text.get(..text.len() - 1)?, 1 << 20),
        _ => (text, 1),
    };
    let hexadecimal = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"));
    let (digits, radix) = hexadecimal.map_or((digits, 10), |digits| (digits, 16));
    // The standard library would take a sign.
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    u32::from_str_radix(digits, radix).ok()?.checked_mul(unit)
}

fn parse_flags(text: &str) -> Result<u32, LineFault> {
    text.split(':')
        .try_fold(0, |flags, flag| match flag.trim() {
            "" => Ok(flags),
            "encrypted" => Ok(flags | FLAG_ENCRYPTED),
            "readonly" => Ok(flags | FLAG_READONLY),
            _ => Err(LineFault::Flag),
        })
}
