//! A package server: four addresses.

use std::{cell::RefCell, collections::BTreeMap};

use airlift_package::Content;
use sha2::{Digest, Sha256};
use url::Url;

use crate::{
    http::{Answer, Http, HttpError},
    plan::{Catalog, CatalogError, Offer, Source},
};

/// What servers have, asked by HTTP. Each question is put once.
pub struct Remote<'a> {
    http: &'a Http,
    answers: RefCell<BTreeMap<String, Option<Offer>>>,
}

impl<'a> Remote<'a> {
    pub fn new(http: &'a Http) -> Self {
        Remote {
            http,
            answers: RefCell::default(),
        }
    }

    /// The version that a `manifestUrl` leads to; none if it was withdrawn.
    ///
    /// # Errors
    /// When the server cannot be asked or its answer is no `content.json`.
    pub fn manifest(&self, url: &str) -> Result<Option<(Content, Vec<u8>)>, CatalogError> {
        let answer = self.http.get(url).map_err(told)?;
        let Some(bytes) = body(url, answer)? else {
            return Ok(None);
        };
        let content = Content::read(&bytes).map_err(|error| senseless(url, &error.to_string()))?;
        Ok(Some((content, bytes)))
    }

    /// The detached signature of a version's `content.json`; none if it has none, or the server
    /// knows no signatures.
    pub fn signature(&self, offer: &Offer) -> Result<Option<Vec<u8>>, HttpError> {
        let url = address(
            &offer.source,
            "getSignature",
            Some(&offer.content.version),
            "",
        );
        let answer = self.http.get(&url)?;
        match answer.status {
            404 => Ok(None),
            _ => answer.ok(&url).map(Some),
        }
    }

    fn ask(&self, url: String, source: &Source) -> Result<Option<Offer>, CatalogError> {
        if let Some(known) = self.answers.borrow().get(&url) {
            return Ok(known.clone());
        }
        let answer = self.http.get(&url).map_err(told)?;
        let offer = match body(&url, answer)? {
            None => None,
            Some(bytes) => Some(read_offer(&url, bytes, source)?),
        };
        self.answers.borrow_mut().insert(url, offer.clone());
        Ok(offer)
    }
}

impl Catalog for Remote<'_> {
    fn highest(&self, source: &Source, requirement: &str) -> Result<Option<Offer>, CatalogError> {
        self.ask(address(source, "maxVersion", None, requirement), source)
    }

    fn exact(&self, source: &Source, version: &str) -> Result<Option<Offer>, CatalogError> {
        self.ask(address(source, "getVersion", Some(version), ""), source)
    }
}

/// Where a file is.
pub fn file_url(source: &Source, sha256: &str) -> String {
    format!("{}/otafiles/{sha256}", source.remote)
}

/// SHA-256 of a `content.json`'s bytes, lower-case hex: what "this version" means.
pub fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn read_offer(url: &str, bytes: Vec<u8>, source: &Source) -> Result<Offer, CatalogError> {
    let content = Content::read(&bytes).map_err(|error| senseless(url, &error.to_string()))?;
    if content.package != source.package || content.branch != source.branch {
        let why = format!("is of {} on branch {}", content.package, content.branch);
        return Err(senseless(url, &why));
    }
    Ok(Offer {
        digest: digest(&bytes),
        content,
        bytes,
        source: source.clone(),
    })
}

fn body(url: &str, answer: Answer) -> Result<Option<Vec<u8>>, CatalogError> {
    match answer.status {
        404 => Ok(None),
        _ => answer.ok(url).map(Some).map_err(told),
    }
}

fn told(error: HttpError) -> CatalogError {
    CatalogError(error.to_string())
}

fn senseless(url: &str, why: &str) -> CatalogError {
    CatalogError(format!("{url}: the server's content.json {why}"))
}

fn address(source: &Source, what: &str, version: Option<&str>, requirement: &str) -> String {
    let base = format!("{}/{what}", source.remote);
    let mut pairs = vec![
        ("package", source.package.as_str()),
        ("branch", source.branch.as_str()),
    ];
    pairs.extend(version.map(|version| ("version", version)));
    if !requirement.is_empty() {
        pairs.push(("requirement", requirement));
    }
    match Url::parse_with_params(&base, pairs) {
        Ok(url) => url.into(),
        // The configuration was checked; what cannot be reached says so.
        Err(_) => base,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_escaped() {
        let source = Source {
            package: "c++".into(),
            branch: "team/main".into(),
            remote: "http://h/base".into(),
        };
        assert_eq!(
            address(&source, "maxVersion", None, ">=1, <2"),
            "http://h/base/maxVersion?package=c%2B%2B&branch=team%2Fmain&requirement=%3E%3D1%2C+%3C2"
        );
    }
}
