//! Versions that fit each other.
//!
//! It begins with the goals, and as long as some package is not what others need of it, takes the
//! highest version that is. Where there is none, the goal at the root of it is given up, and it begins
//! again with one goal less; so it ends.

use std::collections::{BTreeMap, BTreeSet};

use airlift_package::{Content, Requirement};
use airlift_proto::error_code;

use super::{Catalog, CatalogError, Offer, Present, Source, World, allows, group};
use crate::config::Downgrade;

/// A package that changed its version so often while others changed theirs fits no way.
const TURNS_MAX: u32 = 32;

/// A version that cannot be had, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub package: String,
    pub version: String,
    /// One of [`airlift_proto::error_code`].
    pub code: &'static str,
    pub message: String,
}

/// A package that is to change.
#[derive(Clone, Debug)]
pub struct Change {
    pub offer: Offer,
    /// Who needs it; nobody needs a goal.
    cause: Option<String>,
}

pub type Changes = BTreeMap<String, Change>;

/// Who needs what of a package.
struct Need<'a> {
    requirer: &'a Content,
    source: Source,
    requirement: Requirement,
    is_of_change: bool,
}

/// Why some goals cannot all be reached, and the one to give up.
struct Conflict {
    goal: String,
    code: &'static str,
    message: String,
}

enum Choice {
    Stay,
    Take(Box<Offer>),
    /// With the newest version there is, or why there is none.
    None(String),
}

enum Stop {
    Conflict(Conflict),
    Catalog(CatalogError),
}

impl From<CatalogError> for Stop {
    fn from(error: CatalogError) -> Self {
        Stop::Catalog(error)
    }
}

/// The changes that reach as many goals as can be, and the goals that cannot be reached.
pub fn settle(
    world: &World,
    catalog: &dyn Catalog,
    mut goals: BTreeMap<String, Offer>,
    pinned: Option<&str>,
) -> Result<(Vec<Offer>, Vec<Refused>), CatalogError> {
    let mut refused = Vec::new();
    let changes = loop {
        let resolver = Resolver {
            world,
            catalog,
            goals: &goals,
            pinned,
        };
        let conflict = match resolver.run() {
            Ok(changes) => {
                refused.extend(resolver.held_back(&changes));
                break changes;
            }
            Err(Stop::Catalog(error)) => return Err(error),
            Err(Stop::Conflict(conflict)) => conflict,
        };
        let Some(goal) = goals.remove(&conflict.goal) else {
            break Changes::new();
        };
        refused.push(Refused {
            package: conflict.goal,
            version: goal.content.version,
            code: conflict.code,
            message: conflict.message,
        });
    };
    let changes = changes.into_values().map(|change| change.offer);
    Ok((changes.collect(), refused))
}

struct Resolver<'a> {
    world: &'a World,
    catalog: &'a dyn Catalog,
    goals: &'a BTreeMap<String, Offer>,
    pinned: Option<&'a str>,
}

impl Resolver<'_> {
    fn run(&self) -> Result<Changes, Stop> {
        let goal = |offer: &Offer| Change {
            offer: offer.clone(),
            cause: None,
        };
        let goals = self.goals.iter();
        let mut changes: Changes = goals.map(|(name, it)| (name.clone(), goal(it))).collect();
        let mut turns: BTreeMap<String, u32> = BTreeMap::new();
        while let Some(package) = self.first_unmet(&changes) {
            let needs = self.needs(&changes, &package);
            let turn = turns.entry(package.clone()).or_default();
            *turn += 1;
            let choice = match *turn > TURNS_MAX {
                true => Choice::None("no versions that fit each other were found".into()),
                false => self.choose(&package, &needs)?,
            };
            match choice {
                Choice::Stay => {
                    changes.remove(&package);
                }
                Choice::Take(offer) => {
                    let cause = self.cause(&changes, &package, &needs);
                    let offer = *offer;
                    changes.insert(package, Change { offer, cause });
                }
                Choice::None(why) => {
                    return Err(Stop::Conflict(
                        self.conflict(&changes, &package, &needs, &why)?,
                    ));
                }
            }
        }
        self.drop_needless(&mut changes);
        let offers: Vec<&Offer> = changes.values().map(|change| &change.offer).collect();
        match group::circle(&offers) {
            None => Ok(changes),
            Some(circle) => Err(Stop::Conflict(self.broken_circle(&changes, &circle))),
        }
    }

    /// The package that is not what some other needs of it, the first by name.
    fn first_unmet(&self, changes: &Changes) -> Option<String> {
        let contents = self.contents(changes);
        let mut unmet = BTreeSet::new();
        for (requirer, content) in &contents {
            for (package, text) in &content.dependencies {
                let Ok(requirement) = text.parse::<Requirement>() else {
                    continue;
                };
                let is_counted =
                    changes.contains_key(*requirer) || self.is_met_now(package, &requirement);
                let is_met = contents
                    .get(package.as_str())
                    .is_some_and(|it| allows(&requirement, it));
                if is_counted && !is_met {
                    unmet.insert(package);
                }
            }
        }
        unmet.into_iter().next().cloned()
    }

    /// What the device would have.
    fn contents<'a>(&'a self, changes: &'a Changes) -> BTreeMap<&'a str, &'a Content> {
        let installed = self.world.installed.iter();
        let mut contents: BTreeMap<&str, &Content> = installed
            .map(|(name, present)| (name.as_str(), &present.content))
            .collect();
        for (name, change) in changes {
            contents.insert(name, &change.offer.content);
        }
        contents
    }

    /// What a package that stays needs is kept; what it lacks already is not our doing.
    fn is_met_now(&self, package: &str, requirement: &Requirement) -> bool {
        let present = self.world.installed.get(package);
        present.is_some_and(|it| allows(requirement, &it.content))
    }

    fn needs<'a>(&'a self, changes: &'a Changes, package: &str) -> Vec<Need<'a>> {
        let mut needs = Vec::new();
        for (name, requirer) in self.contents(changes) {
            let Some(text) = requirer.dependencies.get(package) else {
                continue;
            };
            let Ok(requirement) = text.parse::<Requirement>() else {
                continue;
            };
            let change = changes.get(name);
            if change.is_none() && !self.is_met_now(package, &requirement) {
                continue;
            }
            let source = match (change, self.world.listed(name)) {
                (Some(change), _) => change.offer.source.clone(),
                (None, Some(listed)) => Source::of(listed),
                (None, None) => Source::of(requirer),
            };
            needs.push(Need {
                requirer,
                source,
                requirement,
                is_of_change: change.is_some(),
            });
        }
        needs
    }

    /// Where a package comes from: the device says it, or else who needs it.
    fn source(&self, package: &str, needs: &[Need]) -> Option<Source> {
        if let Some(listed) = self.world.listed(package) {
            return Some(Source::of(listed));
        }
        let need = needs.iter().find(|it| it.is_of_change);
        let need = need.or(needs.first())?;
        Some(Source {
            package: package.to_owned(),
            ..need.source.clone()
        })
    }

    fn choose(&self, package: &str, needs: &[Need]) -> Result<Choice, CatalogError> {
        let present = self.world.installed.get(package);
        let fits = |content: &Content| needs.iter().all(|it| allows(&it.requirement, content));
        let may_stay = present.is_some_and(|it| fits(&it.content));
        let goal = self.goals.get(package);
        if self.pinned == Some(package) {
            return Ok(Choice::None("the server commands another version".into()));
        }
        if goal.is_none() && may_stay {
            return Ok(Choice::Stay);
        }
        let Some(source) = self.source(package, needs) else {
            return Ok(Choice::Stay);
        };
        let texts: Vec<&str> = needs.iter().map(|it| it.requirement.as_str()).collect();
        let texts: Vec<&str> = texts.into_iter().filter(|it| !it.is_empty()).collect();
        let newest = self.catalog.highest(&source, &texts.join(", "))?;
        let why = match newest {
            Some(offer) if fits(&offer.content) => match self.bar(present, goal, &offer) {
                None => return Ok(Choice::Take(Box::new(offer))),
                Some(why) => why,
            },
            _ if may_stay => return Ok(Choice::Stay),
            _ => self.newest(&source)?,
        };
        Ok(match may_stay {
            true => Choice::Stay,
            false => Choice::None(why),
        })
    }

    /// Why an offer that fits is not taken.
    fn bar(
        &self,
        present: Option<&Present>,
        goal: Option<&Offer>,
        offer: &Offer,
    ) -> Option<String> {
        let (name, version) = (offer.name(), &offer.content.version);
        if self.world.has_failed(offer) {
            return Some(format!("{name} {version} failed on this device"));
        }
        let present = present?;
        let (installed, offered) = (present.version()?, offer.version()?);
        if present.digest.as_ref() == Some(&offer.digest) {
            return Some(format!("{name} {version} is what is installed"));
        }
        if offered >= installed {
            return None;
        }
        if self.world.downgrade == Downgrade::Never {
            return Some(format!(
                "{name} {version} is older than the installed {}, and this device never goes back",
                present.content.version
            ));
        }
        // A goal that is higher than what is installed is no reason to go lower.
        let is_goal_higher = goal
            .and_then(Offer::version)
            .is_some_and(|it| it > installed);
        is_goal_higher.then(|| format!("{name} {version} is older than the installed"))
    }

    fn newest(&self, source: &Source) -> Result<String, CatalogError> {
        let (package, branch) = (&source.package, &source.branch);
        Ok(match self.catalog.highest(source, "")? {
            None => format!("there is no {package} on branch {branch}"),
            Some(offer) => format!("newest on branch {branch} is {}", offer.content.version),
        })
    }

    /// For whose sake a package changes.
    fn cause(&self, changes: &Changes, package: &str, needs: &[Need]) -> Option<String> {
        if self.goals.contains_key(package) {
            return None;
        }
        let need = needs.iter().find(|it| it.is_of_change);
        let name = need.map(|it| it.requirer.package.clone())?;
        changes.contains_key(&name).then_some(name)
    }

    /// Which goal is given up because nobody can be what `needs` say of `package`.
    fn conflict(
        &self,
        changes: &Changes,
        package: &str,
        needs: &[Need],
        why: &str,
    ) -> Result<Conflict, CatalogError> {
        let of_changes = || needs.iter().filter(|it| it.is_of_change);
        let mut culprit = of_changes().next();
        if of_changes().count() > 1 {
            // The one without which it would work, if there is one.
            for need in of_changes() {
                let others = needs.iter().filter(|it| !std::ptr::eq(*it, need));
                let source = self.source(package, needs);
                if self.is_possible(package, source, &others.collect::<Vec<_>>())? {
                    culprit = Some(need);
                    break;
                }
            }
        }
        let mut message = String::new();
        let mut goal = package.to_owned();
        if let Some(need) = culprit {
            let chain = self.chain(changes, &need.requirer.package);
            goal = chain[0].clone();
            for pair in chain.windows(2) {
                message += &link(&changes[&pair[0]].offer.content, &pair[1]);
                message += "; ";
            }
        }
        let links: Vec<String> = match culprit {
            Some(need) if !needs_each_other(needs, need) => vec![link(need.requirer, package)],
            _ => needs.iter().map(|it| link(it.requirer, package)).collect(),
        };
        message += &format!("{}, {why}", links.join(" and "));
        if !self.goals.contains_key(&goal) {
            let last = self.goals.keys().next_back();
            goal = last.cloned().unwrap_or(goal);
        }
        Ok(Conflict {
            goal,
            code: error_code::DEPENDENCY_UNMET,
            message,
        })
    }

    fn is_possible(
        &self,
        package: &str,
        source: Option<Source>,
        needs: &[&Need],
    ) -> Result<bool, CatalogError> {
        let fits = |content: &Content| needs.iter().all(|it| allows(&it.requirement, content));
        let present = self.world.installed.get(package);
        if present.is_some_and(|it| fits(&it.content)) {
            return Ok(true);
        }
        let Some(source) = source else {
            return Ok(false);
        };
        let texts = needs.iter().map(|it| it.requirement.as_str());
        let texts: Vec<&str> = texts.filter(|it| !it.is_empty()).collect();
        let offer = self.catalog.highest(&source, &texts.join(", "))?;
        Ok(offer.is_some_and(|it| fits(&it.content)))
    }

    /// From a goal to `package`, each needing the next.
    fn chain(&self, changes: &Changes, package: &str) -> Vec<String> {
        let mut chain = vec![package.to_owned()];
        while let Some(cause) = changes.get(&chain[0]).and_then(|it| it.cause.clone()) {
            if chain.contains(&cause) || !changes.contains_key(&cause) {
                break;
            }
            chain.insert(0, cause);
        }
        chain
    }

    /// A circle is broken at a goal: one of its own, or the one that brought it.
    fn broken_circle(&self, changes: &Changes, circle: &[&Offer]) -> Conflict {
        let name = |it: &&&Offer| format!("{} {}", it.name(), it.content.version);
        let mut names: Vec<String> = circle.iter().map(|it| name(&it)).collect();
        names.extend(names.first().cloned());
        let own = circle.iter().find(|it| self.goals.contains_key(it.name()));
        let goal = match own {
            Some(offer) => offer.name().to_owned(),
            None => self.chain(changes, circle[0].name())[0].clone(),
        };
        let last = || self.goals.keys().next_back().cloned();
        let is_goal = self.goals.contains_key(&goal);
        Conflict {
            goal: match is_goal {
                true => goal,
                false => last().unwrap_or(goal),
            },
            code: error_code::DEPENDENCY_CYCLE,
            message: format!("{}: a circle", names.join(" needs ")),
        }
    }

    /// Takes back what nobody needs any more: who needed it changed again meanwhile.
    fn drop_needless(&self, changes: &mut Changes) {
        loop {
            let mut names = changes.keys().filter(|it| !self.goals.contains_key(*it));
            let needless = names.find(|name| {
                let mut fewer = changes.clone();
                fewer.remove(*name);
                self.first_unmet(&fewer).is_none()
            });
            match needless.cloned() {
                Some(name) => changes.remove(&name),
                None => return,
            };
        }
    }

    /// Goals that others keep from being reached, though nothing is broken.
    fn held_back(&self, changes: &Changes) -> Vec<Refused> {
        let mut held = Vec::new();
        for (package, goal) in self.goals {
            let change = changes.get(package);
            if change.is_some_and(|it| it.offer.digest == goal.digest) {
                continue;
            }
            let needs = self.needs(changes, package);
            let needs = needs.iter();
            let against: Vec<String> = needs
                .filter(|it| !allows(&it.requirement, &goal.content))
                .map(|it| link(it.requirer, package))
                .collect();
            let why = match against.is_empty() {
                true => "others need another version".to_owned(),
                false => against.join(" and "),
            };
            held.push(Refused {
                package: package.clone(),
                version: goal.content.version.clone(),
                code: error_code::DEPENDENCY_UNMET,
                message: format!("{package} {} waits: {why}", goal.content.version),
            });
        }
        held
    }
}

/// Whether a need is unmet only together with others: then all are named.
fn needs_each_other(needs: &[Need], culprit: &Need) -> bool {
    needs.len() > 1 && !culprit.requirement.as_str().is_empty()
}

fn link(requirer: &Content, package: &str) -> String {
    let requirement = requirer.dependencies.get(package);
    let requirement = requirement.map_or("", |it| it.trim());
    let any = if requirement.is_empty() {
        "*"
    } else {
        requirement
    };
    format!(
        "{} {} needs {package} {any}",
        requirer.package, requirer.version
    )
}
