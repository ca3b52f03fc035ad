//! The upload page's way into the flash.

use crate::world::*;
use airlift_firmware::{
    Event,
    page::{Upload, UploadError},
};

fn upload(world: &mut World, image: &[u8]) -> Result<(), (UploadError, String)> {
    let gateway = world.gateway.as_mut().unwrap();
    let mut run = || {
        gateway.admit(Some(image.len() as u64))?;
        gateway.begin(NOW)?;
        for piece in image.chunks(1_000) {
            gateway.write(piece)?;
        }
        gateway.end()
    };
    let result = run();
    if result.is_err() {
        gateway.abort();
    }
    result.map_err(|refusal| (refusal.error, refusal.cause.to_string()))
}

/// A gateway that knows the image 3.0.0, which comes over the page.
fn world() -> World {
    let mut world = World::started();
    world.files.insert(
        "page".into(),
        File {
            kind: FileKind::Good,
            version: "3.0.0".into(),
            bytes: 9_008,
        },
    );
    world
}

#[test]
fn an_upload_is_tried_and_proven_like_any_update() {
    let mut world = world();
    upload(&mut world, &image_of("3.0.0", 9_008)).unwrap();
    assert_eq!(world.running, FIRST_VERSION, "first the page answers");
    world.happens(Event::LocalDone);
    assert_eq!(world.running, "3.0.0");
    assert!(world.saved().trial.is_some());
    world.settle();
    assert!(world.is_told("version 3.0.0 is confirmed"));
    assert_eq!(world.heartbeats.last().unwrap().firmware_version, "3.0.0");
}

#[test]
fn an_uploaded_image_that_fails_its_trial_is_rolled_back() {
    let mut world = world();
    world.dies.insert("3.0.0".into(), Death::AfterBoot);
    upload(&mut world, &image_of("3.0.0", 9_008)).unwrap();
    world.happens(Event::LocalDone);
    world.settle();
    assert_eq!(world.running, FIRST_VERSION);
    assert!(world.heartbeats.last().unwrap().rollback);
}

#[test]
fn an_upload_survives_a_power_cut_before_the_page_answered() {
    let mut world = world();
    upload(&mut world, &image_of("3.0.0", 9_008)).unwrap();
    world.power_cut();
    assert_eq!(world.running, "3.0.0");
}

#[test]
fn what_is_no_image_is_refused_and_the_next_upload_works() {
    let mut world = world();
    let mut bad = image_of("3.0.0", 9_008);
    airlift_simflash::image::flip(&mut bad, 5_000, 1);
    let (error, cause) = upload(&mut world, &bad).unwrap_err();
    assert_eq!(error.to_string(), "Update.end() failed");
    assert!(cause.contains("ESP_ERR_OTA_VALIDATE_FAILED"), "{cause}");
    let (error, cause) = upload(&mut world, b"MZ").unwrap_err();
    assert_eq!(error.to_string(), "Upload failed");
    assert!(cause.contains("no application image"), "{cause}");
    let (error, cause) = upload(&mut world, &vec![0xE9; 70_000]).unwrap_err();
    assert_eq!(error.to_string(), "Not enough space");
    assert!(cause.contains("70000"), "{cause}");
    upload(&mut world, &image_of("3.0.0", 9_008)).unwrap();
}

#[test]
fn an_upload_and_an_upgrade_keep_off_each_other() {
    let mut world = world();
    world.connect();
    world.order("m", "2.0.0", FileKind::Good);
    let (error, cause) = upload(&mut world, &image_of("3.0.0", 9_008)).unwrap_err();
    assert_eq!(error.to_string(), "Update.begin() failed");
    assert!(
        cause.contains("upgrade from the server is running"),
        "{cause}"
    );
    world.happens(Event::Message(&cancel("m")));
    world.gateway.as_mut().unwrap().admit(None).unwrap();
    world.order("mm", "2.0.1", FileKind::Good);
    let end = world.end_of("mm").unwrap();
    assert_eq!(end.error_code.as_deref(), Some("BUSY"));
    let (error, _) = upload(&mut world, &image_of("3.0.0", 9_008)).unwrap_err();
    assert_eq!(error, UploadError::BeginFailed);
    upload(&mut world, &image_of("3.0.0", 9_008)).unwrap();
}

#[test]
fn an_upload_needs_a_charged_battery() {
    let mut world = world();
    world.happens(Event::Battery(19));
    let (error, cause) = upload(&mut world, &image_of("3.0.0", 9_008)).unwrap_err();
    assert_eq!(error, UploadError::BeginFailed);
    assert!(cause.contains("19 %"), "{cause}");
    world.happens(Event::Battery(20));
    upload(&mut world, &image_of("3.0.0", 9_008)).unwrap();
}

/// It would overwrite the image that a failed trial falls back to.
#[test]
fn an_upload_is_refused_until_the_running_image_is_proven() {
    let mut world = world();
    upload(&mut world, &image_of("3.0.0", 9_008)).unwrap();
    let (_, cause) = upload(&mut world, &image_of("3.0.0", 9_008)).unwrap_err();
    assert!(cause.contains("about to reboot"), "{cause}");
    world.happens(Event::LocalDone);
    let (error, cause) = upload(&mut world, &image_of("3.0.0", 9_008)).unwrap_err();
    assert_eq!(error, UploadError::BeginFailed);
    assert!(cause.contains("still on trial"), "{cause}");
    world.settle();
    upload(&mut world, &image_of("3.0.0", 9_008)).unwrap();
}

#[test]
fn a_page_that_installed_nothing_reboots_nothing() {
    let mut world = world();
    world.happens(Event::LocalDone);
    assert_eq!(world.booted.len(), 1);
}
