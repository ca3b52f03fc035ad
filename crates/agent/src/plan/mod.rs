//! Which packages change to which versions: decided from what the device has and what the servers
//! offer, before anything is downloaded. No file and no socket is touched here.
//!
//! [`resolve`] finds versions that fit each other, [`group`] puts them into transactions.

mod group;
mod resolve;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use airlift_package::{Content, Requirement, Version};

pub use self::resolve::Refused;
use crate::config::Downgrade;

/// Where versions of a package come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    pub package: String,
    pub branch: String,
    /// Base URL.
    pub remote: String,
}

impl Source {
    pub fn of(content: &Content) -> Source {
        Source {
            package: content.package.clone(),
            branch: content.branch.clone(),
            remote: content.remote.clone(),
        }
    }
}

/// A version that a server has.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    pub content: Content,
    /// Of `content.json`'s bytes, lower-case hex.
    pub digest: String,
    /// `content.json` as it was sent: what a signature is over.
    pub bytes: Vec<u8>,
    pub source: Source,
}

impl Offer {
    pub fn version(&self) -> Option<Version> {
        self.content.version.parse().ok()
    }

    fn name(&self) -> &str {
        &self.content.package
    }
}

/// A server could not be asked, or its answer makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CatalogError(pub String);

/// What the servers have.
pub trait Catalog {
    /// The highest version that is given out and satisfies `requirement`; the highest of all if it
    /// is empty. Servers that do not know requirements answer with the highest of all.
    fn highest(&self, source: &Source, requirement: &str) -> Result<Option<Offer>, CatalogError>;

    /// That version, unless it was withdrawn.
    fn exact(&self, source: &Source, version: &str) -> Result<Option<Offer>, CatalogError>;
}

/// What stands on the device.
#[derive(Clone, Debug, PartialEq)]
pub struct Present {
    pub content: Content,
    /// Of its `content.json`; none if the device came with it, and no server need know it.
    pub digest: Option<String>,
}

impl Present {
    fn version(&self) -> Option<Version> {
        self.content.version.parse().ok()
    }
}

/// The device, as planning sees it.
#[derive(Clone, Debug)]
pub struct World {
    /// In the device JSON's order.
    pub listed: Vec<Content>,
    /// By package; also what others brought along.
    pub installed: BTreeMap<String, Present>,
    /// Package → digest of the `content.json` that failed and is not tried again.
    pub failed: BTreeMap<String, String>,
    pub downgrade: Downgrade,
}

impl World {
    fn listed(&self, package: &str) -> Option<&Content> {
        self.listed.iter().find(|it| it.package == package)
    }

    fn has_failed(&self, offer: &Offer) -> bool {
        self.failed.get(offer.name()) == Some(&offer.digest)
    }
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Each to be done wholly or not at all, its packages in the order of their dependencies.
    pub transactions: Vec<Vec<Offer>>,
    /// What cannot be, and why.
    pub refused: Vec<Refused>,
    /// Packages whose servers could not be asked, and why.
    pub unknown: Vec<(String, CatalogError)>,
    /// Package → version: the highest that each listed package's branch has.
    pub heads: BTreeMap<String, String>,
}

/// Plans what follows from the branches: every listed package goes to its branch's highest version.
pub fn follow(world: &World, catalog: &dyn Catalog) -> Result<Plan, CatalogError> {
    let mut plan = Plan::default();
    let mut goals = BTreeMap::new();
    for listed in &world.listed {
        let source = Source::of(listed);
        match wanted(world, &source, catalog, &mut plan.heads) {
            Ok(Some(offer)) => {
                goals.insert(listed.package.clone(), offer);
            }
            Ok(None) => {}
            Err(error) => plan.unknown.push((listed.package.clone(), error)),
        }
    }
    finish(plan, world, catalog, goals, None)
}

/// Plans what a command says: that version of that package, and what it needs.
pub fn pinned(world: &World, catalog: &dyn Catalog, offer: Offer) -> Result<Plan, CatalogError> {
    let package = offer.name().to_owned();
    let present = world.installed.get(&package);
    if present.is_some_and(|it| it.digest.as_deref() == Some(&offer.digest)) {
        return Ok(Plan::default());
    }
    let goals = BTreeMap::from([(package.clone(), offer)]);
    finish(Plan::default(), world, catalog, goals, Some(&package))
}

fn finish(
    mut plan: Plan,
    world: &World,
    catalog: &dyn Catalog,
    goals: BTreeMap<String, Offer>,
    pinned: Option<&str>,
) -> Result<Plan, CatalogError> {
    let (changes, refused) = resolve::settle(world, catalog, goals, pinned)?;
    plan.transactions = group::transactions(world, changes);
    plan.refused = refused;
    Ok(plan)
}

/// The version that a listed package should go to, if it is another than the installed one.
fn wanted(
    world: &World,
    source: &Source,
    catalog: &dyn Catalog,
    heads: &mut BTreeMap<String, String>,
) -> Result<Option<Offer>, CatalogError> {
    let Some(head) = catalog.highest(source, "")? else {
        return Ok(None);
    };
    heads.insert(source.package.clone(), head.content.version.clone());
    if world.has_failed(&head) {
        return Ok(None);
    }
    let Some(present) = world.installed.get(&source.package) else {
        return Ok(Some(head));
    };
    let (Some(installed), Some(offered)) = (present.version(), head.version()) else {
        return Ok(Some(head));
    };
    let wanted = if offered > installed {
        true
    } else if offered == installed {
        let file = present.content.sha256();
        !file.is_empty() && file != head.content.sha256()
    } else {
        is_withdrawn(world, source, present, catalog)?
    };
    Ok(wanted.then_some(head))
}

/// Whether the server took back what is installed. A version that the device came with was never the
/// server's to take back.
fn is_withdrawn(
    world: &World,
    source: &Source,
    present: &Present,
    catalog: &dyn Catalog,
) -> Result<bool, CatalogError> {
    if world.downgrade == Downgrade::Never || present.digest.is_none() {
        return Ok(false);
    }
    Ok(catalog.exact(source, &present.content.version)?.is_none())
}

fn allows(requirement: &Requirement, content: &Content) -> bool {
    let version = content.version.parse::<Version>();
    version.is_ok_and(|version| requirement.allows(&version))
}
