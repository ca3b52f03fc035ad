//! Commands as they come and messages as they go, without an allocator.

use core::fmt;

use airlift_proto::{CancelData, Message, Report, Status, UpgradeData};
use serde::Deserialize;
use serde_json_core::str::{EscapedStr, EscapedStringFragment};

use crate::{MSG_ID_BYTES_MAX, VERSION_BYTES_MAX, saved::Order, text::Text};

/// Largest message a gateway sends, bytes.
pub const MESSAGE_BYTES_MAX: usize = 768;

/// Why a command is not obeyed.
#[derive(Debug)]
pub(crate) enum Why {
    Malformed(serde_json_core::de::Error),
    UnknownType,
    NoMsgId,
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
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Malformed(error) => write!(f, "it is no command: {error}"),
            Why::UnknownType => f.write_str("its msgType is not known"),
            Why::NoMsgId => f.write_str("it has no msgId, so a duplicate would start again"),
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
        }
    }
}

#[expect(
    clippy::large_enum_variant,
    reason = "there is no allocator to box with"
)]
pub(crate) enum Command {
    Upgrade(Order),
    /// An upgrade that cannot even be considered; it is refused under its id.
    Impossible {
        msg_id: Text<MSG_ID_BYTES_MAX>,
        version: Text<VERSION_BYTES_MAX>,
        why: Why,
    },
    Cancel {
        msg_id: Text<MSG_ID_BYTES_MAX>,
    },
}

#[derive(Deserialize)]
struct Head<'p> {
    #[serde(rename = "msgType", borrow)]
    msg_type: EscapedStr<'p>,
}

/// Reads the payload of a command.
pub(crate) fn command(payload: &[u8]) -> Result<Command, Why> {
    let (head, _) = serde_json_core::from_slice::<Head<'_>>(payload).map_err(Why::Malformed)?;
    match head.msg_type.0 {
        "ota_upgrade" => {
            let (message, _) = serde_json_core::from_slice(payload).map_err(Why::Malformed)?;
            upgrade(message)
        }
        "ota_cancel" => {
            let (message, _) = serde_json_core::from_slice::<
                Message<CancelData<EscapedStr<'_>>, EscapedStr<'_>>,
            >(payload)
            .map_err(Why::Malformed)?;
            Ok(Command::Cancel {
                msg_id: unescaped(message.data.msg_id, "msgId")?,
            })
        }
        _ => Err(Why::UnknownType),
    }
}

fn upgrade(message: Message<UpgradeData<EscapedStr<'_>>, EscapedStr<'_>>) -> Result<Command, Why> {
    let data = message.data;
    let msg_id = [data.msg_id, message.msg_id]
        .into_iter()
        .flatten()
        .find(|msg_id| !msg_id.0.is_empty())
        .ok_or(Why::NoMsgId)?;
    let msg_id = unescaped(msg_id, "msgId")?;
    let version = unescaped(data.version, "version")?;
    let rest = || -> Result<_, Why> {
        Ok((
            unescaped(data.firmware_url, "firmwareUrl")?,
            digest(data.md5, "md5")?,
            data.sha256
                .filter(|hex| !hex.0.is_empty())
                .map(|hex| digest(hex, "sha256"))
                .transpose()?,
        ))
    };
    Ok(match rest() {
        Ok((url, md5, sha256)) => Command::Upgrade(Order {
            msg_id,
            version,
            url,
            md5,
            sha256,
            file_size: data.file_size,
            force: data.force_upgrade,
            not_before: data.not_before,
            sent_at: message.timestamp,
        }),
        Err(why) => Command::Impossible {
            msg_id,
            version,
            why,
        },
    })
}

fn unescaped<const N: usize>(from: EscapedStr<'_>, field: &'static str) -> Result<Text<N>, Why> {
    let mut out = Text::new();
    for fragment in from.fragments() {
        let pushed = match fragment {
            Ok(EscapedStringFragment::NotEscaped(text)) => out.push_str(text).is_ok(),
            Ok(EscapedStringFragment::Escaped(char)) => out.push(char).is_ok(),
            Err(_) => return Err(Why::Escape(field)),
        };
        if !pushed {
            return Err(Why::TooLong {
                field,
                bytes: from.0.len(),
                bytes_max: N,
            });
        }
    }
    Ok(out)
}

/// The `N` bytes that `hex` means.
fn digest<const N: usize>(hex: EscapedStr<'_>, field: &'static str) -> Result<[u8; N], Why> {
    let wrong = || Why::NotHex {
        field,
        digits: 2 * N,
    };
    let digits = hex.0.as_bytes();
    if digits.len() != 2 * N {
        return Err(wrong());
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        for &digit in pair {
            let value = char::from(digit).to_digit(16).ok_or_else(wrong)?;
            *byte = *byte << 4 | value as u8;
        }
    }
    Ok(out)
}

/// Writes a report's JSON; `None` if it is longer than `buffer`.
pub(crate) fn report<'b>(report: &Report<&str, i32>, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let length = serde_json_core::to_slice(report, buffer).ok()?;
    Some(&buffer[..length])
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
