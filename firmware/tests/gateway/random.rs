//! Random events, in any order, with the power cut anywhere: the rules the world checks hold, and in
//! the end every upgrade has ended, once.
//!
//! `PROPTEST_CASES=50000` for a long run. A failure found here becomes a named test in `upgrade.rs`.

use crate::world::*;
use airlift_firmware::{Answer, Digests, Event, JobId, PublishId};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Upgrade { number: usize, force: bool },
    Cancel { number: usize },
    Connect,
    Disconnect,
    AckOne,
    AckAll,
    Answer { ranges: bool },
    RefuseForNow { retry_after_ms: Option<u64> },
    Serve { length: usize },
    Cut,
    Work,
    Wait { ms: u64 },
    Battery { percent: u8 },
    StorageFails,
    Stale { job: u32 },
    PowerCutAfter { effects: usize },
    PowerCut,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..8usize, prop::bool::weighted(0.3))
            .prop_map(|(number, force)| Op::Upgrade { number, force }),
        1 => (0..8usize).prop_map(|number| Op::Cancel { number }),
        4 => Just(Op::Connect),
        1 => Just(Op::Disconnect),
        3 => Just(Op::AckOne),
        3 => Just(Op::AckAll),
        6 => prop::bool::weighted(0.8).prop_map(|ranges| Op::Answer { ranges }),
        1 => prop::option::of(0..100_000u64)
            .prop_map(|retry_after_ms| Op::RefuseForNow { retry_after_ms }),
        16 => (1..200usize).prop_map(|length| Op::Serve { length }),
        1 => Just(Op::Cut),
        6 => Just(Op::Work),
        4 => (0..90_000u64).prop_map(|ms| Op::Wait { ms }),
        1 => prop_oneof![Just(19u8), Just(20), Just(80)].prop_map(|percent| Op::Battery { percent }),
        1 => Just(Op::StorageFails),
        1 => (0..40u32).prop_map(|job| Op::Stale { job }),
        2 => (0..8usize).prop_map(|effects| Op::PowerCutAfter { effects }),
        1 => Just(Op::PowerCut),
    ]
}

fn msg_id(number: usize) -> String {
    "m".repeat(number + 1)
}

fn apply(world: &mut World, op: Op) {
    match op {
        // Commands come from the broker.
        Op::Upgrade { number, force } if world.connected => {
            world.happens(Event::Command(upgrade(&msg_id(number), force)));
        }
        Op::Cancel { number } if world.connected => {
            world.happens(Event::Command(cancel(&msg_id(number))));
        }
        Op::Upgrade { .. } | Op::Cancel { .. } => {}
        Op::Connect => world.connect(),
        Op::Disconnect => world.disconnect(),
        Op::AckOne => world.ack_one(),
        Op::AckAll => world.ack_all(),
        Op::Answer { ranges } => world.answer(ranges),
        Op::RefuseForNow { retry_after_ms } => world.refuse_for_now(retry_after_ms),
        Op::Serve { length } => world.serve(length),
        Op::Cut => world.cut(),
        Op::Work => world.work(),
        Op::Wait { ms } => world.wait(ms),
        Op::Battery { percent } => {
            world.battery = percent;
            world.happens(Event::Battery(percent));
        }
        Op::StorageFails => {
            // During an install the failure comes as the install's own.
            if world.fetching.is_some() {
                let reason = "disk full".into();
                world.happens(Event::StorageFailed { job: None, reason });
            }
        }
        Op::Stale { job } => {
            let current = world.fetching.as_ref().map(|fetching| fetching.job);
            let job = JobId(job);
            if world.is_idle() || current.is_some_and(|current| current != job) {
                stale(world, job);
            }
        }
        Op::PowerCutAfter { effects } => world.cut_after = Some(effects),
        Op::PowerCut => world.power_cut(),
    }
}

/// Everything that can arrive too late.
fn stale(world: &mut World, job: JobId) {
    let digests = Digests {
        size: 0,
        md5: String::new(),
        sha256: String::new(),
    };
    let bytes = &[1, 2, 3];
    let answer = Answer {
        status: STALE_STATUS,
        ..Answer::default()
    };
    world.happens(Event::Answer { job, answer });
    world.happens(Event::Chunk { job, bytes });
    world.happens(Event::FetchEnded { job, reason: None });
    world.happens(Event::FetchImpossible {
        job,
        reason: STALE.into(),
    });
    world.happens(Event::Digested { job, digests });
    world.happens(Event::Installed { job });
    world.happens(Event::StorageFailed {
        job: Some(job),
        reason: STALE.into(),
    });
    world.happens(Event::Acked(PublishId(u32::MAX)));
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_upgrade_ends_exactly_once(
        kinds in prop::collection::vec(prop::sample::select(&KINDS[..]), 8),
        ops in prop::collection::vec(op(), 1..150),
    ) {
        let mut world = World::new();
        for (number, kind) in kinds.into_iter().enumerate() {
            world.kinds.insert(msg_id(number), kind);
        }
        for op in ops {
            apply(&mut world, op);
        }
        world.settle();
        let (mut version, mut image) = (FIRST_VERSION.to_string(), FIRST_IMAGE.to_vec());
        let saved = world.gateway.saved().clone();
        for end in &saved.finished {
            prop_assert!(end.delivered, "{} was not delivered", end.msg_id);
            prop_assert_eq!(world.end_of(&end.msg_id), Some(&end.report));
            if end.report.error_code.is_none() {
                // Cut in the right place, a longer file is the announced one.
                let kind = world.kinds[&end.msg_id];
                prop_assert!(matches!(kind, FileKind::Good | FileKind::Longer));
                image = content(&end.msg_id, FileKind::Good);
                version = version_of(&end.msg_id);
            }
        }
        prop_assert_eq!(&saved.version, &version);
        prop_assert_eq!(&world.image, &image);
        for msg_id in world.reports.keys() {
            let ends = saved.finished.iter().filter(|end| end.msg_id == *msg_id).count();
            prop_assert_eq!(ends, 1, "{} ended {} times", msg_id, ends);
        }
        prop_assert_eq!(&world.heartbeats.last().unwrap().firmware_version, &version);
    }
}
