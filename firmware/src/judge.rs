//! Whether a release is for this gateway, now, and what the command wants. Its signature is good, so
//! what it says of itself is true.

use core::cmp::Ordering;

use airlift_bundle::{Kind, PartDigests, PartName, Refusal, Release};

use crate::{Gateway, precedence, upgrade::Trouble};

/// The part that the command describes.
pub(crate) fn first_part(release: &Release) -> Option<&PartDigests> {
    match release.kind {
        Kind::Firmware | Kind::FirmwareAndWeb => release.firmware.as_ref(),
        Kind::Web => release.web.as_ref(),
    }
}

impl<F> Gateway<F> {
    /// Why a release, though its signature is good, is not for this gateway, not now, or not what the
    /// command wants.
    pub(crate) fn unfit(&self, release: &Release, unix_seconds: i64) -> Option<Trouble> {
        self.for_another(release)
            .or_else(|| self.older(release))
            .or_else(|| self.expired(release, unix_seconds))
            .or_else(|| self.too_far(release))
            .or_else(|| self.not_ordered(release))
    }

    fn for_another(&self, release: &Release) -> Option<Trouble> {
        let (ours, theirs) = (&self.config.target, &release.target);
        if !ours.is_empty() && theirs != ours {
            return Some(Trouble::refused(
                Refusal::WrongTarget,
                format_args!("the bundle is for {theirs}, this board is {ours}; order one for it"),
            ));
        }
        let (ours, theirs) = (&self.config.device_type, &release.device_type);
        (!ours.is_empty() && theirs != ours).then(|| {
            Trouble::refused(
                Refusal::WrongTarget,
                format_args!("this is a {ours}, the bundle is for the device type {theirs}"),
            )
        })
    }

    fn older(&self, release: &Release) -> Option<Trouble> {
        let (theirs, ours) = (release.release_counter, self.saved.release_counter);
        (theirs < ours && !release.allow_rollback).then(|| {
            Trouble::refused(
                Refusal::ReleaseRollback,
                format_args!(
                    "release {theirs} is older than {ours}, which ran here; to go back, sign it with \
                     allowRollback"
                ),
            )
        })
    }

    fn expired(&self, release: &Release, unix_seconds: i64) -> Option<Trouble> {
        let now = unix_seconds.max(self.saved.time_floor);
        let expires_at = release.expires_at.filter(|expires_at| now > *expires_at)?;
        Some(Trouble::refused(
            Refusal::Expired,
            format_args!(
                "the bundle expired at {expires_at} and it is {now} (Unix seconds); build it anew"
            ),
        ))
    }

    fn too_far(&self, release: &Release) -> Option<Trouble> {
        let (running, min) = (&self.version, release.min_version.as_ref()?);
        let is_below = precedence::compare(running, min).is_none_or(Ordering::is_lt);
        is_below.then(|| {
            Trouble::refused(
                Refusal::MinVersion,
                format_args!("the bundle needs {min}, {running} runs; upgrade to that first"),
            )
        })
    }

    /// The command and the manifest are not of one release.
    fn not_ordered(&self, release: &Release) -> Option<Trouble> {
        let order = &self.saved.active.as_ref()?.order;
        let part = first_part(release)?;
        let has_web = || order.links.as_ref().is_some_and(|it| !it.web().is_empty());
        let other = if order.version != release.version {
            "version"
        } else if order.file_size != part.size {
            "fileSize"
        } else if order.md5 != part.md5 {
            "md5"
        } else if order.sha256.is_some_and(|sha256| sha256 != part.sha256) {
            "sha256"
        } else if release.kind == Kind::FirmwareAndWeb && !has_web() {
            PartName::Web.file_name()
        } else {
            return None;
        };
        Some(Trouble::refused(
            Refusal::PartMismatch,
            format_args!(
                "the command's {other} is not the signed manifest's; upload the bundle anew"
            ),
        ))
    }
}
