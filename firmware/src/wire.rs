//! Commands as they come and messages as they go, without an allocator.

use core::fmt;

use airlift_bundle::{PartName, Refusal};
use airlift_proto::{HeartbeatData, Message, Report, Slots, Status, error_code::INSTALL_FAILED};
use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json_core::{
    de::{Deserializer, Error},
    str::{EscapedStr, EscapedStringFragment},
};

use crate::{
    URL_BYTES_MAX,
    saved::{Links, Order},
    text::TextView,
};

/// Largest message a gateway sends, bytes.
pub const MESSAGE_BYTES_MAX: usize = 768;

/// Why a command is not obeyed.
#[derive(Debug)]
pub(crate) enum Why {
    Malformed(Error),
    UnknownType,
    NoMsgId,
    Missing(&'static str),
    /// A bad escape in this field.
    Escape(&'static str),
    TooLong {
        field: &'static str,
        bytes: usize,
        bytes_max: usize,
    },
    NotHex {
        field: &'static str,
        digits: usize,
    },
    /// A part whose name is no plain file name.
    UnsafePath,
    /// A kind of bundle, but no manifest.
    NoManifest,
}

impl Why {
    /// The word in the report of an upgrade that is refused for it.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Why::UnsafePath => Refusal::UnsafePath.code(),
            Why::NoManifest => Refusal::Unsigned.code(),
            _ => INSTALL_FAILED,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Malformed(
                Error::EofWhileParsingObject
                | Error::EofWhileParsingString
                | Error::EofWhileParsingValue,
            ) => f.write_str("it is no command: the JSON ends too early"),
            Why::Malformed(Error::InvalidType | Error::InvalidNumber) => {
                f.write_str("it is no command: a field is of the wrong type")
            }
            Why::Malformed(_) => f.write_str("it is no command: it is no JSON"),
            Why::UnknownType => f.write_str("its msgType is not known"),
            Why::NoMsgId => f.write_str("it has no msgId, so a duplicate would start again"),
            Why::Missing(field) => write!(f, "it has no {field}"),
            Why::Escape(field) => write!(f, "its {field} has a bad escape"),
            Why::TooLong {
                field,
                bytes,
                bytes_max,
            } => write!(
                f,
                "its {field} has {bytes} bytes, this gateway takes {bytes_max}"
            ),
            Why::NotHex { field, digits } => write!(f, "its {field} is not {digits} hex digits"),
            Why::UnsafePath => f.write_str("the name of a part is no plain file name"),
            Why::NoManifest => f.write_str("it orders a bundle, but has no manifestUrl"),
        }
    }
}

/// What a command wants.
pub(crate) enum Command {
    Upgrade,
    /// An upgrade that cannot even be considered; it is refused under its id.
    Impossible(Why),
    Cancel,
}

/// All that any command has, still escaped.
#[derive(Default)]
struct Fields<'p> {
    msg_type: Option<&'p str>,
    /// The message's.
    outer_msg_id: Option<&'p str>,
    timestamp: Option<i64>,
    msg_id: Option<&'p str>,
    version: Option<&'p str>,
    firmware_url: Option<&'p str>,
    md5: Option<&'p str>,
    sha256: Option<&'p str>,
    file_size: Option<i64>,
    force_upgrade: Option<bool>,
    not_before: Option<i64>,
    manifest_url: Option<&'p str>,
    signature_url: Option<&'p str>,
    kind: Option<&'p str>,
    /// Of the part for the web pages.
    web_url: Option<&'p str>,
    /// There is a part whose name is no plain file name.
    is_unsafe: bool,
}

/// A command's object that is being read: derived code for every object is thrice as large.
struct Object<'f, 'p> {
    fields: &'f mut Fields<'p>,
    is_data: bool,
}

impl<'p> DeserializeSeed<'p> for Object<'_, 'p> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'p>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'p> Visitor<'p> for Object<'_, 'p> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'p>>(self, mut map: A) -> Result<(), A::Error> {
        let Object { fields, is_data } = self;
        while let Some(key) = map.next_key::<&str>()? {
            let text = match (is_data, key) {
                (false, "data") => {
                    let is_data = true;
                    map.next_value_seed(Object { fields, is_data })?;
                    continue;
                }
                (false, "timestamp") => {
                    fields.timestamp = map.next_value()?;
                    continue;
                }
                (true, "fileSize") => {
                    fields.file_size = map.next_value()?;
                    continue;
                }
                (true, "notBefore") => {
                    fields.not_before = map.next_value()?;
                    continue;
                }
                (true, "forceUpgrade") => {
                    fields.force_upgrade = map.next_value()?;
                    continue;
                }
                (true, "parts") => {
                    map.next_value_seed(Parts { fields })?;
                    continue;
                }
                (false, "msgType") => &mut fields.msg_type,
                (false, "msgId") => &mut fields.outer_msg_id,
                (true, "msgId") => &mut fields.msg_id,
                (true, "version") => &mut fields.version,
                (true, "firmwareUrl") => &mut fields.firmware_url,
                (true, "md5") => &mut fields.md5,
                (true, "sha256") => &mut fields.sha256,
                (true, "manifestUrl") => &mut fields.manifest_url,
                (true, "signatureUrl") => &mut fields.signature_url,
                (true, "kind") => &mut fields.kind,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *text = map.next_value()?;
        }
        Ok(())
    }
}

/// The parts of a bundle, or `null`. However many there are, no more is kept of them.
struct Parts<'f, 'p> {
    fields: &'f mut Fields<'p>,
}

impl<'p> DeserializeSeed<'p> for Parts<'_, 'p> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'p>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_option(self)
    }
}

impl<'p> Visitor<'p> for Parts<'_, 'p> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_none<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: de::Deserializer<'p>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'p>>(self, mut list: A) -> Result<(), A::Error> {
        let Parts { fields } = self;
        while list.next_element_seed(Part { fields })?.is_some() {}
        Ok(())
    }
}

/// One part of a bundle.
struct Part<'f, 'p> {
    fields: &'f mut Fields<'p>,
}

impl<'p> DeserializeSeed<'p> for Part<'_, 'p> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'p>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'p> Visitor<'p> for Part<'_, 'p> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a part")
    }

    fn visit_map<A: MapAccess<'p>>(self, mut map: A) -> Result<(), A::Error> {
        let (mut name, mut url) = (None, None);
        while let Some(key) = map.next_key::<&str>()? {
            match key {
                "name" => name = map.next_value()?,
                "url" => url = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let name: &str = name.unwrap_or_default();
        self.fields.is_unsafe |= !is_plain(name);
        if name == PartName::Web.file_name() {
            self.fields.web_url = url;
        }
        Ok(())
    }
}

/// Whether this can be nothing but a file's own name. The name is still escaped: a plain one needs no
/// escapes.
fn is_plain(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_plain)
}

/// Reads the payload of a command; what it orders is put into `order`, of a cancel the id alone.
pub(crate) fn command(payload: &[u8], order: &mut Order) -> Result<Command, Why> {
    let mut fields = Fields::default();
    let object = Object {
        fields: &mut fields,
        is_data: false,
    };
    let mut from = Deserializer::new(payload, None);
    let read = object.deserialize(&mut from).and_then(|()| from.end());
    read.map_err(Why::Malformed)?;
    match fields.msg_type {
        Some("ota_upgrade") => upgrade(&fields, order),
        Some("ota_cancel") => {
            unescape(fields.msg_id, "msgId", order.msg_id.as_mut_view())?;
            Ok(Command::Cancel)
        }
        _ => Err(Why::UnknownType),
    }
}

fn upgrade(fields: &Fields<'_>, order: &mut Order) -> Result<Command, Why> {
    let file_size = fields.file_size.ok_or(Why::Missing("fileSize"))?;
    let msg_id = [fields.msg_id, fields.outer_msg_id]
        .into_iter()
        .find(|msg_id| msg_id.is_some_and(|msg_id| !msg_id.is_empty()))
        .ok_or(Why::NoMsgId)?;
    unescape(msg_id, "msgId", order.msg_id.as_mut_view())?;
    unescape(fields.version, "version", order.version.as_mut_view())?;
    order.file_size = u64::try_from(file_size).unwrap_or_default();
    order.force = fields.force_upgrade.unwrap_or_default();
    order.not_before = fields.not_before;
    order.sent_at = fields.timestamp;
    Ok(match file(fields, order) {
        Ok(()) => Command::Upgrade,
        Err(why) => Command::Impossible(why),
    })
}

/// Where the file is and how it is known.
fn file(fields: &Fields<'_>, order: &mut Order) -> Result<(), Why> {
    if fields.is_unsafe {
        return Err(Why::UnsafePath);
    }
    if fields.manifest_url.is_some_and(|url| !url.is_empty()) {
        links(fields, order.links.insert(Links::default()))?;
    } else if fields.kind.is_some() {
        return Err(Why::NoManifest);
    }
    unescape(fields.firmware_url, "firmwareUrl", order.url.as_mut_view())?;
    digest(fields.md5, "md5", &mut order.md5)?;
    if fields.sha256.is_some_and(|hex| !hex.is_empty()) {
        digest(fields.sha256, "sha256", order.sha256.insert([0; 32]))?;
    }
    Ok(())
}

/// Where the manifest, the signature and the web part of a bundle are.
fn links(fields: &Fields<'_>, links: &mut Links) -> Result<(), Why> {
    let mut link = |from: Option<&str>, field| {
        let before = links.urls.len();
        let room = links.urls.capacity() - before;
        if from.is_some() {
            unescape(from, field, links.urls.as_mut_view()).map_err(|why| match why {
                Why::TooLong { field, bytes, .. } => Why::TooLong {
                    field,
                    bytes,
                    bytes_max: room.min(URL_BYTES_MAX),
                },
                other => other,
            })?;
        }
        let bytes = links.urls.len() - before;
        if bytes > URL_BYTES_MAX {
            let bytes_max = URL_BYTES_MAX;
            return Err(Why::TooLong {
                field,
                bytes,
                bytes_max,
            });
        }
        Ok(links.urls.len() as u16)
    };
    let manifest_end = link(fields.manifest_url, "manifestUrl")?;
    let signature_end = link(fields.signature_url, "signatureUrl")?;
    link(fields.web_url, "web part's url")?;
    (links.manifest_end, links.signature_end) = (manifest_end, signature_end);
    Ok(())
}

fn unescape(from: Option<&str>, field: &'static str, to: &mut TextView) -> Result<(), Why> {
    let from = from.ok_or(Why::Missing(field))?;
    for fragment in EscapedStr(from).fragments() {
        let pushed = match fragment {
            Ok(EscapedStringFragment::NotEscaped(text)) => to.push_str(text),
            Ok(EscapedStringFragment::Escaped(char)) => to.push(char),
            Err(_) => return Err(Why::Escape(field)),
        };
        pushed.map_err(|_| Why::TooLong {
            field,
            bytes: from.len(),
            bytes_max: to.capacity(),
        })?;
    }
    Ok(())
}

/// Puts the bytes that `hex` means into `to`.
fn digest(hex: Option<&str>, field: &'static str, to: &mut [u8]) -> Result<(), Why> {
    let hex = hex.ok_or(Why::Missing(field))?;
    let wrong = Why::NotHex {
        field,
        digits: 2 * to.len(),
    };
    let digits = hex.as_bytes();
    if digits.len() != 2 * to.len() {
        return Err(wrong);
    }
    for (byte, pair) in to.iter_mut().zip(digits.chunks_exact(2)) {
        for &digit in pair {
            let Some(value) = char::from(digit).to_digit(16) else {
                return Err(wrong);
            };
            *byte = *byte << 4 | value as u8;
        }
    }
    Ok(())
}

/// Writes a report's JSON; `None` if it is longer than `buffer`.
pub(crate) fn report<'b>(report: &Report<&str, i32>, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let length = serde_json_core::to_slice(report, buffer).ok()?;
    Some(&buffer[..length])
}

/// Writes a heartbeat's JSON, without its slots if it is longer than `buffer` with them; `None` if it is
/// longer even then.
pub(crate) fn heartbeat<'b>(
    message: Message<HeartbeatData<&str, i32>, &str>,
    buffer: &'b mut [u8],
) -> Option<&'b [u8]> {
    let mut heartbeat = Report::Heartbeat(message);
    if report(&heartbeat, buffer).is_none()
        && let Report::Heartbeat(message) = &mut heartbeat
    {
        message.data.slots = Slots::default();
    }
    report(&heartbeat, buffer)
}

/// Writes a status' JSON; `None` if it is longer than `buffer`.
pub(crate) fn status<'b>(status: &Status<&str>, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let length = serde_json_core::to_slice(status, buffer).ok()?;
    Some(&buffer[..length])
}

/// Lower-case hex digits.
pub(crate) struct Hex<'b>(pub &'b [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_that_is_too_long_leaves_out_the_slots_rather_than_itself() {
        // Each byte becomes six.
        let version = core::str::from_utf8(&[1; crate::VERSION_BYTES_MAX]).unwrap();
        let message = |version| Message {
            msg_id: None,
            uuid: Some("GW"),
            timestamp: Some(1),
            data: HeartbeatData {
                firmware_version: version,
                slot: Some("ota_0"),
                slots: Slots([Some(("ota_0", version)), Some(("ota_1", version))]),
                ..HeartbeatData::default()
            },
        };
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        let slots = |payload: &[u8]| payload.windows(7).any(|bytes| bytes == b"\"slots\"");
        assert!(slots(heartbeat(message("2.0.0"), &mut buffer).unwrap()));
        assert!(!slots(heartbeat(message(version), &mut buffer).unwrap()));
    }
}
