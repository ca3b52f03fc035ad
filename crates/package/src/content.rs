use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Requirement, RequirementError, Version, VersionError};

/// Longest name of a package or branch, in bytes.
pub const NAME_LENGTH_MAX: usize = 64;
/// Largest `content.json`, in bytes.
pub const CONTENT_BYTES_MAX: usize = 64 << 10;

/// A `content.json`: what a version of a package is and how it is installed. All texts; an empty
/// one, or none, says nothing. Fields that are not listed here are kept as they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Content {
    pub package: String,
    #[serde(deserialize_with = "text_or_null")]
    pub description: String,
    pub version: String,
    pub branch: String,
    /// The path on the device at which the package stands.
    #[serde(deserialize_with = "text_or_null")]
    pub local: String,
    /// Base URL of the server that has it.
    #[serde(deserialize_with = "text_or_null")]
    pub remote: String,
    /// Of the file, hex.
    #[serde(deserialize_with = "text_or_null")]
    pub sha256: String,
    /// A command line, run before the swap.
    #[serde(rename = "BeforeUpdate", deserialize_with = "text_or_null")]
    pub before_update: String,
    /// A command line, run after the swap.
    #[serde(rename = "AfterUpdate", deserialize_with = "text_or_null")]
    pub after_update: String,
    /// Package → requirement. `null`, `""` and a JSON object in a text are taken too.
    #[serde(deserialize_with = "dependencies")]
    pub dependencies: BTreeMap<String, String>,
    /// Path of a script, run at the end of an update whatever its outcome.
    #[serde(deserialize_with = "text_or_null")]
    pub restore: String,
    /// A command line that proves that the new version works; not in old files.
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "text_or_null"
    )]
    pub health: String,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    #[error("content.json has {size} bytes: at most {CONTENT_BYTES_MAX} are taken")]
    TooLarge { size: usize },
    #[error("content.json is not as documented: {0}")]
    Json(#[from] serde_json::Error),
    #[error(
        "{field} {value:?}: use 1 to {NAME_LENGTH_MAX} of A-Z a-z 0-9 . _ + -, first a letter or digit"
    )]
    Name { field: &'static str, value: String },
    #[error("version: {0}")]
    Version(#[from] VersionError),
    #[error("sha256 {0:?} is not 64 hex digits")]
    Sha256(String),
    #[error("dependencies: {package}: {error}")]
    Requirement {
        package: String,
        error: RequirementError,
    },
    #[error("dependencies: {0} depends on itself")]
    DependsOnItself(String),
    #[error("{0} has a NUL character, which no path and no command line has")]
    Nul(&'static str),
}

impl Content {
    /// Reads and checks one.
    pub fn read(bytes: &[u8]) -> Result<Content, ContentError> {
        if bytes.len() > CONTENT_BYTES_MAX {
            return Err(ContentError::TooLarge { size: bytes.len() });
        }
        let content: Content = serde_json::from_slice(bytes)?;
        content.check()?;
        Ok(content)
    }

    /// Names, version and requirements make sense; the digest does, if there is one.
    pub fn check(&self) -> Result<(), ContentError> {
        for (field, value, fits) in [
            ("package", &self.package, is_package_name(&self.package)),
            ("branch", &self.branch, is_branch(&self.branch)),
        ] {
            if !fits {
                let value = value.clone();
                return Err(ContentError::Name { field, value });
            }
        }
        for (field, value) in [
            ("description", &self.description),
            ("local", &self.local),
            ("remote", &self.remote),
            ("BeforeUpdate", &self.before_update),
            ("AfterUpdate", &self.after_update),
            ("restore", &self.restore),
            ("health", &self.health),
        ] {
            if value.contains('\0') {
                return Err(ContentError::Nul(field));
            }
        }
        self.version.parse::<Version>()?;
        if !self.sha256.is_empty() && !is_sha256(&self.sha256) {
            return Err(ContentError::Sha256(self.sha256.clone()));
        }
        for (package, requirement) in &self.dependencies {
            if !is_package_name(package) {
                return Err(ContentError::Name {
                    field: "dependencies",
                    value: package.clone(),
                });
            }
            if *package == self.package {
                return Err(ContentError::DependsOnItself(package.clone()));
            }
            requirement
                .parse::<Requirement>()
                .map_err(|error| ContentError::Requirement {
                    package: package.clone(),
                    error,
                })?;
        }
        Ok(())
    }

    /// The digest in lower case.
    pub fn sha256(&self) -> String {
        self.sha256.to_ascii_lowercase()
    }
}

/// Whether it can name a package.
pub fn is_package_name(name: &str) -> bool {
    (1..=NAME_LENGTH_MAX).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b))
}

/// Whether it can name a branch: like a package, `/` allowed between.
pub fn is_branch(name: &str) -> bool {
    name.len() <= NAME_LENGTH_MAX && name.split('/').all(is_package_name)
}

/// 64 hex digits of either case.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn text_or_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}

fn dependencies<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(
        untagged,
        expecting = "dependencies must be an object: package → requirement, both texts"
    )]
    enum Forms {
        Object(BTreeMap<String, String>),
        Text(String),
        Null(()),
    }
    match Forms::deserialize(deserializer)? {
        Forms::Object(dependencies) => Ok(dependencies),
        Forms::Text(text) if text.trim().is_empty() => Ok(BTreeMap::new()),
        Forms::Text(text) => serde_json::from_str(&text).map_err(serde::de::Error::custom),
        Forms::Null(()) => Ok(BTreeMap::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_read_as_old_files_have_it() {
        let text = r#"{"package":"app","description":"x","version":"1.10","branch":"main",
            "local":"/opt/app","remote":"http://h","sha256":"","BeforeUpdate":"systemctl stop app",
            "AfterUpdate":null,"dependencies":"{\"lib\":\">=1.2\"}","restore":"","colour":"red"}"#;
        let content = Content::read(text.as_bytes()).unwrap();
        assert_eq!(content.before_update, "systemctl stop app");
        assert_eq!(content.after_update, "");
        assert_eq!(content.dependencies["lib"], ">=1.2");
        assert_eq!(content.other["colour"], "red");
        let again = serde_json::to_vec(&content).unwrap();
        assert_eq!(Content::read(&again).unwrap(), content);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for (text, named) in [
            ("[]", "documented"),
            (r#"{"package":"a/b","version":"1","branch":"m"}"#, "package"),
            (r#"{"package":"a","version":"1","branch":"../m"}"#, "branch"),
            (r#"{"package":"a","version":"","branch":"m"}"#, "version"),
            (
                r#"{"package":"a","version":"1","branch":"m","sha256":"zz"}"#,
                "sha256",
            ),
            (
                r#"{"package":"a","version":"1","branch":"m","dependencies":{"b":">="}}"#,
                "b:",
            ),
            (
                r#"{"package":"a","version":"1","branch":"m","dependencies":{"a":"1"}}"#,
                "itself",
            ),
            (r#"{"package":"a","version":7,"branch":"m"}"#, "documented"),
            (
                r#"{"package":"a","version":"1","branch":"m","dependencies":{"b":1}}"#,
                "dependencies must be",
            ),
            (
                r#"{"package":"a","version":"1","branch":"m","local":"/a\u0000"}"#,
                "local",
            ),
            (r#"{"package":"a","package":"b"}"#, "duplicate"),
        ] {
            let error = Content::read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
