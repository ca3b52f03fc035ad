//! What server and agent both know of a package: its `content.json`, the order of its versions, and
//! what a requirement of a version asks for.

mod content;
mod requirement;
mod version;

pub use content::{
    CONTENT_BYTES_MAX, Content, ContentError, NAME_LENGTH_MAX, is_branch, is_package_name,
    is_sha256,
};
pub use requirement::{Requirement, RequirementError};
pub use version::{VERSION_LENGTH_MAX, Version, VersionError};
