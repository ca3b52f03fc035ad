//! Rollouts: who gets in, who waits, who is counted.

use airlift::{
    domain::{
        GatewayQuery, MemberState, ORDER_MODULUS, Rollout, RolloutPlan, RolloutState,
        RolloutTarget, WaveCounts, order_coefficients, position, shuffle, version_key,
    },
    store::{Enrolment, MemberFilter, RolloutFilter, RolloutMember, RolloutWave, Wanted},
};

use super::*;

const SEED: i64 = 7;

fn rollout(n: u128, look: Option<i64>) -> Rollout {
    Rollout {
        rollout_id: id(n),
        name: "spring".into(),
        device_type: "gateway".into(),
        version: "1.0.2".into(),
        target: RolloutTarget {
            tags: [("site".to_owned(), "lab".to_owned())].into(),
            ..RolloutTarget::default()
        },
        plan: RolloutPlan {
            start_at: Some(at(5)),
            ..RolloutPlan::default()
        },
        seed: SEED,
        state: RolloutState::Running,
        reason: Some("ümlaut".into()),
        enrolled_to: Some("g1".into()),
        enrolled: true,
        wave: 2,
        paced_at: Some(at(1)),
        next_look_at: look.map(at),
        next_join_at: Some(at(3)),
        started_at: Some(at(4)),
        ended_at: None,
        created_at: at(0),
        updated_at: at(6),
    }
}

fn enrolment(version: &str, lowest: Option<&str>, forced: bool) -> Enrolment {
    Enrolment {
        rollout_id: id(1),
        wanted: Wanted {
            target: GatewayQuery::default(),
            version: version.into(),
            version_key: version_key(version).unwrap(),
            lowest_key: lowest.and_then(version_key),
            forced,
        },
        again: false,
        coefficients: order_coefficients(SEED),
        from_position: 0,
        last_position: ORDER_MODULUS,
    }
}

async fn put_gateways(tx: &mut Tx, versions: &[(&str, Option<&str>)]) {
    for (gateway_id, version) in versions {
        let mut gateway = gateway(gateway_id);
        gateway.current_version = version.map(str::to_owned);
        tx.lock_gateway(&gateway).await.unwrap();
    }
}

fn every() -> MemberFilter {
    MemberFilter {
        rollout_id: id(1),
        state: None,
        positions: None,
        after: String::new(),
        limit: 100,
    }
}

async fn ids(tx: &mut Tx, filter: &MemberFilter) -> Vec<String> {
    let members = tx.members(filter).await.unwrap();
    members.into_iter().map(|it| it.gateway_id).collect()
}

pub(super) async fn rollouts_come_back_and_are_due_in_order(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    let all = [rollout(1, Some(9)), rollout(2, Some(4)), rollout(3, None)];
    for rollout in &all {
        tx.insert_rollout(rollout).await.unwrap();
        assert_eq!(
            tx.rollout(rollout.rollout_id).await.unwrap().as_ref(),
            Some(rollout)
        );
    }
    assert_eq!(tx.lock_due_rollout(at(3)).await.unwrap(), None);
    let due = tx.lock_due_rollout(at(20)).await.unwrap();
    assert_eq!(due, Some(id(2)));
    let mut ended = all[1].clone();
    ended.state = RolloutState::Completed;
    (ended.ended_at, ended.next_look_at) = (Some(at(8)), None);
    tx.update_rollout(&ended).await.unwrap();
    assert_eq!(tx.lock_rollout(id(2)).await.unwrap(), Some(ended));
    let due = tx.lock_due_rollout(at(20)).await.unwrap();
    assert_eq!(due, Some(id(1)));
    let mut filter = RolloutFilter {
        state: None,
        device_type: None,
        open: true,
        before: Uuid::max(),
        limit: 10,
    };
    let listed = async |tx: &mut Tx, filter: &RolloutFilter| -> Vec<u128> {
        let rollouts = tx.rollouts(filter).await.unwrap();
        rollouts.iter().map(|it| it.rollout_id.as_u128()).collect()
    };
    assert_eq!(listed(&mut tx, &filter).await, [3, 1]);
    filter.open = false;
    filter.before = id(3);
    assert_eq!(listed(&mut tx, &filter).await, [2, 1]);
    filter.state = Some(RolloutState::Completed);
    assert_eq!(listed(&mut tx, &filter).await, [2]);
    filter.device_type = Some("other".into());
    assert_eq!(listed(&mut tx, &filter).await, [0; 0]);
    tx.commit().await.unwrap();
}

pub(super) async fn a_due_rollout_is_in_one_hand(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    tx.insert_rollout(&rollout(1, Some(1))).await.unwrap();
    tx.insert_rollout(&rollout(2, Some(2))).await.unwrap();
    tx.commit().await.unwrap();
    let mut first = f.db.begin().await.unwrap();
    let one = first.lock_due_rollout(at(9)).await.unwrap();
    assert_eq!(one, Some(id(1)));
    // On SQLite the transaction itself is the lock: a second one would wait for it.
    if !f.db.is_embedded() {
        let mut second = f.db.begin().await.unwrap();
        let other = second.lock_due_rollout(at(9)).await.unwrap();
        assert_eq!(other, Some(id(2)));
    }
    first.commit().await.unwrap();
}

pub(super) async fn commands_of_a_rollout_that_must_not_send_are_not_due(f: Fixture) {
    tasks_with_commands(&f.db, 3).await;
    let mut tx = f.db.begin().await.unwrap();
    for (n, state) in [(1, RolloutState::Halted), (2, RolloutState::Running)] {
        let mut rollout = rollout(n, None);
        rollout.state = state;
        tx.insert_rollout(&rollout).await.unwrap();
        let mut task = tx.task(id(n)).await.unwrap().unwrap();
        task.rollout_id = Some(id(n));
        tx.update_tasks(&[&task]).await.unwrap();
        let mut cancel = command(n + 10, &task, at(n as i64 + 9));
        cancel.kind = CommandKind::Cancel;
        tx.insert_commands(&[cancel]).await.unwrap();
    }
    let due = tx.lock_due_commands(at(20), 9).await.unwrap();
    let due: Vec<u128> = due.iter().map(|it| it.command_id.as_u128()).collect();
    assert_eq!(due, [2, 3, 11, 12]);
    tx.commit().await.unwrap();
}

pub(super) async fn gateways_are_enrolled_in_batches_each_at_its_place(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    let versions = [
        ("a", Some("1.0.0")),
        ("b", Some("1.0.1")),
        ("c", None),
        ("d", Some("main")),
        ("e", Some("1.0.2")),
        ("f", Some("2.0.0")),
        ("g", Some("1.0.1")),
    ];
    put_gateways(&mut tx, &versions).await;
    tx.insert_rollout(&rollout(1, None)).await.unwrap();
    for (enrolment, wanted) in [
        (enrolment("1.0.2", None, false), 5),
        (enrolment("1.0.2", Some("1.0.1"), false), 2),
        (enrolment("1.0.2", None, true), 6),
        (enrolment("1.0.2", Some("1.0.1"), true), 3),
    ] {
        assert_eq!(tx.count_wanted(&enrolment.wanted).await.unwrap(), wanted);
    }
    let enrolment = enrolment("1.0.2", None, false);
    assert_eq!(tx.enrol_gateways(&enrolment, "", 3).await.unwrap(), 3);
    let last = tx.last_member(id(1)).await.unwrap().unwrap();
    assert_eq!(last, "c");
    assert_eq!(tx.enrol_gateways(&enrolment, &last, 3).await.unwrap(), 2);
    let members = tx.members(&every()).await.unwrap();
    for member in &members {
        let place = position(shuffle(&member.gateway_id), SEED);
        assert_eq!(
            (member.position, member.state),
            (place, MemberState::Waiting)
        );
    }
    assert_eq!(ids(&mut tx, &every()).await, ["a", "b", "c", "d", "g"]);
    let mut places: Vec<i64> = members.iter().map(|it| it.position).collect();
    places.sort_unstable();
    for (rank, place) in (1..).zip(&places) {
        assert_eq!(
            tx.position_of_rank(id(1), rank).await.unwrap(),
            Some(*place)
        );
        let wanted = &enrolment.wanted;
        let found = tx
            .wanted_position(wanted, enrolment.coefficients, rank)
            .await;
        assert_eq!(found.unwrap(), Some(*place));
    }
    assert_eq!(tx.position_of_rank(id(1), 6).await.unwrap(), None);
    tx.commit().await.unwrap();
}

pub(super) async fn who_comes_later_gets_no_place_in_a_wave_that_is_over(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    put_gateways(&mut tx, &[("a", None), ("b", None)]).await;
    tx.insert_rollout(&rollout(1, None)).await.unwrap();
    let mut enrolment = enrolment("1.0.2", None, false);
    tx.enrol_gateways(&enrolment, "", 9).await.unwrap();
    let late: Vec<String> = (0..20).map(|n| format!("late{n}")).collect();
    let versions: Vec<_> = late.iter().map(|id| (id.as_str(), None)).collect();
    put_gateways(&mut tx, &versions).await;
    enrolment.again = true;
    enrolment.from_position = ORDER_MODULUS / 4;
    enrolment.last_position = ORDER_MODULUS / 4 * 3;
    let joined = tx.enrol_gateways(&enrolment, "", 99).await.unwrap();
    let place = |id: &str| position(shuffle(id), SEED);
    let expected = late
        .iter()
        .filter(|id| place(id) <= enrolment.last_position);
    assert_eq!(joined, expected.count() as u64);
    assert!((1..20).contains(&joined), "{joined} of 20");
    for member in tx.members(&every()).await.unwrap() {
        let place = place(&member.gateway_id);
        let expected = match member.gateway_id.starts_with("late") {
            true => place.max(enrolment.from_position),
            false => place,
        };
        assert_eq!(member.position, expected, "{}", member.gateway_id);
    }
    let again = tx.enrol_gateways(&enrolment, "", 99).await.unwrap();
    assert_eq!(again, 0);
    tx.commit().await.unwrap();
}

/// Member n of the fixture's tasks.
fn member(n: u128, state: MemberState, reason: Option<&str>) -> RolloutMember {
    let gateway_id = format!("g{n:03}");
    RolloutMember {
        position: position(shuffle(&gateway_id), SEED),
        gateway_id,
        state,
        task_id: Some(id(n)),
        reason: reason.map(str::to_owned),
    }
}

/// Four gateways with tasks: two active, one failed, one that waits.
async fn four_members(f: &Fixture) -> Tx {
    tasks_with_commands(&f.db, 4).await;
    let mut tx = f.db.begin().await.unwrap();
    tx.insert_rollout(&rollout(1, None)).await.unwrap();
    let enrolment = enrolment("1.0.2", None, false);
    assert_eq!(tx.enrol_gateways(&enrolment, "", 9).await.unwrap(), 4);
    let changed = [
        member(1, MemberState::Active, None),
        member(2, MemberState::Active, None),
        member(3, MemberState::Failed, Some("TIMEOUT")),
    ];
    tx.update_members(id(1), &changed).await.unwrap();
    for member in &changed {
        let found = tx.member(id(1), &member.gateway_id).await.unwrap();
        assert_eq!(found.as_ref(), Some(member));
    }
    tx
}

pub(super) async fn members_are_found_by_the_end_of_their_task(f: Fixture) {
    let mut tx = four_members(&f).await;
    let pending = tx.pending_members(id(1), 9).await.unwrap();
    assert_eq!(pending.len(), 2);
    assert!(tx.settled_members(id(1)).await.unwrap().is_empty());
    let mut done = tx.task(id(1)).await.unwrap().unwrap();
    done.status = TaskStatus::Completed;
    tx.update_tasks(&[&done]).await.unwrap();
    assert!(
        tx.settled_members(id(1)).await.unwrap().is_empty(),
        "no proof yet"
    );
    done.confirmed_at = Some(at(9));
    tx.update_tasks(&[&done]).await.unwrap();
    let settled = tx.settled_members(id(1)).await.unwrap();
    assert_eq!(settled[0].gateway_id, "g001");
    assert_eq!(settled[0].confirmed_at, Some(at(9)));
    tx.update_members(id(1), &[member(1, MemberState::Confirmed, None)])
        .await
        .unwrap();
    let all = (-1, ORDER_MODULUS);
    // The gateways of the fixture run 1.0.1.
    let relapsed = tx.relapsed_members(id(1), "1.0.2", all).await.unwrap();
    assert_eq!(relapsed.len(), 1);
    assert_eq!(
        (relapsed[0].0.gateway_id.as_str(), relapsed[0].1.as_str()),
        ("g001", "1.0.1")
    );
    assert!(
        tx.relapsed_members(id(1), "1.0.1", all)
            .await
            .unwrap()
            .is_empty()
    );
    tx.commit().await.unwrap();
}

pub(super) async fn members_are_found_by_state_and_place(f: Fixture) {
    let mut tx = four_members(&f).await;
    let waiting = tx.waiting_members(id(1), ORDER_MODULUS, 9).await.unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].gateway_id, "g004");
    let before = waiting[0].position - 1;
    assert_eq!(tx.waiting_members(id(1), before, 9).await.unwrap(), []);
    let all = (-1, ORDER_MODULUS);
    for (state, count) in [
        (MemberState::Waiting, 1),
        (MemberState::Active, 2),
        (MemberState::Failed, 1),
    ] {
        assert_eq!(
            tx.count_members(id(1), state, all).await.unwrap(),
            count,
            "{state}"
        );
    }
    assert_eq!(
        tx.count_members(id(1), MemberState::Waiting, (-1, before))
            .await
            .unwrap(),
        0
    );
    let filter = MemberFilter {
        state: Some(MemberState::Failed),
        ..every()
    };
    assert_eq!(ids(&mut tx, &filter).await, ["g003"]);
    let filter = MemberFilter {
        after: "g001".into(),
        limit: 2,
        ..every()
    };
    assert_eq!(ids(&mut tx, &filter).await, ["g002", "g003"]);
    let filter = MemberFilter {
        positions: Some((before, before + 1)),
        ..every()
    };
    assert_eq!(ids(&mut tx, &filter).await, ["g004"]);
    assert_eq!(tx.retry_members(id(1)).await.unwrap(), 1);
    let again = tx.member(id(1), "g003").await.unwrap().unwrap();
    assert_eq!(
        (again.state, again.task_id, again.reason),
        (MemberState::Waiting, None, None)
    );
    tx.delete_members_after(id(1), before).await.unwrap();
    assert!(!ids(&mut tx, &every()).await.contains(&"g004".to_owned()));
    tx.commit().await.unwrap();
}

pub(super) async fn waves_are_put_and_put_again(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    tx.insert_rollout(&rollout(1, None)).await.unwrap();
    let wave = |percent, last_position, first| RolloutWave {
        last_position,
        counts: WaveCounts {
            percent,
            waiting: first,
            active: first + 1,
            confirmed: first + 2,
            failed: first + 3,
            skipped: first + 4,
            cancelled: first + 5,
            tolerated: first + 6,
            started_at: Some(at(first)),
            ended_at: None,
        },
    };
    let mut waves = vec![wave(10, 5, 1), wave(100, ORDER_MODULUS, 20)];
    tx.put_rollout_waves(id(1), &waves).await.unwrap();
    assert_eq!(tx.rollout_waves(id(1)).await.unwrap(), waves);
    waves[0] = wave(10, 6, 40);
    waves[0].counts.ended_at = Some(at(50));
    tx.put_rollout_waves(id(1), &waves).await.unwrap();
    assert_eq!(tx.rollout_waves(id(1)).await.unwrap(), waves);
    assert_eq!(tx.rollout_waves(id(2)).await.unwrap(), []);
    tx.commit().await.unwrap();
}
