//! The flash and the server's answers for `firmware/size.sh`: writes `flash.bin` and `server.bin`
//! into the folder it is given.

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use airlift_bundle::{
    Manifest, Part, SCHEMA, TrustedKey,
    keys::{SigningKey, TrustedKeys, generate},
};
use airlift_simflash::{
    ImageBuilder, SimFlash,
    table::{self, Entry},
};
use md5::{Digest, Md5};
use sha2::Sha256;

/// The chip of QEMU's board.
const CHIP_ID: u16 = 0xF001;
const FLASH_BYTES: usize = 0x10_0000;
const TABLE_AT: u32 = 0x8000;
const SLOT_AT: u32 = 0x1_0000;
const IMAGE_BYTES: usize = 300_000;
const URL: &str = "http://server/firmware/gateway_v1.0.2";

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(env::args_os().nth(1).ok_or("give a folder")?);
    let partitions = table::to_binary(&[
        Entry::new("nvs", 1, 2, 0x9000, 0x5000),
        Entry::new("otadata", 1, 0, 0xE000, 0x2000),
        Entry::new("app0", 0, 0x10, SLOT_AT, 0x7_0000),
        Entry::new("app1", 0, 0x11, 0x8_0000, 0x7_0000),
    ]);
    let image = |version: &str| {
        let builder = ImageBuilder::new(CHIP_ID).version(version).project("size");
        builder.size(IMAGE_BYTES / 16 * 16, 1).build()
    };
    let mut flash = SimFlash::new(FLASH_BYTES);
    flash.load(TABLE_AT, &partitions);
    flash.load(SLOT_AT, &image("1.0.1"));
    fs::write(folder.join("flash.bin"), flash.to_bytes())?;
    let new = image("1.0.2");
    let (md5, sha256) = (hex(&Md5::digest(&new)), hex(&Sha256::digest(&new)));
    let command = format!(
        r#"{{"msgType":"ota_upgrade","msgId":"ota_1","uuid":"core-size","timestamp":1770000000,"data":{{"version":"1.0.2","firmwareUrl":"{URL}.bin","md5":"{md5}","sha256":"{sha256}","fileSize":{size},"forceUpgrade":false,"msgId":"ota_1","manifestUrl":"{URL}.manifest.json","signatureUrl":"{URL}.manifest.json.asc","kind":"firmware","parts":[{{"name":"firmware.bin","partition":"app","url":"{URL}.bin","size":{size},"sha256":"{sha256}","md5":"{md5}"}}]}}}}"#,
        size = new.len()
    );
    let part = Part {
        name: "firmware.bin".into(),
        partition: "app".into(),
        size: new.len() as u64,
        sha256,
        md5,
    };
    let manifest = manifest(part).to_json();
    let (key, signature) = sign(&folder, &manifest)?;
    let key = key.to_string();
    let mut server = Vec::new();
    for block in [
        key.as_bytes(),
        command.as_bytes(),
        signature.as_bytes(),
        &manifest,
        &new,
    ] {
        server.extend((block.len() as u32).to_le_bytes());
        server.extend(block);
        server.resize(server.len().next_multiple_of(4), 0);
    }
    fs::write(folder.join("server.bin"), server)?;
    Ok(())
}

fn manifest(part: Part) -> Manifest {
    Manifest {
        schema: SCHEMA,
        device_type: "gateway".into(),
        version: "1.0.2".into(),
        target: "esp32c3".into(),
        kind: "firmware".into(),
        release_counter: 1,
        allow_rollback: false,
        min_version: None,
        created_at: 1_770_000_000,
        expires_at: None,
        parts: vec![part],
        changelog: "- What changed. ".repeat(200),
    }
}

/// A new key, and its signature.
fn sign(folder: &Path, manifest: &[u8]) -> Result<(TrustedKey, String), Box<dyn Error>> {
    let (secret, public) = generate("Releases", None, None)?;
    let secret_file = folder.join("secret.asc");
    fs::write(&secret_file, secret)?;
    let trusted = folder.join("trusted");
    fs::create_dir(&trusted)?;
    fs::write(trusted.join("release.asc"), public)?;
    let file = secret_file
        .to_str()
        .ok_or("the folder's name is no UTF-8")?;
    let signature = SigningKey::open(file, None)?.sign(manifest)?;
    let mut keys = TrustedKeys::read(&trusted)?.for_devices();
    let key = keys.pop().ok_or("the new key is for no device")?;
    Ok((key, signature))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
