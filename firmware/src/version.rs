//! Which version runs: what was installed counts for more than what the image says of itself, for the
//! server knows the version by the name it ordered it under.

use embedded_storage::nor_flash::NorFlash;

use crate::{
    Config, Images, VERSION_BYTES_MAX,
    flash::{descriptor, image, partition_table::Partition},
    ota::{HEAD_BYTES, Ota},
    saved::{Installed, Saved},
    text::{Text, text},
    trial,
};

/// First byte of an application image.
const IMAGE_MAGIC: u8 = 0xE9;
/// The number of the factory app, beside those of the slots.
const FACTORY: u8 = u8::MAX;

/// The version that runs: that of a new web part on trial, or the one in the running slot: as it was installed, unless another image came by cable.
pub(crate) fn running_version<F: NorFlash>(
    ota: &mut Ota<F>,
    saved: &Saved,
    config: &Config,
) -> Text<VERSION_BYTES_MAX> {
    if let Some(web) = &saved.web {
        return web.version.clone();
    }
    let running = ota.get_running_partition().clone();
    version_in(ota, saved, config, &running).unwrap_or_else(|| config.first_version.clone())
}

/// The version in the slot that the next update goes to; `None` if no whole image lies there, or nobody
/// knows which.
pub(crate) fn other_version<F: NorFlash>(
    ota: &mut Ota<F>,
    saved: &Saved,
    config: &Config,
) -> Option<Text<VERSION_BYTES_MAX>> {
    let other = ota.get_next_update_partition(None)?.clone();
    // An update writes them last.
    let mut head = [0; HEAD_BYTES];
    ota.flash().read(other.offset, &mut head).ok()?;
    let is_whole = match config.images {
        Images::Any => head != [0xFF; HEAD_BYTES],
        Images::App(_) => head.starts_with(&[IMAGE_MAGIC]),
    };
    is_whole.then(|| version_in(ota, saved, config, &other))?
}

/// As it was installed, else as the image says of itself.
fn version_in<F: NorFlash>(
    ota: &mut Ota<F>,
    saved: &Saved,
    config: &Config,
    partition: &Partition,
) -> Option<Text<VERSION_BYTES_MAX>> {
    if let Some(installed) = installed(ota, saved, partition) {
        return Some(installed.version.clone());
    }
    match config.images {
        Images::Any => None,
        Images::App(_) => descriptor::read_version(ota.flash(), partition.offset)
            .map(|version| text(format_args!("{version}"))),
    }
}

/// What was installed into a partition, unless another image came by cable.
fn installed<'s, F: NorFlash>(
    ota: &mut Ota<F>,
    saved: &'s Saved,
    partition: &Partition,
) -> Option<&'s Installed> {
    let slot = slot_number(partition);
    let installed = saved.installed.iter().find(|one| one.slot == slot)?;
    let is_same = installed.image.is_none_or(|(size, sha256)| {
        let mut found = [0; 32];
        let at = (partition.offset + size).saturating_sub(32);
        ota.flash().read(at, &mut found).is_ok() && found == sha256
    });
    is_same.then_some(installed)
}

/// Size and own SHA-256 of the running image, for [`Installed`].
pub(crate) fn running_image<F: NorFlash>(
    ota: &mut Ota<F>,
    saved: &Saved,
    config: &Config,
) -> Option<(u32, [u8; 32])> {
    let running = ota.get_running_partition().clone();
    let known = installed(ota, saved, &running).map(|installed| installed.image);
    let Images::App(chip) = config.images else {
        return None;
    };
    known.unwrap_or_else(|| {
        let image = image::verify(ota.flash(), running.offset, running.size, chip).ok()?;
        Some((image.size, image.sha256))
    })
}

/// The number under which [`Installed`] knows a partition.
pub(crate) fn slot_number(partition: &Partition) -> u8 {
    trial::slot_of(partition).unwrap_or(FACTORY)
}
