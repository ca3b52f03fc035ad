//! What every database promises, run on SQLite and on a real PostgreSQL.

use std::sync::Arc;

use airlift::{
    domain::{
        Admission, Candidate, CommandKind, Firmware, FirmwareStatus, Gateway, GatewayTerm,
        OutboundCommand, PackageChange, Task, TaskStatus,
    },
    store::{
        BlobRow, Db, Error, FirmwareFilter, GatewayFilter, InboxMessage, SessionLease,
        StatisticsFilter, TaskFilter, Tx,
    },
};
use airlift_testkit::TestDatabase;
use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

mod access;
mod announcements;
mod audit;
mod bundles;
mod downloads;
mod events;
mod gateway_tokens;
mod gateways;
mod heartbeats;
mod history;
mod linux;
mod oidc;
mod packages;
mod people;
mod queues;
mod rollouts;
mod rows;
mod statistics;
mod why;

use access::*;
use announcements::*;
use audit::*;
use bundles::*;
use downloads::*;
use events::*;
use gateway_tokens::*;
use gateways::*;
use heartbeats::*;
use history::*;
use linux::*;
use oidc::*;
use packages::*;
use people::*;
use queues::*;
use rollouts::*;
use rows::*;
use statistics::*;
use why::*;

/// One database, gone at the end of the test.
struct Fixture {
    db: Db,
    url: String,
    _postgres: Option<TestDatabase>,
    _folder: tempfile::TempDir,
}

async fn sqlite() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/contract.db", folder.path().display());
    Fixture {
        db: Db::open(&url).await.unwrap(),
        url,
        _postgres: None,
        _folder: folder,
    }
}

async fn postgres() -> Fixture {
    let database = TestDatabase::create().unwrap();
    let url = database.url().to_owned();
    Fixture {
        db: Db::open(&url).await.unwrap(),
        url,
        _postgres: Some(database),
        _folder: tempfile::tempdir().unwrap(),
    }
}

/// Each promise becomes two tests.
macro_rules! contract {
    ($($promise:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $promise() {
                super::$promise(super::sqlite().await).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $promise() {
                super::$promise(super::postgres().await).await;
            })+
        }
    };
}

contract![
    a_user_is_known_by_issuer_and_subject_and_two_never_by_the_same,
    rows_come_back_as_they_went_in,
    the_newest_tasks_of_many_gateways_are_found_at_once,
    a_dropped_transaction_leaves_nothing,
    a_version_is_unique_within_its_device_type,
    firmwares_page_by_upload_and_filter,
    gateways_page_by_id_and_filter,
    a_gateway_is_registered_once_and_keeps_what_is_known,
    a_query_finds_those_that_it_matches,
    many_gateways_are_registered_and_locked_at_once,
    edits_keep_tags_and_their_index_together,
    rows_of_an_older_airlift_are_filled_at_the_next_start,
    a_registration_is_told_once,
    a_gateway_has_one_active_task,
    tasks_page_and_filter,
    expired_tasks_are_those_whose_deadline_has_passed,
    unproven_tasks_are_completed_and_have_a_deadline,
    a_report_is_kept_once,
    the_newest_report_and_the_waiting_command_of_a_task_are_found,
    a_gateway_is_found_in_the_rollouts_it_is_in,
    latecomers_that_no_wave_reaches_keep_no_other_out,
    commands_are_due_in_order_and_leave_the_outbox,
    concurrent_claims_share_commands_without_overlap,
    hastening_moves_only_what_was_sent,
    tokens_that_ended_lately_are_told,
    a_command_waits_for_the_gateway_that_asks,
    commands_of_a_gateway_that_speaks_http_are_not_due,
    silent_gateways_are_those_whose_report_is_overdue,
    concurrent_looks_share_silent_gateways_without_overlap,
    a_firmware_knows_the_package_that_it_is_and_whether_it_is_withdrawn,
    announcements_are_due_in_order_and_leave_the_outbox,
    what_took_an_announcements_place_is_not_touched,
    alerts_have_room_for_so_many_and_grow_old,
    concurrent_claims_share_announcements_without_overlap,
    each_device_type_has_a_time_at_which_its_release_is_announced,
    what_is_open_is_counted_by_status_and_state,
    a_blob_in_use_is_not_deleted,
    a_bundle_comes_back_and_each_of_its_files_finds_it,
    what_a_bundle_uses_is_not_deleted_and_goes_with_it,
    a_file_name_of_a_bundle_is_taken_once,
    the_highest_release_counter_is_the_device_types_own,
    a_release_counter_is_in_one_hand,
    a_package_comes_back_and_its_head_is_the_highest_version,
    packages_page_by_upload_and_filter,
    branches_are_counted_each_with_its_head,
    what_a_package_uses_is_not_deleted,
    a_branch_is_in_one_hand,
    a_package_is_found_among_the_firmwares,
    who_must_not_be_sent_is_marked_among_the_candidates,
    an_inbox_message_is_kept_once,
    a_session_id_has_one_holder,
    statistics_count_by_version_status_and_code,
    events_are_read_by_number_and_filter,
    deleted_events_are_remembered_by_kind,
    webhooks_come_back_and_know_whether_they_are_behind,
    a_delivery_is_due_listed_and_deleted_with_its_webhook,
    concurrent_claims_share_deliveries_without_overlap,
    percentiles_are_those_of_a_plain_computation,
    tasks_are_counted_by_rollout_and_by_hour_day_and_week,
    old_tasks_are_those_that_ended_unless_newest_or_of_a_live_rollout,
    a_deleted_task_takes_along_what_belongs_to_it,
    two_servers_delete_different_tasks,
    old_events_go_by_kind_and_in_pieces,
    of_each_gateway_and_time_the_first_heartbeat_stays,
    many_heartbeats_are_kept_at_once,
    old_heartbeats_go_in_pieces_and_those_of_a_gateway_with_it,
    two_servers_delete_different_heartbeats,
    a_rollout_that_ended_long_ago_goes_with_its_rows_in_pieces,
    rollouts_come_back_and_are_due_in_order,
    a_due_rollout_is_in_one_hand,
    commands_of_a_rollout_that_must_not_send_are_not_due,
    gateways_are_enrolled_in_batches_each_at_its_place,
    who_comes_later_gets_no_place_in_a_wave_that_is_over,
    members_are_found_by_the_end_of_their_task,
    members_are_found_by_state_and_place,
    waves_are_put_and_put_again,
    the_audit_log_comes_back_newest_first_and_by_filter,
    nobody_changes_the_audit_log,
    a_gateways_tokens_come_back_end_and_are_found,
    a_used_token_ends_those_before_it_and_no_other,
    a_broker_is_told_each_gateways_newest_good_token,
    who_gives_a_gateway_a_token_is_alone,
    a_provisioning_key_comes_back_and_counts,
    a_token_comes_back_and_its_name_is_free_once_it_is_revoked,
    the_use_of_a_token_is_noted_once_a_minute,
    a_user_comes_back_and_takes_the_sessions_along,
    failed_logins_are_counted_in_one_hand,
    a_setup_link_is_good_once_and_closes_the_doors_while_it_is,
    doors_stay_closed_when_the_last_credential_goes,
    a_secret_is_made_once_however_many_make_it,
    a_gateway_is_known_by_the_versions_that_it_was_sent,
    migrations_run_again_change_nothing,
    a_newer_schema_is_refused,
];

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_770_000_000_123 + second * 1000).unwrap()
}

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn firmware(n: u128, version: &str) -> Firmware {
    Firmware {
        firmware_id: id(n),
        device_type: "gateway".into(),
        version: version.into(),
        file_name: format!("gateway_v{version}.bin"),
        file_size: 14,
        md5: "m".into(),
        sha256: "5d".repeat(32),
        description: "ümlaut".into(),
        changelog: "# x".into(),
        status: FirmwareStatus::Draft,
        force_upgrade: true,
        min_version: Some("1.0.0".into()),
        bundle: None,
        package: None,
        release_date: None,
        created_at: at(0),
        updated_at: at(1),
    }
}

fn gateway(gateway_id: &str) -> Gateway {
    Gateway {
        current_version: Some("1.0.1".into()),
        online: true,
        last_seen_at: Some(at(3)),
        attributes: json!({"rssi": -61, "nested": {"a": [1, null]}}),
        heartbeat_timestamp: Some(1_770_000_000),
        ..Gateway::new(gateway_id, "gateway", at(0))
    }
}

fn task(n: u128, gateway_id: &str) -> Task {
    Task {
        task_id: id(n),
        gateway_id: gateway_id.into(),
        device_type: "gateway".into(),
        from_version: None,
        to_version: "1.0.2".into(),
        firmware_url: "http://x".into(),
        md5: "m".into(),
        sha256: "s".into(),
        file_size: 14,
        msg_id: format!("ota_{n}"),
        status: TaskStatus::Pending,
        progress: 0,
        error_code: None,
        error_message: None,
        force_upgrade: false,
        scheduled_at: Some(at(9)),
        start_time: at(0),
        complete_time: None,
        confirmed_at: None,
        deadline_at: Some(at(100)),
        completed_timestamp: None,
        rollout_id: None,
        timeout_seconds: None,
        not_before: None,
        path: Vec::new(),
        packages: Vec::new(),
        duration_ms: None,
        created_at: at(0),
        updated_at: at(0),
    }
}

fn command(n: u128, task: &Task, next_send_at: DateTime<Utc>) -> OutboundCommand {
    OutboundCommand {
        command_id: id(n),
        task_id: task.task_id,
        gateway_id: task.gateway_id.clone(),
        kind: CommandKind::Upgrade,
        payload: "{}".into(),
        sends: 0,
        next_send_at,
    }
}

async fn put_blob(tx: &mut Tx) {
    tx.put_blob(&BlobRow {
        sha256: "5d".repeat(32),
        md5: "m".into(),
        size: 14,
        created_at: at(0),
    })
    .await
    .unwrap();
}

/// `count` gateways g001…, each with a pending task and its command, due at second n.
async fn tasks_with_commands(db: &Db, count: u128) {
    let mut tx = db.begin().await.unwrap();
    for n in 1..=count {
        let gateway_id = format!("g{n:03}");
        tx.lock_gateway(&gateway(&gateway_id)).await.unwrap();
        let task = task(n, &gateway_id);
        tx.insert_tasks(std::slice::from_ref(&task)).await.unwrap();
        tx.insert_commands(&[command(n, &task, at(n as i64))])
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
}
