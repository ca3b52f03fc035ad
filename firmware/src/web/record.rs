//! What is remembered of a change of the web part over a power cut.

use super::{Changed, Layout};
use crate::{
    VERSION_BYTES_MAX,
    stored::{Bytes, Stored, stored},
    text::Text,
};

/// Which way an exchange goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Motion {
    #[default]
    Rest,
    /// To the new web part.
    Up,
    /// To the old one.
    Down,
}

/// A change of the web part: where it lies and how far it is. It is there from the moment all is staged
/// until the new version is confirmed or the old web part is back.
///
/// Image and image after it read each other's: as for [`crate::Saved`], fields are only added, at the
/// end and such that zero means absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Record {
    pub(crate) layout: Layout,
    pub(crate) changed: Changed,
    /// SHA-256 of the partition's first sectors, as many as the new web part has, with the old content.
    pub(crate) old: [u8; 32],
    /// The same with the new content.
    pub(crate) new: [u8; 32],
    pub(crate) motion: Motion,
    /// Steps between the old content (0) and where the motion began, or where it rests. How far it is
    /// since says the journal.
    pub(crate) position: u16,
    /// The version it belongs to.
    pub(crate) version: Text<VERSION_BYTES_MAX>,
}

stored! {
    Layout { slot firmware_bytes web_bytes web_bytes_max flash_bytes }
    Record { layout changed old new motion position version }
}

impl Stored for Motion {
    fn pass(&mut self, bytes: &mut Bytes<'_>) -> Option<()> {
        let mut number = *self as u8;
        number.pass(bytes)?;
        *self = match number {
            0 => Motion::Rest,
            1 => Motion::Up,
            2 => Motion::Down,
            _ => return None,
        };
        Some(())
    }
}
