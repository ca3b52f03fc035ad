use std::cell::RefCell;

use proptest::prelude::*;

use super::*;

/// What a server has: contents, and whether they were withdrawn.
#[derive(Clone, Debug, Default)]
struct Shelf {
    contents: Vec<(Content, bool)>,
    /// Does not know requirements.
    is_old: bool,
    asked: RefCell<usize>,
}

fn content(package: &str, version: &str, needs: &[(&str, &str)]) -> Content {
    let needs = needs.iter();
    Content {
        package: package.into(),
        version: version.into(),
        branch: "stable".into(),
        remote: "http://h".into(),
        sha256: format!("{package} {version}"),
        dependencies: needs
            .map(|(name, it)| ((*name).into(), (*it).into()))
            .collect(),
        ..Content::default()
    }
}

fn offer(content: &Content) -> Offer {
    Offer {
        digest: content.sha256.clone(),
        bytes: Vec::new(),
        source: Source::of(content),
        content: content.clone(),
    }
}

impl Shelf {
    fn new(contents: &[Content]) -> Shelf {
        Shelf {
            contents: contents.iter().map(|it| (it.clone(), false)).collect(),
            ..Shelf::default()
        }
    }

    fn of(&self, source: &Source) -> impl Iterator<Item = &Content> {
        *self.asked.borrow_mut() += 1;
        let given_out = self.contents.iter().filter(|(_, withdrawn)| !withdrawn);
        let package = source.package.clone();
        given_out
            .map(|(content, _)| content)
            .filter(move |it| it.package == package)
    }
}

impl Catalog for Shelf {
    fn highest(&self, source: &Source, requirement: &str) -> Result<Option<Offer>, CatalogError> {
        let requirement: Requirement = requirement.parse().unwrap();
        let fits = |it: &&Content| self.is_old || allows(&requirement, it);
        let version = |it: &&Content| it.version.parse::<Version>().unwrap();
        Ok(self.of(source).filter(fits).max_by_key(version).map(offer))
    }

    fn exact(&self, source: &Source, version: &str) -> Result<Option<Offer>, CatalogError> {
        let mut contents = self.of(source);
        Ok(contents.find(|it| it.version == version).map(offer))
    }
}

fn world(listed: &[&str], installed: &[Content]) -> World {
    let present = |it: &Content| Present {
        content: it.clone(),
        digest: Some(it.sha256.clone()),
    };
    let installed = installed.iter();
    World {
        listed: listed.iter().map(|it| content(it, "", &[])).collect(),
        installed: installed
            .map(|it| (it.package.clone(), present(it)))
            .collect(),
        failed: BTreeMap::new(),
        downgrade: Downgrade::Withdrawn,
    }
}

/// `app 2.0.0+db 3.0.0` for each transaction.
fn changes(plan: &Plan) -> Vec<String> {
    let name = |it: &Offer| format!("{} {}", it.content.package, it.content.version);
    let transactions = plan.transactions.iter();
    transactions
        .map(|it| it.iter().map(name).collect::<Vec<_>>().join("+"))
        .collect()
}

fn refusals(plan: &Plan) -> Vec<&str> {
    plan.refused.iter().map(|it| it.message.as_str()).collect()
}

#[test]
fn heads_are_wanted_and_what_they_need_comes_first() {
    let shelf = Shelf::new(&[
        content("app", "1.9.0", &[]),
        content("app", "1.10.0", &[("lib", "^2"), ("db", "*")]),
        content("lib", "2.0.0", &[("db", ">=1, <3")]),
        content("lib", "3.0.0", &[]),
        content("db", "1.0.0", &[]),
        content("db", "2.0.0", &[]),
        content("db", "3.0.0", &[]),
        content("tool", "1.0.0", &[]),
    ]);
    let world = world(&["tool", "app"], &[]);
    let plan = follow(&world, &shelf).unwrap();
    assert_eq!(
        changes(&plan),
        ["tool 1.0.0", "db 2.0.0+lib 2.0.0+app 1.10.0"]
    );
    assert!(plan.refused.is_empty());
    assert_eq!(plan.heads["app"], "1.10.0");
}

#[test]
fn the_chain_of_a_need_that_cannot_be_met_is_named() {
    let shelf = Shelf::new(&[
        content("app", "2.0.0", &[("lib", "^1")]),
        content("lib", "1.3.0", &[("db", ">=3")]),
        content("db", "2.4.0", &[]),
        content("tool", "1.0.0", &[]),
    ]);
    for is_old in [false, true] {
        let shelf = Shelf {
            is_old,
            ..shelf.clone()
        };
        let plan = follow(&world(&["app", "tool"], &[]), &shelf).unwrap();
        assert_eq!(changes(&plan), ["tool 1.0.0"]);
        assert_eq!(
            refusals(&plan),
            ["app 2.0.0 needs lib ^1; lib 1.3.0 needs db >=3, newest on branch stable is 2.4.0"]
        );
        assert_eq!(plan.refused[0].code, "DEPENDENCY_UNMET");
    }
    let shelf = Shelf::new(&[content("app", "2.0.0", &[("db", ">=3")])]);
    let plan = follow(&world(&["app"], &[]), &shelf).unwrap();
    assert_eq!(
        refusals(&plan),
        ["app 2.0.0 needs db >=3, there is no db on branch stable"]
    );
}

#[test]
fn a_circle_is_refused_by_name() {
    let shelf = Shelf::new(&[
        content("a", "2", &[("b", "2")]),
        content("b", "2", &[("a", "2")]),
    ]);
    let plan = follow(&world(&["a", "b"], &[]), &shelf).unwrap();
    assert!(plan.transactions.is_empty());
    assert_eq!(plan.refused[0].code, "DEPENDENCY_CYCLE");
    assert_eq!(plan.refused[0].message, "a 2 needs b 2 needs a 2: a circle");
}

#[test]
fn what_stays_keeps_what_it_needs() {
    let app = content("app", "1.0.0", &[("db", "<3")]);
    let shelf = Shelf::new(&[
        app.clone(),
        content("db", "2.0.0", &[]),
        content("db", "2.5.0", &[]),
        content("db", "3.0.0", &[]),
    ]);
    let world = world(&["app", "db"], &[app, content("db", "2.0.0", &[])]);
    let plan = follow(&world, &shelf).unwrap();
    assert_eq!(changes(&plan), ["db 2.5.0"]);
    assert_eq!(refusals(&plan), ["db 3.0.0 waits: app 1.0.0 needs db <3"]);
}

#[test]
fn packages_that_fit_only_together_change_together() {
    let (app, db) = (content("app", "1", &[("db", "1")]), content("db", "1", &[]));
    let shelf = Shelf::new(&[
        app.clone(),
        db.clone(),
        content("app", "2", &[("db", "2")]),
        content("db", "2", &[]),
    ]);
    let plan = follow(&world(&["app", "db"], &[app, db]), &shelf).unwrap();
    assert_eq!(changes(&plan), ["db 2+app 2"]);
}

#[test]
fn old_needs_connect_changes_too() {
    // Were db to go first and alone, app 1 would stand on what it cannot.
    let (app, db) = (content("app", "1", &[("db", "1")]), content("db", "1", &[]));
    let shelf = Shelf::new(&[content("app", "2", &[]), content("db", "2", &[])]);
    let plan = follow(&world(&["db", "app"], &[app, db]), &shelf).unwrap();
    assert_eq!(plan.transactions.len(), 1);
}

#[test]
fn a_withdrawn_version_is_left_and_one_the_device_came_with_is_not() {
    let mut shelf = Shelf::new(&[content("app", "1.0.0", &[]), content("app", "2.0.0", &[])]);
    let mut device = world(&["app"], &[content("app", "2.0.0", &[])]);
    assert_eq!(changes(&follow(&device, &shelf).unwrap()).len(), 0);
    shelf.contents[1].1 = true;
    assert_eq!(changes(&follow(&device, &shelf).unwrap()), ["app 1.0.0"]);
    device.downgrade = Downgrade::Never;
    assert_eq!(changes(&follow(&device, &shelf).unwrap()).len(), 0);
    device.downgrade = Downgrade::Withdrawn;
    device.installed.get_mut("app").unwrap().digest = None;
    assert_eq!(changes(&follow(&device, &shelf).unwrap()).len(), 0);
}

#[test]
fn a_dependency_that_was_withdrawn_is_left_too() {
    let (app, two) = (content("app", "1", &[("db", "*")]), content("db", "2", &[]));
    let mut shelf = Shelf::new(&[
        app.clone(),
        content("db", "1", &[]),
        two.clone(),
        content("db", "3", &[]),
    ]);
    let device = world(&["app"], &[app, two]);
    assert_eq!(changes(&follow(&device, &shelf).unwrap()).len(), 0);
    shelf.contents[2].1 = true;
    assert_eq!(changes(&follow(&device, &shelf).unwrap()), ["db 3"]);
    shelf.contents[3].1 = true;
    assert_eq!(changes(&follow(&device, &shelf).unwrap()), ["db 1"]);
}

#[test]
fn what_failed_is_left_out_until_it_changes() {
    let mut shelf = Shelf::new(&[
        content("app", "2.0.0", &[("db", "^2")]),
        content("db", "2.0.0", &[]),
    ]);
    let mut device = world(&["app"], &[]);
    device.failed.insert("db".into(), "db 2.0.0".into());
    let plan = follow(&device, &shelf).unwrap();
    assert_eq!(
        refusals(&plan),
        ["app 2.0.0 needs db ^2, db 2.0.0 failed on this device"]
    );
    shelf.contents[1].0.sha256 = "other".into();
    assert_eq!(
        changes(&follow(&device, &shelf).unwrap()),
        ["db 2.0.0+app 2.0.0"]
    );
    device.failed.insert("app".into(), "app 2.0.0".into());
    assert_eq!(follow(&device, &shelf).unwrap().transactions.len(), 0);
}

#[test]
fn a_pinned_version_is_that_one_or_none() {
    let (one, two) = (content("app", "1", &[]), content("app", "2", &[]));
    let shelf = Shelf::new(&[one.clone(), two.clone()]);
    let device = world(&["app"], std::slice::from_ref(&two));
    assert_eq!(
        changes(&pinned(&device, &shelf, offer(&one)).unwrap()),
        ["app 1"]
    );
    assert_eq!(
        pinned(&device, &shelf, offer(&two)).unwrap(),
        Plan::default()
    );
    let other = content("web", "1", &[("app", ">=2")]);
    let device = world(&["app", "web"], &[two, other]);
    let plan = pinned(&device, &shelf, offer(&one)).unwrap();
    assert_eq!(
        refusals(&plan),
        ["web 1 needs app >=2, the server commands another version"]
    );
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn needs() -> impl Strategy<Value = Vec<(usize, &'static str)>> {
    let texts = vec!["*", "1", ">=2", "<3", "^2", ">=2, <4", "<2"];
    prop::collection::vec((0..NAMES.len(), prop::sample::select(texts)), 0..3)
}

fn catalog() -> impl Strategy<Value = Vec<Content>> {
    let one = (0..NAMES.len(), 1..5_u32, needs());
    prop::collection::vec(one, 0..14).prop_map(|entries| {
        let mut contents: BTreeMap<(usize, u32), Content> = BTreeMap::new();
        for (name, version, needs) in entries {
            let needs = needs.into_iter().filter(|(other, _)| *other != name);
            let needs: Vec<(&str, &str)> = needs.map(|(it, text)| (NAMES[it], text)).collect();
            let content = content(NAMES[name], &version.to_string(), &needs);
            contents.insert((name, version), content);
        }
        contents.into_values().collect()
    })
}

#[derive(Clone, Debug)]
struct Case {
    shelf: Shelf,
    world: World,
}

fn cases() -> impl Strategy<Value = Case> {
    let flags = || prop::collection::vec(any::<bool>(), 14);
    let listed = prop::sample::subsequence(NAMES.to_vec(), 1..=NAMES.len()).prop_shuffle();
    (
        catalog(),
        listed,
        flags(),
        flags(),
        flags(),
        any::<(bool, bool)>(),
    )
        .prop_map(
            |(contents, listed, withdrawn, installed, failed, (is_old, never))| {
                let installed: Vec<Content> = contents
                    .iter()
                    .zip(&installed)
                    .filter(|(_, is)| **is)
                    .map(|(content, _)| content.clone())
                    .collect();
                let mut world = world(&listed, &installed);
                for (content, failed) in contents.iter().zip(failed) {
                    if failed && content.version == "4" {
                        world
                            .failed
                            .insert(content.package.clone(), content.sha256.clone());
                    }
                }
                if never {
                    world.downgrade = Downgrade::Never;
                }
                let contents = contents.into_iter().zip(withdrawn);
                let shelf = Shelf {
                    contents: contents.map(|(it, is)| (it, is && !is_old)).collect(),
                    is_old,
                    ..Shelf::default()
                };
                Case { shelf, world }
            },
        )
}

/// Needs that are not met: of every package, or of those in `of` alone.
fn unmet(contents: &BTreeMap<String, Content>) -> Vec<(String, String)> {
    let mut unmet = Vec::new();
    for (name, content) in contents {
        for (package, text) in &content.dependencies {
            let requirement: Requirement = text.parse().unwrap();
            let is_met = contents
                .get(package)
                .is_some_and(|it| allows(&requirement, it));
            if !is_met {
                unmet.push((name.clone(), package.clone()));
            }
        }
    }
    unmet
}

fn after(world: &World, offers: &[&Offer]) -> BTreeMap<String, Content> {
    let installed = world.installed.iter();
    let mut contents: BTreeMap<String, Content> = installed
        .map(|(name, it)| (name.clone(), it.content.clone()))
        .collect();
    for offer in offers {
        contents.insert(offer.name().to_owned(), offer.content.clone());
    }
    contents
}

fn check(case: &Case) -> Result<(), TestCaseError> {
    let plan = follow(&case.world, &case.shelf).unwrap();
    let asked = case.shelf.asked.replace(0);
    prop_assert!(asked < 2000, "{asked} questions");
    prop_assert_eq!(&plan, &follow(&case.world, &case.shelf).unwrap());
    let offers: Vec<&Offer> = plan.transactions.iter().flatten().collect();
    let changed: Vec<&str> = offers.iter().map(|it| it.name()).collect();
    let before = unmet(&after(&case.world, &[]));
    // Transactions one by one: whichever fails, the others leave nothing unmet.
    for transaction in plan
        .transactions
        .iter()
        .map(|it| it.iter().collect())
        .chain([offers.clone()])
    {
        for (name, package) in unmet(&after(&case.world, &transaction)) {
            let is_changed = transaction.iter().any(|it| it.name() == name);
            let was_unmet = before.contains(&(name.clone(), package.clone()));
            prop_assert!(!is_changed && was_unmet, "{name} lacks {package}");
        }
    }
    for transaction in &plan.transactions {
        for (place, offer) in transaction.iter().enumerate() {
            let later = transaction[place..].iter().map(|it| it.name());
            for name in later {
                prop_assert!(
                    !offer.content.dependencies.contains_key(name),
                    "{name} is late"
                );
            }
        }
    }
    for offer in &offers {
        prop_assert!(!case.world.has_failed(offer));
        let present = case.world.installed.get(offer.name());
        prop_assert!(present.is_none_or(|it| it.digest.as_ref() != Some(&offer.digest)));
        // Whoever is not listed changes for somebody's sake, or because it was taken back.
        let is_kept =
            present.is_none_or(|it| !case.shelf.contents.contains(&(it.content.clone(), true)));
        if case.world.listed(offer.name()).is_none() && is_kept {
            let without: Vec<&Offer> = offers.iter().copied().filter(|it| it != offer).collect();
            let lacking = unmet(&after(&case.world, &without));
            let for_somebody = lacking.iter().any(|(name, package)| {
                let is_new = changed.contains(&name.as_str())
                    || !before.contains(&(name.clone(), package.clone()));
                package == offer.name() && is_new
            });
            prop_assert!(for_somebody, "nobody needs {}", offer.name());
        }
        if case.world.downgrade == Downgrade::Never {
            let installed = present.and_then(Present::version);
            prop_assert!(installed.is_none_or(|it| Some(it) <= offer.version()));
        }
    }
    // Every head is reached, or it is said why not; one that was reached may be left for the sake of others.
    for (package, head) in &plan.heads {
        let is_there = after(&case.world, &offers)
            .get(package)
            .is_some_and(|it| it.version == *head);
        let is_refused = plan.refused.iter().any(|it| it.package == *package);
        let has_failed = case.world.failed.contains_key(package);
        let installed = case
            .world
            .installed
            .get(package)
            .map(|it| &it.content.version);
        let is_left = installed.is_some_and(|it| it >= head);
        prop_assert!(
            is_there || is_refused || has_failed || is_left,
            "{package} {head} is forgotten"
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_plan_holds_together(case in cases()) {
        check(&case)?;
    }
}
