//! Changes that depend on each other, put together and in order.

use std::collections::{BTreeMap, BTreeSet};

use super::{Offer, World};

/// Connected changes together, each group in the order of its dependencies. The order of groups, and
/// within them where nothing else decides, is the device JSON's, then that of names.
pub fn transactions(world: &World, mut changes: Vec<Offer>) -> Vec<Vec<Offer>> {
    let place = |name: &str| world.listed.iter().position(|it| it.package == name);
    changes.sort_by_key(|it| {
        let name = it.name().to_owned();
        (place(&name).unwrap_or(usize::MAX), name)
    });
    let mut groups: Vec<Vec<Offer>> = Vec::new();
    for members in connected(world, &changes) {
        let group = changes.iter().filter(|it| members.contains(it.name()));
        groups.push(in_order(group.cloned().collect()));
    }
    groups
}

/// Sets of packages that depend on each other, as they will be or as they are: what an old version
/// needs holds until it is gone.
fn connected(world: &World, changes: &[Offer]) -> Vec<BTreeSet<String>> {
    let mut links: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let names: BTreeSet<&str> = changes.iter().map(Offer::name).collect();
    for change in changes {
        let old = world.installed.get(change.name());
        let old = old
            .into_iter()
            .flat_map(|it| it.content.dependencies.keys());
        for other in change.content.dependencies.keys().chain(old) {
            if names.contains(other.as_str()) {
                links.entry(change.name()).or_default().insert(other);
                links.entry(other).or_default().insert(change.name());
            }
        }
    }
    let mut groups: Vec<BTreeSet<String>> = Vec::new();
    for change in changes {
        if groups.iter().any(|it| it.contains(change.name())) {
            continue;
        }
        let mut group = BTreeSet::new();
        let mut open = vec![change.name()];
        while let Some(name) = open.pop() {
            if group.insert(name.to_owned()) {
                open.extend(links.get(name).into_iter().flatten());
            }
        }
        groups.push(group);
    }
    groups
}

/// What others depend on first. There is no circle.
fn in_order(mut left: Vec<Offer>) -> Vec<Offer> {
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let is_free = |offer: &Offer| !left.iter().any(|other| depends(offer, other));
        let next = left.iter().position(is_free).unwrap_or(0);
        ordered.push(left.remove(next));
    }
    ordered
}

fn depends(offer: &Offer, on: &Offer) -> bool {
    offer.content.dependencies.contains_key(on.name())
}

/// Packages each of which depends on the next, and the last on the first.
pub fn circle<'a>(changes: &[&'a Offer]) -> Option<Vec<&'a Offer>> {
    // Who depends on nothing here is in no circle, and so on; whoever is left leads into one.
    let mut left: Vec<&Offer> = changes.to_vec();
    loop {
        let is_in = |offer: &Offer| left.iter().any(|other| depends(offer, other));
        let kept: Vec<&Offer> = left.iter().copied().filter(|it| is_in(it)).collect();
        if kept.len() == left.len() {
            break;
        }
        left = kept;
    }
    let mut path: Vec<&Offer> = vec![left.first().copied()?];
    loop {
        let last = path[path.len() - 1];
        let next = left.iter().copied().find(|other| depends(last, other))?;
        if let Some(begin) = path.iter().position(|it| it.name() == next.name()) {
            return Some(path.split_off(begin));
        }
        path.push(next);
    }
}
