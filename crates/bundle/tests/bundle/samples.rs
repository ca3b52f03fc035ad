//! Manifests to begin with.

use airlift_bundle::{Kind, Manifest, Part, PartName, SCHEMA};

/// A sound manifest of a kind; its parts are those that [`part_bytes`] makes.
pub fn manifest(kind: Kind) -> Manifest {
    let parts = kind.parts().iter();
    Manifest {
        schema: SCHEMA,
        device_type: "gateway".into(),
        version: "2.7.0".into(),
        target: "esp32-wroom".into(),
        kind: kind.as_str().into(),
        release_counter: 17,
        allow_rollback: false,
        min_version: Some("2.6.0".into()),
        created_at: 1_700_000_000,
        expires_at: Some(1_800_000_000),
        parts: parts.map(|&name| part(name)).collect(),
        changelog: "# 2.7.0\n\n- \"signed\" bundles: Größe, 固件 \u{1F680}\n".into(),
    }
}

fn part(name: PartName) -> Part {
    Part {
        name: name.file_name().into(),
        partition: name.partition().into(),
        size: 1000,
        sha256: "a1".repeat(32),
        md5: "0f".repeat(16),
    }
}
