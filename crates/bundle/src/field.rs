//! What a field of a manifest may hold, for the device and for all others alike.

use airlift_esp::Target;

use crate::{DEVICE_TYPE_BYTES_MAX, PartName, RELEASE_COUNTER_MAX, TIME_MAX, VERSION_BYTES_MAX};

/// Whether `name` can be a device type: `A-Z a-z 0-9 . _ -`, first a letter or digit, not too long.
pub(crate) fn is_device_type(name: &str) -> bool {
    name.len() <= DEVICE_TYPE_BYTES_MAX && is_plain(name.as_bytes())
}

/// Whether `name` stays where it is put: no path, no drive, nothing hidden, nothing that a shell or
/// a terminal takes for something else.
pub(crate) fn is_plain(name: &[u8]) -> bool {
    name.first().is_some_and(u8::is_ascii_alphanumeric)
        && name
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Whether `version` has only characters of a version. Whoever signs has checked its shape.
pub(crate) fn has_version_characters(version: &str) -> bool {
    (1..=VERSION_BYTES_MAX).contains(&version.len())
        && version
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-'))
}

pub(crate) fn is_release_counter(counter: u64) -> bool {
    (1..=RELEASE_COUNTER_MAX).contains(&counter)
}

/// Whether a release can be made at `created_at` and expire at `expires_at`.
pub(crate) fn are_times(created_at: i64, expires_at: Option<i64>) -> bool {
    (1..=TIME_MAX).contains(&created_at)
        && expires_at.is_none_or(|expires_at| created_at < expires_at && expires_at <= TIME_MAX)
}

/// Largest part of a target, bytes.
pub(crate) const fn part_bytes_max(target: Target, part: PartName) -> u64 {
    match part {
        PartName::Firmware => target.slot_bytes() as u64,
        PartName::Web => target.web_bytes_max() as u64,
    }
}

/// The bytes that `2 * N` lower-case hex digits mean.
pub(crate) fn digest<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if hex.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        for digit in pair {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            *byte = *byte << 4 | value;
        }
    }
    Some(bytes)
}
