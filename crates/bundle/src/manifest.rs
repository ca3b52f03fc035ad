//! `manifest.json`: what is signed.

use airlift_esp::Target;
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::{
    CHANGELOG_BYTES_MAX, Error, Kind, MANIFEST_BYTES_MAX, MANIFEST_HEAD_BYTES_MAX, PartName,
    Refusal, SCHEMA, VERSION_BYTES_MAX, field,
};

/// A bundle's manifest. Its canonical form is the JSON of this struct: no white space, members in
/// this order, those that are absent left out, `changelog` last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// [`crate::SCHEMA`].
    pub schema: u32,
    /// As firmwares have it, such as `gateway`.
    pub device_type: String,
    /// SemVer 2.0.
    pub version: String,
    /// The name of an [`airlift_esp::Target`].
    pub target: String,
    /// The word of a [`crate::Kind`].
    pub kind: String,
    /// Grows with each release of a device type, whatever its version; at least 1. A device takes
    /// none below the one it runs.
    pub release_counter: u64,
    /// A device takes this release although its counter is below the one it runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_rollback: bool,
    /// The lowest version from which it may be installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_version: Option<String>,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds; after it no device begins the update. `None`: it never expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// In the order of [`crate::Kind::parts`].
    pub parts: Vec<Part>,
    /// Markdown.
    #[serde(default)]
    pub changelog: String,
}

/// A file that goes into the flash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Part {
    /// [`crate::PartName::file_name`].
    pub name: String,
    /// [`crate::PartName::partition`].
    pub partition: String,
    /// Bytes.
    pub size: u64,
    /// Lower-case hex.
    pub sha256: String,
    /// Lower-case hex.
    pub md5: String,
}

/// The one field that all schemas have.
#[derive(Deserialize)]
struct AnySchema {
    schema: u64,
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Refusal::InvalidManifest, message)
}

impl Manifest {
    /// Reads a manifest in its canonical form, and checks it.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::InvalidManifest`], and those of [`Manifest::check`].
    pub fn parse(bytes: &[u8]) -> Result<Manifest, Error> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(manifest_too_large(bytes.len()));
        }
        let manifest: Manifest =
            serde_json::from_slice(bytes).map_err(|error| match serde_json::from_slice(bytes) {
                Ok(AnySchema { schema }) if schema != u64::from(SCHEMA) => wrong_schema(schema),
                _ => invalid(format!("the manifest is none: {error}")),
            })?;
        manifest.check()?;
        if manifest.to_json() != bytes {
            return Err(invalid(
                "the manifest is not in its canonical form: no white space, the members in their \
                 order, no member that says nothing. Build it with `airlift bundle build`",
            ));
        }
        Ok(manifest)
    }

    /// Whether every field is sound, and all of them together.
    ///
    /// # Errors
    /// [`Refusal::UnsafePath`] for a part whose name is no plain name, [`Refusal::WrongTarget`] for
    /// an unknown target, [`Refusal::TooLarge`] for what is larger than its limit, and
    /// [`Refusal::InvalidManifest`] for all else.
    pub fn check(&self) -> Result<(), Error> {
        if self.schema != SCHEMA {
            return Err(wrong_schema(self.schema.into()));
        }
        if !field::is_device_type(&self.device_type) {
            return Err(invalid(format!(
                "the deviceType {:?} is none: 1 to 64 of A-Z a-z 0-9 . _ -, first a letter or digit",
                self.device_type
            )));
        }
        let version = check_version("version", &self.version)?;
        let target = Target::parse(&self.target).ok_or_else(|| {
            let known = Target::ALL.map(Target::name).join(", ");
            Error::new(
                Refusal::WrongTarget,
                format!(
                    "the target {:?} is not known: it is one of {known}",
                    self.target
                ),
            )
        })?;
        let kind = Kind::parse(&self.kind).ok_or_else(|| {
            let known = Kind::ALL.map(Kind::as_str).join(", ");
            invalid(format!(
                "the kind {:?} is none: it is one of {known}",
                self.kind
            ))
        })?;
        if !field::is_release_counter(self.release_counter) {
            return Err(invalid(format!(
                "the releaseCounter {} is none: it is 1 to {}",
                self.release_counter,
                crate::RELEASE_COUNTER_MAX
            )));
        }
        if let Some(min_version) = &self.min_version
            && check_version("minVersion", min_version)?
                .cmp_precedence(&version)
                .is_ge()
        {
            return Err(invalid(format!(
                "the minVersion {min_version} is not below the version {version}: nobody could install it"
            )));
        }
        self.check_times()?;
        self.check_parts(target, kind)?;
        self.check_changelog()
    }

    fn check_times(&self) -> Result<(), Error> {
        if field::are_times(self.created_at, self.expires_at) {
            return Ok(());
        }
        let expires_at = self
            .expires_at
            .map_or("none".to_owned(), |at| at.to_string());
        Err(invalid(format!(
            "the times make no sense: createdAt {} has to be above 0, expiresAt ({expires_at}) above \
             it, both in Unix seconds and before the year 10000",
            self.created_at
        )))
    }

    fn check_parts(&self, target: Target, kind: Kind) -> Result<(), Error> {
        if let Some(part) = self
            .parts
            .iter()
            .find(|part| !field::is_plain(part.name.as_bytes()))
        {
            return Err(Error::new(
                Refusal::UnsafePath,
                format!(
                    "the part {:?} has no plain name of a bundle's file",
                    part.name
                ),
            ));
        }
        let names = kind.parts();
        let fits = self.parts.len() == names.len()
            && self.parts.iter().zip(names).all(|(part, name)| {
                part.name == name.file_name() && part.partition == name.partition()
            });
        if !fits {
            let expected = names
                .iter()
                .map(|name| format!("{} into {}", name.file_name(), name.partition()));
            return Err(invalid(format!(
                "the parts are not those of the kind {}: {}",
                kind.as_str(),
                expected.collect::<Vec<_>>().join(", ")
            )));
        }
        self.parts
            .iter()
            .zip(names)
            .try_for_each(|(part, &name)| part.check(target, name))
    }

    fn check_changelog(&self) -> Result<(), Error> {
        if self.changelog.len() > CHANGELOG_BYTES_MAX {
            return Err(Error::new(
                Refusal::TooLarge,
                format!(
                    "the changelog has {} bytes, {CHANGELOG_BYTES_MAX} are the limit: shorten it",
                    self.changelog.len()
                ),
            ));
        }
        if self.changelog.contains('\0') {
            return Err(invalid(
                "the changelog has a NUL character, which no database takes: remove it",
            ));
        }
        let length = self.to_json().len();
        if length > MANIFEST_BYTES_MAX {
            return Err(manifest_too_large(length));
        }
        // The changelog and the closing brace are behind the head.
        let head = length - json(&self.changelog).len() - 1;
        if head > MANIFEST_HEAD_BYTES_MAX {
            return Err(Error::new(
                Refusal::TooLarge,
                format!(
                    "the manifest has {head} bytes before its changelog, a device keeps \
                     {MANIFEST_HEAD_BYTES_MAX}: shorten its device type or versions"
                ),
            ));
        }
        Ok(())
    }

    /// The canonical form.
    pub fn to_json(&self) -> Vec<u8> {
        json(self)
    }

    /// What a checked manifest updates.
    pub fn kind(&self) -> Kind {
        Kind::parse(&self.kind).expect("a checked manifest has a known kind")
    }

    /// The board of a checked manifest.
    pub fn target(&self) -> Target {
        Target::parse(&self.target).expect("a checked manifest has a known target")
    }
}

impl Part {
    fn check(&self, target: Target, name: PartName) -> Result<(), Error> {
        let file = name.file_name();
        let bytes_max = field::part_bytes_max(target, name);
        if self.size == 0 {
            return Err(invalid(format!("the part {file} is empty")));
        }
        if self.size > bytes_max {
            return Err(Error::new(
                Refusal::TooLarge,
                format!(
                    "the part {file} has {} bytes, {} takes {bytes_max}: make it smaller",
                    self.size,
                    target.name()
                ),
            ));
        }
        if field::digest::<32>(&self.sha256).is_none() {
            return Err(invalid(format!(
                "the part {file}'s sha256 is not 64 lower-case hex digits"
            )));
        }
        if field::digest::<16>(&self.md5).is_none() {
            return Err(invalid(format!(
                "the part {file}'s md5 is not 32 lower-case hex digits"
            )));
        }
        Ok(())
    }
}

fn check_version(what: &str, version: &str) -> Result<Version, Error> {
    if version.len() > VERSION_BYTES_MAX {
        return Err(invalid(format!(
            "the {what} has {} bytes, {VERSION_BYTES_MAX} are the limit",
            version.len()
        )));
    }
    Version::parse(version).map_err(|error| {
        invalid(format!(
            "the {what} {version:?} is not SemVer 2.0, such as 1.2.3: {error}"
        ))
    })
}

fn wrong_schema(schema: u64) -> Error {
    invalid(format!(
        "the manifest's schema is {schema}, this version reads {SCHEMA}: update airlift, or build the \
         bundle with the version that is here"
    ))
}

fn manifest_too_large(bytes: usize) -> Error {
    Error::new(
        Refusal::TooLarge,
        format!(
            "the manifest has {bytes} bytes, {MANIFEST_BYTES_MAX} are the limit: shorten its changelog"
        ),
    )
}

fn json(value: &(impl Serialize + ?Sized)) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings, numbers and lists always have a JSON form")
}
