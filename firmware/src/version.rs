//! Which version runs: what was installed counts for more than what the image says of itself, for the
//! server knows the version by the name it ordered it under.

use embedded_storage::nor_flash::NorFlash;

use crate::{
    Config, Images, VERSION_BYTES_MAX,
    flash::descriptor,
    ota::Ota,
    saved::Saved,
    text::{Text, text},
    trial,
};

/// The version in the running slot: as it was installed, unless another image came by cable.
pub(crate) fn running_version<F: NorFlash>(
    ota: &mut Ota<F>,
    saved: &Saved,
    config: &Config,
) -> Text<VERSION_BYTES_MAX> {
    let running = ota.get_running_partition().clone();
    let slot = trial::slot_of(&running);
    let installed = saved.installed.iter().find(|one| Some(one.slot) == slot);
    if let Some(installed) = installed {
        let is_same = installed.image.is_none_or(|(size, sha256)| {
            let mut found = [0; 32];
            let at = (running.offset + size).saturating_sub(32);
            ota.flash().read(at, &mut found).is_ok() && found == sha256
        });
        if is_same {
            return installed.version.clone();
        }
    }
    let described = match config.images {
        Images::Any => None,
        Images::App(_) => descriptor::read_version(ota.flash(), running.offset),
    };
    described.map_or_else(
        || config.first_version.clone(),
        |version| text(format_args!("{version}")),
    )
}
