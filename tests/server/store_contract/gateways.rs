//! Which gateways are meant, what people say of them, and what older rows lack.

use std::collections::{BTreeMap, BTreeSet};

use airlift::{
    domain::{Comparison, GatewayQuery, shuffle, version_key},
    store::{GatewayCount, GatewayEdit},
};
use proptest::{
    collection::{btree_map, btree_set, vec},
    option,
    prelude::*,
    sample::select,
    strategy::ValueTree,
    test_runner::TestRunner,
};

use super::*;

const FLEET: usize = 60;
const QUERIES: usize = 300;
/// More pages than one for most queries.
const PAGE: i64 = 7;
const VERSIONS: [&str; 9] = [
    "1.0.0",
    "1.0.1",
    "1.0.2-rc.1",
    "1.0.2",
    "1.0.2+b",
    "1.10.0",
    "v1",
    "",
    "2.0.0",
];
const TYPES: [&str; 3] = ["gateway", "esp32", "linux"];
const KEYS: [&str; 3] = ["site", "Site", "a/b"];
const VALUES: [&str; 6] = ["lab", "Lab", "north lab", "", "ü%_'\"\\", "lab2"];
const ID: &str = "[aAb._:-]{1,3}[a0]";

fn any_gateway() -> impl Strategy<Value = Gateway> {
    let tags = btree_map(select(&KEYS[..]), select(&VALUES[..]), 0..3);
    let version = option::weighted(0.9, select(&VERSIONS[..]));
    (ID, select(&TYPES[..]), version, any::<bool>(), tags).prop_map(
        |(id, device_type, version, online, tags)| Gateway {
            device_type: device_type.into(),
            current_version: version.map(str::to_owned),
            online,
            tags: tags
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            ..gateway(&id)
        },
    )
}

fn any_term() -> impl Strategy<Value = GatewayTerm> {
    use Comparison::*;
    let comparison = select(vec![
        Less,
        LessOrEqual,
        Equal,
        NotEqual,
        GreaterOrEqual,
        Greater,
    ]);
    let key = select(&VERSIONS[..]).prop_filter_map("not SemVer", version_key);
    let tag = (select(&KEYS[..]), select(&VALUES[..]));
    prop_oneof![
        3 => tag.prop_map(|(key, value)| GatewayTerm::Tag(key.into(), value.into())),
        1 => select(&KEYS[..]).prop_map(|key| GatewayTerm::HasTag(key.into())),
        3 => (comparison, key).prop_map(|(comparison, key)| GatewayTerm::Version(comparison, key)),
        1 => Just(GatewayTerm::VersionUnknown),
        1 => select(&VERSIONS[..]).prop_map(|text| GatewayTerm::CurrentVersion(text.into())),
        1 => any::<bool>().prop_map(GatewayTerm::Online),
        1 => select(&TYPES[..]).prop_map(|text| GatewayTerm::DeviceType(text.into())),
        1 => ID.prop_map(GatewayTerm::Id),
        1 => "[aAb._:-]{1,2}".prop_map(GatewayTerm::IdPrefix),
        1 => btree_set(ID, 0..40).prop_map(GatewayTerm::OneOf),
    ]
}

fn some<T>(runner: &mut TestRunner, strategy: impl Strategy<Value = T>) -> T {
    strategy.new_tree(runner).unwrap().current()
}

/// Stores gateways with their tags.
async fn store(db: &Db, gateways: &[Gateway]) {
    let mut tx = db.begin().await.unwrap();
    let (before, registered) = tx.lock_gateways(gateways).await.unwrap();
    assert_eq!(registered.len(), gateways.len());
    let edits: Vec<GatewayEdit> = before
        .into_iter()
        .zip(gateways)
        .map(|(before, now)| GatewayEdit {
            before,
            now: now.clone(),
        })
        .collect();
    tx.edit_gateways(&edits).await.unwrap();
    tx.commit().await.unwrap();
}

/// The ids of a query's gateways, read page by page.
async fn found(tx: &mut Tx, query: &GatewayQuery) -> Vec<String> {
    let mut filter = GatewayFilter {
        query: query.clone(),
        after: String::new(),
        skip: 0,
        limit: PAGE,
    };
    let mut ids = Vec::new();
    loop {
        let page = tx.gateways(&filter).await.unwrap();
        let Some(last) = page.last() else { return ids };
        filter.after = last.gateway_id.clone();
        ids.extend(page.into_iter().map(|gateway| gateway.gateway_id));
    }
}

/// What a plain loop counts of gateways, by device type and version.
fn counts<'g>(gateways: impl Iterator<Item = &'g Gateway>) -> Vec<GatewayCount> {
    let mut counts: BTreeMap<(&str, Option<&str>), (i64, i64)> = BTreeMap::new();
    for gateway in gateways {
        let key = (
            gateway.device_type.as_str(),
            gateway.current_version.as_deref(),
        );
        let (total, online) = counts.entry(key).or_default();
        *total += 1;
        *online += i64::from(gateway.online);
    }
    counts
        .into_iter()
        .map(|((device_type, version), (total, online))| GatewayCount {
            device_type: device_type.to_owned(),
            current_version: version.map(str::to_owned),
            total,
            online,
        })
        .collect()
}

pub(super) async fn a_query_finds_those_that_it_matches(f: Fixture) {
    let mut runner = TestRunner::default();
    let mut fleet: Vec<Gateway> = some(&mut runner, vec(any_gateway(), FLEET));
    fleet.sort_by(|a, b| a.gateway_id.cmp(&b.gateway_id));
    fleet.dedup_by(|a, b| a.gateway_id == b.gateway_id);
    store(&f.db, &fleet).await;
    let mut tx = f.db.read().await.unwrap();
    let mut hits = 0;
    for _ in 0..QUERIES {
        let terms = some(&mut runner, vec(any_term(), 0..4));
        let query = GatewayQuery { terms };
        let expected: Vec<&str> = fleet
            .iter()
            .filter(|gateway| query.matches(gateway))
            .map(|gateway| gateway.gateway_id.as_str())
            .collect();
        let found = found(&mut tx, &query).await;
        assert_eq!(found, expected, "{query:?} of {fleet:#?}");
        let count = tx.count_gateways_of(&query).await.unwrap();
        assert_eq!(count, found.len() as i64, "{query:?}");
        let mut counted = tx.gateway_counts(&query).await.unwrap();
        counted.sort();
        let matching = fleet.iter().filter(|gateway| query.matches(gateway));
        assert_eq!(counted, counts(matching), "{query:?}");
        let skip = some(&mut runner, 1..FLEET);
        let filter = GatewayFilter {
            query,
            after: String::new(),
            skip: skip as i64,
            limit: PAGE,
        };
        let page = tx.gateways(&filter).await.unwrap();
        let expected = fleet.iter().filter(|gateway| filter.query.matches(gateway));
        let expected: Vec<&Gateway> = expected.skip(skip).take(PAGE as usize).collect();
        assert_eq!(page.iter().collect::<Vec<_>>(), expected, "{filter:?}");
        hits += found.len();
    }
    assert!(hits > QUERIES, "the queries find next to nothing");
}

pub(super) async fn many_gateways_are_registered_and_locked_at_once(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    tx.lock_gateway(&gateway("g0500")).await.unwrap();
    // More than one statement takes.
    let unknown: Vec<Gateway> = (0..2500).map(|n| gateway(&format!("g{n:04}"))).collect();
    let (locked, registered) = tx.lock_gateways(&unknown).await.unwrap();
    assert_eq!(locked, unknown);
    assert_eq!(registered.len(), 2499);
    assert!(!registered.contains("g0500"));
    let (_, registered) = tx.lock_gateways(&unknown[..3]).await.unwrap();
    assert_eq!(registered, BTreeSet::new());
}

pub(super) async fn edits_keep_tags_and_their_index_together(f: Fixture) {
    let tagged = |tags: &[(&str, &str)]| Gateway {
        tags: tags
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        ..gateway("g1")
    };
    let steps: [&[(&str, &str)]; 4] = [
        &[("a", "1"), ("b", "2")],
        &[("b", "3"), ("c", "")],
        &[("c", "")],
        &[],
    ];
    let mut before = gateway("g1");
    let mut tx = f.db.begin().await.unwrap();
    tx.lock_gateway(&before).await.unwrap();
    for step in steps {
        let mut now = tagged(step);
        now.device_type = format!("type{}", step.len());
        let edit = GatewayEdit {
            before: before.clone(),
            now: now.clone(),
        };
        tx.edit_gateways(&[edit]).await.unwrap();
        // A heartbeat writes the gateway as it was read before.
        let mut heard = tx.gateway("g1").await.unwrap().unwrap();
        assert_eq!(heard, now);
        heard.tags.clear();
        tx.update_gateways(&[&heard]).await.unwrap();
        assert_eq!(tx.gateway("g1").await.unwrap(), Some(now.clone()));
        let keys: Vec<&str> = step.iter().map(|(key, _)| *key).collect();
        assert_eq!(tx.tag_keys().await.unwrap(), keys);
        for (key, value) in [("a", "1"), ("b", "2"), ("b", "3"), ("c", "")] {
            let query = GatewayQuery::from(GatewayTerm::Tag(key.into(), value.into()));
            let count = tx.count_gateways_of(&query).await.unwrap();
            assert_eq!(count == 1, query.matches(&now), "{key} {value}");
        }
        before = now;
    }
}

pub(super) async fn rows_of_an_older_airlift_are_filled_at_the_next_start(f: Fixture) {
    let count = 5003;
    let gateways: Vec<Gateway> = (0..count).map(|n| gateway(&format!("g{n:04}"))).collect();
    let mut tx = f.db.begin().await.unwrap();
    tx.lock_gateways(&gateways).await.unwrap();
    tx.commit().await.unwrap();
    let older = "UPDATE gateways SET shuffle = NULL, version_key = NULL";
    let shuffles = "SELECT gateway_id, shuffle, version_key FROM gateways";
    type Row = (String, Option<i64>, Option<String>);
    match &f.db {
        Db::Postgres(pool) => drop(sqlx::query(older).execute(pool).await.unwrap()),
        Db::Sqlite { writer, .. } => drop(sqlx::query(older).execute(writer).await.unwrap()),
    }
    let db = Db::open(&f.url).await.unwrap();
    let rows: Vec<Row> = match &db {
        Db::Postgres(pool) => sqlx::query_as(shuffles).fetch_all(pool).await.unwrap(),
        Db::Sqlite { writer, .. } => sqlx::query_as(shuffles).fetch_all(writer).await.unwrap(),
    };
    assert_eq!(rows.len(), count);
    for (gateway_id, number, key) in rows {
        assert_eq!(number, Some(shuffle(&gateway_id)), "{gateway_id}");
        assert_eq!(key, version_key("1.0.1"), "{gateway_id}");
    }
    db.close().await;
}

pub(super) async fn a_registration_is_told_once(f: Fixture) {
    for _ in 0..2 {
        let mut tx = f.db.begin().await.unwrap();
        tx.lock_gateway(&gateway("g1")).await.unwrap();
        tx.commit().await.unwrap();
    }
    let told = "SELECT CAST(COUNT(*) AS BIGINT) FROM events
                WHERE kind = 'gateway' AND gateway_id = 'g1'";
    let count: i64 = match &f.db {
        Db::Postgres(pool) => sqlx::query_scalar(told).fetch_one(pool).await.unwrap(),
        Db::Sqlite { writer, .. } => sqlx::query_scalar(told).fetch_one(writer).await.unwrap(),
    };
    assert_eq!(count, 1);
}
