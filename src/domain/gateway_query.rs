//! Which gateways are meant. The language: terms separated by blanks, all of which must hold.
//!
//! To add a term: a [`GatewayTerm`] with its rule in [`GatewayQuery::matches`], its words in
//! [`term`], its SQL in `store/gateway_query.rs` (a test compares the two), a line in
//! `docs/http-api.md`.

use std::{collections::BTreeSet, fmt};

use airlift_proto::{GATEWAY_ID_LENGTH_MAX, is_gateway_id};

use super::{
    DEVICE_TYPE_LENGTH_MAX, Gateway, Tags, check_tag_key, check_tag_value,
    firmware::version_of_key, is_device_type, version_key,
};

/// Longest filter, in bytes.
pub const FILTER_LENGTH_MAX: usize = 1024;
/// Most terms of a filter.
pub const FILTER_TERMS_MAX: usize = 16;

/// Gateways for which every term holds: without terms, all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GatewayQuery {
    pub terms: Vec<GatewayTerm>,
}

/// What can be asked of a gateway.
#[derive(Clone, Debug, PartialEq)]
pub enum GatewayTerm {
    /// It has this tag, whatever the value.
    HasTag(String),
    /// It has this tag with this value.
    Tag(String, String),
    /// Its version, which must be SemVer, by precedence against that of a [`version_key`].
    Version(Comparison, String),
    /// It never said its version, or what it said is not SemVer.
    VersionUnknown,
    /// It said exactly this version, SemVer or not.
    CurrentVersion(String),
    Online(bool),
    DeviceType(String),
    Id(String),
    IdPrefix(String),
    OneOf(BTreeSet<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
}

/// The signs; one that begins another stands behind it.
const COMPARISONS: [(&str, Comparison); 6] = [
    ("<=", Comparison::LessOrEqual),
    ("<", Comparison::Less),
    (">=", Comparison::GreaterOrEqual),
    (">", Comparison::Greater),
    ("!=", Comparison::NotEqual),
    ("=", Comparison::Equal),
];

impl Comparison {
    fn sign(self) -> &'static str {
        COMPARISONS
            .into_iter()
            .find_map(|(sign, comparison)| (comparison == self).then_some(sign))
            .unwrap_or_default()
    }

    pub fn holds<T: Ord>(self, left: T, right: T) -> bool {
        match self {
            Comparison::Less => left < right,
            Comparison::LessOrEqual => left <= right,
            Comparison::Equal => left == right,
            Comparison::NotEqual => left != right,
            Comparison::GreaterOrEqual => left >= right,
            Comparison::Greater => left > right,
        }
    }
}

impl GatewayTerm {
    fn holds(&self, gateway: &Gateway) -> bool {
        match self {
            GatewayTerm::HasTag(key) => gateway.tags.contains_key(key),
            GatewayTerm::Tag(key, value) => gateway.tags.get(key) == Some(value),
            GatewayTerm::Version(comparison, key) => {
                let current = gateway.version_key();
                current.is_some_and(|current| comparison.holds(&current, key))
            }
            GatewayTerm::VersionUnknown => gateway.version_key().is_none(),
            GatewayTerm::CurrentVersion(version) => {
                gateway.current_version.as_ref() == Some(version)
            }
            GatewayTerm::Online(online) => gateway.online == *online,
            GatewayTerm::DeviceType(device_type) => gateway.device_type == *device_type,
            GatewayTerm::Id(id) => gateway.gateway_id == *id,
            GatewayTerm::IdPrefix(prefix) => gateway.gateway_id.starts_with(prefix),
            GatewayTerm::OneOf(ids) => ids.contains(&gateway.gateway_id),
        }
    }

    /// What the gateway has that the term asks for, as a sentence about "it".
    fn asked_of(&self, gateway: &Gateway) -> String {
        match self {
            GatewayTerm::HasTag(key) | GatewayTerm::Tag(key, _) => match gateway.tags.get(key) {
                Some(value) => format!("its tag {key} is {value:?}"),
                None => format!("it has no tag {key}"),
            },
            GatewayTerm::Version(..)
            | GatewayTerm::VersionUnknown
            | GatewayTerm::CurrentVersion(_) => match &gateway.current_version {
                None => "it never said its version".to_owned(),
                Some(version) if version_key(version).is_none() => {
                    format!("it says its version is {version:?}, which is not SemVer")
                }
                Some(version) => format!("it runs {version}"),
            },
            GatewayTerm::Online(_) if gateway.online => "it is online".to_owned(),
            GatewayTerm::Online(_) => "it is offline".to_owned(),
            GatewayTerm::DeviceType(_) => format!("its device type is {}", gateway.device_type),
            GatewayTerm::Id(_) | GatewayTerm::IdPrefix(_) => {
                format!("its id is {}", gateway.gateway_id)
            }
            GatewayTerm::OneOf(_) => "it is not among them".to_owned(),
        }
    }
}

/// As in a filter; what filters have no words for, in words.
impl fmt::Display for GatewayTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GatewayTerm::HasTag(key) => write!(f, "tag:{key}"),
            GatewayTerm::Tag(key, value) => {
                let is_plain = |c: char| !c.is_whitespace() && c != '"';
                match !value.is_empty() && value.chars().all(is_plain) {
                    true => write!(f, "tag:{key}={value}"),
                    false => {
                        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
                        write!(f, "tag:{key}=\"{escaped}\"")
                    }
                }
            }
            GatewayTerm::Version(comparison, key) => {
                let version = version_of_key(key).unwrap_or_default();
                write!(f, "version{}{version}", comparison.sign())
            }
            GatewayTerm::VersionUnknown => f.write_str("version:unknown"),
            GatewayTerm::CurrentVersion(version) => write!(f, "currentVersion {version}"),
            GatewayTerm::Online(online) => write!(f, "online:{online}"),
            GatewayTerm::DeviceType(device_type) => write!(f, "type:{device_type}"),
            GatewayTerm::Id(id) => write!(f, "id:{id}"),
            GatewayTerm::IdPrefix(prefix) => write!(f, "id:{prefix}*"),
            GatewayTerm::OneOf(ids) => write!(f, "one of {} gatewayIds", ids.len()),
        }
    }
}

/// A term that does not hold for a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// As in a filter.
    pub term: String,
    /// What the gateway has instead, as a sentence about "it".
    pub has: String,
}

impl From<GatewayTerm> for GatewayQuery {
    fn from(term: GatewayTerm) -> GatewayQuery {
        GatewayQuery { terms: vec![term] }
    }
}

impl GatewayQuery {
    /// Reads a filter; a refusal is a sentence that names the term and shows a right one.
    pub fn parse(filter: &str) -> Result<GatewayQuery, String> {
        if filter.len() > FILTER_LENGTH_MAX {
            return Err(format!(
                "the filter has {} bytes: shorten it to {FILTER_LENGTH_MAX}",
                filter.len()
            ));
        }
        let words = words(filter)?;
        if words.len() > FILTER_TERMS_MAX {
            return Err(format!(
                "the filter has {} terms: use at most {FILTER_TERMS_MAX}",
                words.len()
            ));
        }
        let terms = words.into_iter().map(term).collect::<Result<_, _>>()?;
        Ok(GatewayQuery { terms })
    }

    /// The gateways of a list; none of an empty one.
    pub fn ids(ids: impl IntoIterator<Item = String>) -> GatewayQuery {
        GatewayTerm::OneOf(ids.into_iter().collect()).into()
    }

    /// Gateways with all of these tags; refuses, with a sentence, what can't be a tag.
    pub fn tags(tags: &Tags) -> Result<GatewayQuery, String> {
        let term = |(key, value): (&String, &String)| {
            check_tag_key(key)?;
            check_tag_value(value)?;
            Ok(GatewayTerm::Tag(key.clone(), value.clone()))
        };
        let terms = tags.iter().map(term).collect::<Result<_, String>>()?;
        Ok(GatewayQuery { terms })
    }

    /// Gateways by version: `<1.0.2`, `1.0.2` or `unknown`; refuses anything else with a sentence.
    pub fn version(condition: &str) -> Result<GatewayQuery, String> {
        if condition == "unknown" {
            return Ok(GatewayTerm::VersionUnknown.into());
        }
        comparison(condition)
            .or_else(|| Some((Comparison::Equal, version_key(condition)?)))
            .map(|(comparison, key)| GatewayTerm::Version(comparison, key).into())
            .ok_or_else(|| {
                format!(
                    "`{condition}` is not a condition on a version: write a comparison (< <= = != \
                     >= >) and a SemVer version without blanks, as in <1.0.2, or unknown"
                )
            })
    }

    /// Gateways for which both hold.
    #[must_use]
    pub fn and(mut self, other: impl Into<GatewayQuery>) -> GatewayQuery {
        self.terms.extend(other.into().terms);
        self
    }

    /// Whether every term holds for `gateway`.
    pub fn matches(&self, gateway: &Gateway) -> bool {
        self.terms.iter().all(|term| term.holds(gateway))
    }

    /// The first term that does not hold for `gateway`; `None` if it is meant.
    pub fn first_miss(&self, gateway: &Gateway) -> Option<Miss> {
        let term = self.terms.iter().find(|term| !term.holds(gateway))?;
        Some(Miss {
            term: term.to_string(),
            has: term.asked_of(gateway),
        })
    }
}

/// The filter's words; a blank between quotes does not end one.
fn words(filter: &str) -> Result<Vec<&str>, String> {
    let mut words = Vec::new();
    let mut rest = filter.trim_start();
    while !rest.is_empty() {
        let end = word_end(rest).ok_or_else(|| {
            format!("the quotes in `{rest}` are not closed: write tag:site=\"north lab\"")
        })?;
        words.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    Ok(words)
}

/// Bytes up to the blank that ends the first word; `None` if its quotes are not closed.
fn word_end(text: &str) -> Option<usize> {
    let mut quoted = false;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' if quoted => drop(chars.next()),
            c if c.is_whitespace() && !quoted => return Some(at),
            _ => {}
        }
    }
    (!quoted).then_some(text.len())
}

fn term(word: &str) -> Result<GatewayTerm, String> {
    if let Some(tag) = word.strip_prefix("tag:") {
        return tag_term(word, tag);
    }
    if let Some(condition) = word.strip_prefix("version") {
        return version_term(word, condition);
    }
    match word.split_once(':') {
        Some(("online", "true")) => Ok(GatewayTerm::Online(true)),
        Some(("online", "false")) => Ok(GatewayTerm::Online(false)),
        Some(("online", _)) => Err(format!(
            "`{word}` is neither online:true nor online:false: write one of these"
        )),
        Some(("type", device_type)) if is_device_type(device_type) => {
            Ok(GatewayTerm::DeviceType(device_type.to_owned()))
        }
        Some(("type", _)) => Err(format!(
            "`{word}` names no device type: write 1 to {DEVICE_TYPE_LENGTH_MAX} of \
             A-Z a-z 0-9 . _ - after type:, as in type:esp32"
        )),
        Some(("id", id)) => id_term(word, id),
        _ => Err(unknown_term(word)),
    }
}

fn tag_term(word: &str, tag: &str) -> Result<GatewayTerm, String> {
    let (key, value) = match tag.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (tag, None),
    };
    let explained = |why| format!("in `{word}`, {why}, as in tag:site=lab");
    check_tag_key(key).map_err(explained)?;
    let Some(value) = value else {
        return Ok(GatewayTerm::HasTag(key.to_owned()));
    };
    if value.is_empty() {
        return Err(format!(
            "`{word}` has no value: write tag:{key} for any value, or tag:{key}=\"\" for the empty one"
        ));
    }
    let value = tag_value(value).ok_or_else(|| {
        format!(
            "the quotes in `{word}` are not around the whole value: write tag:{key}=\"north lab\", \
             and \\\" for a quote within"
        )
    })?;
    check_tag_value(&value).map_err(explained)?;
    Ok(GatewayTerm::Tag(key.to_owned(), value))
}

/// A value as it is, or between quotes with `\"` and `\\`; `None` if quotes stand elsewhere.
fn tag_value(text: &str) -> Option<String> {
    let Some(quoted) = text.strip_prefix('"') else {
        return (!text.contains('"')).then(|| text.to_owned());
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return chars.as_str().is_empty().then_some(value),
            '\\' => value.push(chars.next().filter(|c| matches!(c, '"' | '\\'))?),
            c => value.push(c),
        }
    }
}

fn version_term(word: &str, condition: &str) -> Result<GatewayTerm, String> {
    if condition == ":unknown" {
        return Ok(GatewayTerm::VersionUnknown);
    }
    comparison(condition)
        .map(|(comparison, key)| GatewayTerm::Version(comparison, key))
        .ok_or_else(|| {
            format!(
                "`{word}` is not a condition on the version: write version, a comparison \
                 (< <= = != >= >) and a SemVer version without blanks, as in version<1.0.2, or \
                 version:unknown"
            )
        })
}

/// A comparison and the key of the version behind it.
fn comparison(text: &str) -> Option<(Comparison, String)> {
    COMPARISONS
        .into_iter()
        .find_map(|(sign, comparison)| Some((comparison, version_key(text.strip_prefix(sign)?)?)))
}

fn id_term(word: &str, id: &str) -> Result<GatewayTerm, String> {
    let term = match id.strip_suffix('*') {
        Some(prefix) if is_gateway_id_prefix(prefix) => GatewayTerm::IdPrefix(prefix.to_owned()),
        None if is_gateway_id(id) => GatewayTerm::Id(id.to_owned()),
        _ => {
            return Err(format!(
                "`{word}` names no gateway id: write 1 to {GATEWAY_ID_LENGTH_MAX} of \
                 A-Z a-z 0-9 . _ : - after id:, as in id:HQ2026TEST001, or the beginning of one \
                 with a star behind it, as in id:HQ2026*"
            ));
        }
    };
    Ok(term)
}

fn is_gateway_id_prefix(prefix: &str) -> bool {
    is_gateway_id(prefix) || (!prefix.is_empty() && prefix.bytes().all(|byte| byte == b'.'))
}

fn unknown_term(word: &str) -> String {
    let advice = match word.split_once('=') {
        Some((key, value)) if check_tag_key(key).is_ok() && !value.is_empty() => {
            format!("for a tag write tag:{word}")
        }
        _ => "write tag:site=lab, tag:site, version<1.0.2, version:unknown, online:true, \
              type:esp32, id:HQ2026TEST001 or id:HQ2026*"
            .to_owned(),
    };
    format!("`{word}` is not a term of a filter: {advice}")
}

#[cfg(test)]
mod tests;
