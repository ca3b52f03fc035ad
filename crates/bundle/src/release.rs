//! What a device keeps of a manifest.

use core::fmt;

use airlift_esp::Target;
use heapless::String;
use serde::de::{self, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json_core::de::Deserializer;

use crate::{
    DEVICE_TYPE_BYTES_MAX, Kind, MANIFEST_HEAD_BYTES_MAX, PartName, Refusal, SCHEMA,
    VERSION_BYTES_MAX, field,
};

/// Longest target, bytes.
pub const TARGET_BYTES_MAX: usize = 24;

/// A manifest without its changelog, and without an allocator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    pub device_type: String<DEVICE_TYPE_BYTES_MAX>,
    pub version: String<VERSION_BYTES_MAX>,
    pub target: String<TARGET_BYTES_MAX>,
    pub kind: Kind,
    pub release_counter: u64,
    pub allow_rollback: bool,
    pub min_version: Option<String<VERSION_BYTES_MAX>>,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds.
    pub expires_at: Option<i64>,
    /// There if the kind has it.
    pub firmware: Option<PartDigests>,
    /// There if the kind has it.
    pub web: Option<PartDigests>,
}

/// How a part is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartDigests {
    /// Bytes.
    pub size: u64,
    pub sha256: [u8; 32],
    pub md5: [u8; 16],
}

/// The members of a manifest, in their order.
const MEMBERS: [&str; 12] = [
    "schema",
    "deviceType",
    "version",
    "target",
    "kind",
    "releaseCounter",
    "allowRollback",
    "minVersion",
    "createdAt",
    "expiresAt",
    "parts",
    "changelog",
];
/// The members of a part, in their order.
const PART_MEMBERS: [&str; 5] = ["name", "partition", "size", "sha256", "md5"];

impl Release {
    /// Reads the head of a **verified** manifest: its first [`MANIFEST_HEAD_BYTES_MAX`] bytes, or all
    /// of it. What is behind the word `changelog` is not looked at and may be cut off. Texts are
    /// checked as [`crate::Manifest::check`] does, but for the shape of versions.
    ///
    /// # Errors
    /// [`Refusal::UnsafePath`] for a part whose name is no plain name, [`Refusal::WrongTarget`] for
    /// an unknown target, [`Refusal::TooLarge`] for a part that no board of the target has room for,
    /// and [`Refusal::InvalidManifest`] for all else.
    pub fn read(head: &[u8]) -> Result<Release, Refusal> {
        let head = head.get(..MANIFEST_HEAD_BYTES_MAX).unwrap_or(head);
        let mut fields = Fields::default();
        // An error behind the head, such as an end in the middle of the changelog, is none of it.
        let _ = Members(&mut fields).deserialize(&mut Deserializer::new(head, None));
        match fields.is_whole {
            true => fields.release(),
            false => Err(Refusal::InvalidManifest),
        }
    }
}

/// The members as they are read; strings still escaped, which no sound one is.
#[derive(Default)]
struct Fields<'h> {
    schema: Option<u32>,
    device_type: &'h str,
    version: &'h str,
    target: &'h str,
    kind: &'h str,
    release_counter: u64,
    allow_rollback: Option<bool>,
    min_version: Option<&'h str>,
    created_at: i64,
    expires_at: Option<i64>,
    parts: [PartFields<'h>; PartName::ALL.len()],
    parts_count: usize,
    /// The changelog has been reached.
    is_whole: bool,
}

#[derive(Default)]
struct PartFields<'h> {
    name: &'h str,
    partition: &'h str,
    size: u64,
    sha256: &'h str,
    md5: &'h str,
}

impl Fields<'_> {
    /// In the order of [`crate::Manifest::check`], so that both sides give the same word.
    fn release(&self) -> Result<Release, Refusal> {
        let is_sound = self.schema == Some(SCHEMA)
            && field::is_device_type(self.device_type)
            && field::has_version_characters(self.version);
        if !is_sound {
            return Err(Refusal::InvalidManifest);
        }
        let target = Target::parse(self.target).ok_or(Refusal::WrongTarget)?;
        let kind = Kind::parse(self.kind).ok_or(Refusal::InvalidManifest)?;
        let is_sound = field::is_release_counter(self.release_counter)
            && self.allow_rollback != Some(false)
            && self.min_version.is_none_or(field::has_version_characters)
            && field::are_times(self.created_at, self.expires_at);
        if !is_sound {
            return Err(Refusal::InvalidManifest);
        }
        let parts = self.parts.get(..self.parts_count).unwrap_or_default();
        if parts
            .iter()
            .any(|part| !field::is_plain(part.name.as_bytes()))
        {
            return Err(Refusal::UnsafePath);
        }
        let names = kind.parts();
        if parts.len() != names.len() || !parts.iter().zip(names).all(|(part, &name)| part.is(name))
        {
            return Err(Refusal::InvalidManifest);
        }
        let [mut firmware, mut web] = [None, None];
        for (part, &name) in parts.iter().zip(names) {
            let digests = part.digests(field::part_bytes_max(target, name))?;
            match name {
                PartName::Firmware => firmware = Some(digests),
                PartName::Web => web = Some(digests),
            }
        }
        Ok(Release {
            device_type: text(self.device_type)?,
            version: text(self.version)?,
            target: text(self.target)?,
            kind,
            release_counter: self.release_counter,
            allow_rollback: self.allow_rollback.unwrap_or_default(),
            min_version: self.min_version.map(text).transpose()?,
            created_at: self.created_at,
            expires_at: self.expires_at,
            firmware,
            web,
        })
    }
}

impl PartFields<'_> {
    fn is(&self, name: PartName) -> bool {
        self.name == name.file_name() && self.partition == name.partition()
    }

    fn digests(&self, bytes_max: u64) -> Result<PartDigests, Refusal> {
        match self.size {
            0 => Err(Refusal::InvalidManifest),
            size if size > bytes_max => Err(Refusal::TooLarge),
            size => Ok(PartDigests {
                size,
                sha256: field::digest(self.sha256).ok_or(Refusal::InvalidManifest)?,
                md5: field::digest(self.md5).ok_or(Refusal::InvalidManifest)?,
            }),
        }
    }
}

fn text<const N: usize>(from: &str) -> Result<String<N>, Refusal> {
    String::try_from(from).map_err(|_| Refusal::InvalidManifest)
}

/// The next member of an object whose members have an order: none twice, none unknown.
fn next_member<'h, A: MapAccess<'h>>(
    map: &mut A,
    members: &[&'static str],
    next: &mut usize,
) -> Result<Option<&'static str>, A::Error> {
    let Some(key) = map.next_key::<&str>()? else {
        return Ok(None);
    };
    let place = (*next..members.len()).find(|&place| members[place] == key);
    let place = place.ok_or_else(|| A::Error::custom("unknown, twice or out of order"))?;
    *next = place + 1;
    Ok(Some(members[place]))
}

/// The manifest's object.
struct Members<'f, 'h>(&'f mut Fields<'h>);

impl<'h> DeserializeSeed<'h> for Members<'_, 'h> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'h>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'h> Visitor<'h> for Members<'_, 'h> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a manifest")
    }

    fn visit_map<A: MapAccess<'h>>(self, mut map: A) -> Result<(), A::Error> {
        let Members(fields) = self;
        let mut next = 0;
        while let Some(member) = next_member(&mut map, &MEMBERS, &mut next)? {
            let text = match member {
                "schema" => {
                    fields.schema = Some(map.next_value()?);
                    continue;
                }
                "releaseCounter" => {
                    fields.release_counter = map.next_value()?;
                    continue;
                }
                "allowRollback" => {
                    fields.allow_rollback = Some(map.next_value()?);
                    continue;
                }
                "minVersion" => {
                    fields.min_version = Some(map.next_value()?);
                    continue;
                }
                "createdAt" => {
                    fields.created_at = map.next_value()?;
                    continue;
                }
                "expiresAt" => {
                    fields.expires_at = Some(map.next_value()?);
                    continue;
                }
                "parts" => {
                    map.next_value_seed(Parts(fields))?;
                    continue;
                }
                "deviceType" => &mut fields.device_type,
                "version" => &mut fields.version,
                "target" => &mut fields.target,
                "kind" => &mut fields.kind,
                _ => {
                    fields.is_whole = true;
                    break;
                }
            };
            *text = map.next_value()?;
        }
        Ok(())
    }
}

/// The manifest's list of parts.
struct Parts<'f, 'h>(&'f mut Fields<'h>);

impl<'h> DeserializeSeed<'h> for Parts<'_, 'h> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'h>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'h> Visitor<'h> for Parts<'_, 'h> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("parts")
    }

    fn visit_seq<A: SeqAccess<'h>>(self, mut list: A) -> Result<(), A::Error> {
        let Parts(Fields {
            parts, parts_count, ..
        }) = self;
        for part in parts {
            match list.next_element_seed(PartMembers(part))? {
                Some(()) => *parts_count += 1,
                None => break,
            }
        }
        // More parts than there are: the list's end is missed.
        Ok(())
    }
}

/// A part's object.
struct PartMembers<'f, 'h>(&'f mut PartFields<'h>);

impl<'h> DeserializeSeed<'h> for PartMembers<'_, 'h> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'h>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'h> Visitor<'h> for PartMembers<'_, 'h> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a part")
    }

    fn visit_map<A: MapAccess<'h>>(self, mut map: A) -> Result<(), A::Error> {
        let PartMembers(part) = self;
        let mut next = 0;
        while let Some(member) = next_member(&mut map, &PART_MEMBERS, &mut next)? {
            let text = match member {
                "size" => {
                    part.size = map.next_value()?;
                    continue;
                }
                "name" => &mut part.name,
                "partition" => &mut part.partition,
                "sha256" => &mut part.sha256,
                _ => &mut part.md5,
            };
            *text = map.next_value()?;
        }
        Ok(())
    }
}
