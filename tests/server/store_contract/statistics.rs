//! Counts, percentiles and times, as a plain computation has them.

use std::collections::BTreeMap;

use airlift::{domain::Interval, store::Percentiles};
use chrono::TimeDelta;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;

pub(super) async fn statistics_count_by_version_status_and_code(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    for (n, status, code) in [
        (1, TaskStatus::Completed, None),
        (2, TaskStatus::Completed, None),
        (3, TaskStatus::Failed, Some("TIMEOUT")),
        (4, TaskStatus::Pending, None),
    ] {
        let gateway_id = format!("g{n}");
        tx.lock_gateway(&gateway(&gateway_id)).await.unwrap();
        let mut task = task(n, &gateway_id);
        task.status = status;
        task.error_code = code.map(str::to_owned);
        task.confirmed_at = (n == 2).then(|| at(30));
        task.duration_ms = (!status.is_active()).then_some(10_000 * n as i64);
        task.created_at = at(n as i64);
        tx.insert_tasks(std::slice::from_ref(&task)).await.unwrap();
    }
    let all = StatisticsFilter::default();
    let mut rows = tx.statistics(&all).await.unwrap();
    rows.sort_by(|a, b| a.status.cmp(&b.status));
    let counts: Vec<_> = rows
        .iter()
        .map(|row| {
            let code = row.error_code.as_deref();
            let (tasks, confirmed) = (row.tasks, row.confirmed);
            (row.status.as_str(), code, tasks, confirmed, row.duration_ms)
        })
        .collect();
    assert_eq!(
        counts,
        [
            ("completed", None, 2, 1, 30_000),
            ("failed", Some("TIMEOUT"), 1, 0, 30_000),
            ("pending", None, 1, 0, 0)
        ]
    );
    let since = StatisticsFilter {
        since: Some(at(3)),
        ..all.clone()
    };
    assert_eq!(tx.statistics(&since).await.unwrap().len(), 2);
    let until = StatisticsFilter {
        since: Some(at(2)),
        until: Some(at(3)),
        ..all.clone()
    };
    assert_eq!(tx.statistics(&until).await.unwrap().len(), 1);
    let version = StatisticsFilter {
        version: Some("9".into()),
        ..all
    };
    assert_eq!(tx.statistics(&version).await.unwrap(), []);
}

/// `count` tasks of all sorts, the same for each database.
async fn random_tasks(tx: &mut Tx, count: u128) -> Vec<Task> {
    let mut random = StdRng::seed_from_u64(4);
    let mut tasks = Vec::new();
    for n in 1..=count {
        let gateway_id = format!("g{n}");
        tx.lock_gateway(&gateway(&gateway_id)).await.unwrap();
        let status = match random.random_range(0..10) {
            0..7 => TaskStatus::Completed,
            7 => TaskStatus::Failed,
            8 => TaskStatus::Cancelled,
            _ => TaskStatus::Downloading,
        };
        let created_at = at(0) + TimeDelta::milliseconds(random.random_range(0..3_000_000_000));
        let ended = !status.is_active();
        tasks.push(Task {
            to_version: format!("1.0.{}", random.random_range(0..3)),
            rollout_id: [None, Some(id(71)), Some(id(72))][random.random_range(0..3)],
            status,
            // Few, so that many are equal.
            duration_ms: ended.then(|| random.random_range(0..40) * 977),
            created_at,
            ..task(n, &gateway_id)
        });
    }
    // The edges of an hour that is also the edge of a day and of a week.
    let monday: DateTime<Utc> = "2026-02-09T00:00:00Z".parse().unwrap();
    tasks[0].created_at = monday;
    tasks[1].created_at = monday - TimeDelta::milliseconds(1);
    // One of its kind, and one without a completed one.
    tasks[2].to_version = "2.0.0".into();
    (tasks[2].status, tasks[2].duration_ms) = (TaskStatus::Completed, Some(123_456));
    tasks[3].to_version = "3.0.0".into();
    (tasks[3].status, tasks[3].duration_ms) = (TaskStatus::Failed, Some(5));
    tx.insert_tasks(&tasks).await.unwrap();
    tasks
}

/// By nearest rank: the smallest that at least `percent` of all are not above.
fn nearest_rank(sorted: &[i64], percent: usize) -> i64 {
    let enough = |value: &i64| {
        let not_above = sorted.iter().filter(|other| *other <= value).count();
        not_above * 100 >= percent * sorted.len()
    };
    *sorted.iter().find(|value| enough(value)).unwrap()
}

fn plain_percentiles<'t, K: Ord>(
    tasks: impl Iterator<Item = &'t Task>,
    key: impl Fn(&Task) -> K,
) -> BTreeMap<K, Percentiles> {
    let mut durations: BTreeMap<K, Vec<i64>> = BTreeMap::new();
    for task in tasks.filter(|task| task.status == TaskStatus::Completed) {
        let of_key = durations.entry(key(task)).or_default();
        of_key.push(task.duration_ms.unwrap());
    }
    let percentiles = durations.into_iter().map(|(key, mut sorted)| {
        sorted.sort();
        let [p50, p90, p99] = [50, 90, 99].map(|percent| nearest_rank(&sorted, percent));
        (key, Percentiles { p50, p90, p99 })
    });
    percentiles.collect()
}

pub(super) async fn percentiles_are_those_of_a_plain_computation(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    let all = StatisticsFilter::default();
    assert_eq!(tx.percentiles(&all).await.unwrap(), None);
    let tasks = random_tasks(&mut tx, 407).await;

    let plain = plain_percentiles(tasks.iter(), |_| ());
    assert_eq!(tx.percentiles(&all).await.unwrap(), Some(plain[&()]));
    let by_version = tx.percentiles_by_version(&all).await.unwrap();
    let plain = plain_percentiles(tasks.iter(), |task| task.to_version.clone());
    assert!(plain.contains_key("2.0.0") && !plain.contains_key("3.0.0"));
    assert_eq!(BTreeMap::from_iter(by_version), plain);
    let by_rollout = tx.percentiles_by_rollout(&all).await.unwrap();
    let plain = plain_percentiles(tasks.iter(), |task| task.rollout_id);
    assert_eq!(BTreeMap::from_iter(by_rollout), plain);
    for interval in [Interval::Hour, Interval::Day, Interval::Week] {
        let by_bucket = tx.percentiles_by_bucket(interval, &all).await.unwrap();
        let plain = plain_percentiles(tasks.iter(), |task| interval.bucket(task.created_at));
        assert_eq!(BTreeMap::from_iter(by_bucket), plain);
    }
    let filter = StatisticsFilter {
        version: Some("1.0.1".into()),
        device_type: Some("gateway".into()),
        rollout_id: Some(id(71)),
        since: Some(at(500_000)),
        until: Some(at(2_500_000)),
    };
    let some = tasks.iter().filter(|task| {
        (at(500_000)..at(2_500_000)).contains(&task.created_at)
            && task.to_version == "1.0.1"
            && task.rollout_id == Some(id(71))
    });
    let plain = plain_percentiles(some, |_| ());
    assert_eq!(tx.percentiles(&filter).await.unwrap(), Some(plain[&()]));
}

pub(super) async fn tasks_are_counted_by_rollout_and_by_hour_day_and_week(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    let all = StatisticsFilter::default();
    assert_eq!(tx.timeline(Interval::Day, &all).await.unwrap(), []);
    let tasks = random_tasks(&mut tx, 300).await;
    for interval in [Interval::Hour, Interval::Day, Interval::Week] {
        let rows = tx.timeline(interval, &all).await.unwrap();
        let counts = rows.into_iter().map(|row| {
            let counts = (row.tasks, row.duration_ms);
            ((row.bucket, row.status), counts)
        });
        let key = |task: &Task| {
            let status = task.status.as_str().to_owned();
            (interval.bucket(task.created_at), status)
        };
        assert_eq!(BTreeMap::from_iter(counts), plain_counts(&tasks, key));
    }
    let mut by_rollout: BTreeMap<Option<Uuid>, i64> = BTreeMap::new();
    for row in tx.statistics(&all).await.unwrap() {
        *by_rollout.entry(row.rollout_id).or_default() += row.tasks;
    }
    let plain = plain_counts(&tasks, |task| task.rollout_id);
    let plain = plain.into_iter().map(|(id, (tasks, _))| (id, tasks));
    assert_eq!(by_rollout, plain.collect());
    let mut of_one = StatisticsFilter {
        rollout_id: Some(id(72)),
        ..all
    };
    let rows = tx.statistics(&of_one).await.unwrap();
    assert_eq!(
        rows.iter().map(|row| row.tasks).sum::<i64>(),
        by_rollout[&Some(id(72))]
    );
    of_one.rollout_id = Some(id(73));
    assert_eq!(tx.statistics(&of_one).await.unwrap(), []);
}

fn plain_counts<K: Ord>(tasks: &[Task], key: impl Fn(&Task) -> K) -> BTreeMap<K, (i64, i64)> {
    let mut counts = BTreeMap::new();
    for task in tasks {
        let (tasks, duration_ms) = counts.entry(key(task)).or_default();
        *tasks += 1;
        *duration_ms += task.duration_ms.unwrap_or(0);
    }
    counts
}
