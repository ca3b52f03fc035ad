use airlift::{
    domain::{
        LastReport, MemberState, ORDER_MODULUS, Rollout, RolloutPlan, RolloutState, RolloutTarget,
        order_coefficients, position, shuffle,
    },
    store::{Enrolment, RolloutMember, Wanted},
};

use super::*;

pub(super) async fn the_newest_report_and_the_waiting_command_of_a_task_are_found(f: Fixture) {
    tasks_with_commands(&f.db, 2).await;
    let mut tx = f.db.begin().await.unwrap();
    assert_eq!(tx.last_report(id(1)).await.unwrap(), None);
    for (progress, received) in [(80, at(7)), (90, at(6))] {
        tx.put_task_reports(&[(id(1), TaskStatus::Verifying, progress)], received)
            .await
            .unwrap();
    }
    let last = LastReport {
        state: "verifying".into(),
        progress: 80,
        received_at: at(7),
    };
    assert_eq!(tx.last_report(id(1)).await.unwrap(), Some(last));
    let upgrade = CommandKind::Upgrade;
    let waiting = tx.command(id(2), upgrade).await.unwrap();
    assert_eq!(waiting, Some(command(2, &task(2, "g002"), at(2))));
    assert_eq!(tx.command(id(2), CommandKind::Cancel).await.unwrap(), None);
    tx.delete_command(id(2), upgrade).await.unwrap();
    assert_eq!(tx.command(id(2), upgrade).await.unwrap(), None);
}

async fn rollout_of(tx: &mut Tx, n: u128, target: GatewayTerm) {
    let rollout = Rollout {
        rollout_id: id(n),
        name: String::new(),
        device_type: "gateway".into(),
        version: "1.0.2".into(),
        target: RolloutTarget::default(),
        plan: RolloutPlan::default(),
        seed: 7,
        state: RolloutState::Running,
        reason: None,
        enrolled_to: None,
        enrolled: false,
        wave: 0,
        paced_at: None,
        next_look_at: None,
        next_join_at: None,
        started_at: None,
        ended_at: None,
        created_at: at(0),
        updated_at: at(0),
    };
    tx.insert_rollout(&rollout).await.unwrap();
    tx.enrol_gateways(&enrolment(n, target), "", 10)
        .await
        .unwrap();
}

fn enrolment(n: u128, target: GatewayTerm) -> Enrolment {
    Enrolment {
        rollout_id: id(n),
        wanted: Wanted {
            target: target.into(),
            version: "1.0.2".into(),
            version_key: "b1b0b2~".into(),
            lowest_key: None,
            forced: false,
        },
        again: false,
        coefficients: order_coefficients(7),
        from_position: 0,
        last_position: ORDER_MODULUS,
    }
}

pub(super) async fn latecomers_that_no_wave_reaches_keep_no_other_out(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    let nobody = GatewayTerm::Id("nobody".into());
    rollout_of(&mut tx, 1, nobody).await;
    let ids: Vec<String> = (0..9).map(|n| format!("g{n}")).collect();
    for gateway_id in &ids {
        tx.lock_gateway(&gateway(gateway_id)).await.unwrap();
    }
    let place = |id: &&String| position(shuffle(id), 7);
    let reached = ids.iter().min_by_key(place).unwrap();
    assert_ne!(*reached, ids[0], "another seed would do");
    let all = enrolment(1, GatewayTerm::DeviceType("gateway".into()));
    let enrolment = Enrolment {
        again: true,
        last_position: place(&reached),
        ..all
    };
    assert_eq!(tx.enrol_gateways(&enrolment, "", 1).await.unwrap(), 1);
    let member = tx.member(id(1), reached).await.unwrap();
    assert_eq!(member.map(|it| it.position), Some(place(&reached)));
    assert_eq!(tx.enrol_gateways(&enrolment, "", 1).await.unwrap(), 0);
}

pub(super) async fn a_gateway_is_found_in_the_rollouts_it_is_in(f: Fixture) {
    let mut tx = f.db.begin().await.unwrap();
    for gateway_id in ["a", "b"] {
        tx.lock_gateway(&gateway(gateway_id)).await.unwrap();
    }
    rollout_of(&mut tx, 1, GatewayTerm::DeviceType("gateway".into())).await;
    rollout_of(&mut tx, 2, GatewayTerm::Id("b".into())).await;
    rollout_of(&mut tx, 3, GatewayTerm::Id("a".into())).await;
    let member = RolloutMember {
        gateway_id: "a".into(),
        position: position(shuffle("a"), 7),
        state: MemberState::Waiting,
        task_id: None,
        reason: None,
    };
    let all = [id(1), id(2), id(3), id(4)];
    let mut found = tx.memberships("a", &all).await.unwrap();
    found.sort_by_key(|(rollout_id, _)| *rollout_id);
    assert_eq!(found, [(id(1), member.clone()), (id(3), member.clone())]);
    assert_eq!(
        tx.memberships("a", &[id(3)]).await.unwrap(),
        [(id(3), member)]
    );
    assert_eq!(tx.memberships("a", &[]).await.unwrap(), []);
    assert_eq!(tx.memberships("c", &all).await.unwrap(), []);
}
