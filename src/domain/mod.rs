//! Types and decisions, free of I/O: what a task may become, when a command is sent again, which
//! version is the latest. Everything here is a pure function of its arguments; time is one of them.
//!
//! To add a rule: write it here with its tests, then let a service apply it inside its transaction.

mod access;
mod admission;
mod alert_limit;
mod announcement;
mod bundle;
mod clock;
mod dispatch;
mod download_budget;
mod download_url;
mod event;
mod firmware;
mod gateway;
mod gateway_query;
mod gateway_token;
mod oidc_role;
mod package;
mod people;
mod refusal_limit;
mod report;
mod rollout;
mod secret;
mod setting;
mod tags;
mod task;
mod task_status;
mod timeline;
mod version_rules;
mod webhook;
mod why;

pub use access::{Actor, Admittance, AuditEntry, Caller, Need, Role};
pub use admission::{Admission, Barred, SignaturePolicy};
pub use alert_limit::{
    ALERT_KINDS_MAX, ALERTS_PER_MINUTE_MAX, ALERTS_PER_MINUTE_OF_A_KIND_MAX, AlertLimit,
};
pub use announcement::{
    ALERT_LIFETIME, ALERTS_WAITING_MAX, ANNOUNCEMENT_RETRY_MAX, ANNOUNCEMENT_RETRY_MIN, Alert,
    Announcement, RefusedBy, ReleaseUrls, announcement_retry_delay, next_announcement_at,
    release_announcement, release_announcement_id,
};
pub use bundle::{Bundle, BundleFile, BundlePart, Signer, bundle_file_name};
pub use clock::{Clock, last_id_at, too_far_ahead};
pub use dispatch::{
    CANCEL_SENDS_MAX, CommandKind, OutboundCommand, RESEND_DELAY_MAX, RESEND_DELAY_MIN,
    copy_lifetime, resend_delay,
};
pub use download_budget::{
    DOWNLOAD_BURST_SECONDS, DownloadBudget, OverBudget, RETURN_SPREAD_SECONDS_MAX,
};
pub use download_url::{DownloadGrant, GrantRefusal};
pub use event::{Event, EventKind, REGISTERED};
pub use firmware::{
    DEVICE_TYPE_DEFAULT, DEVICE_TYPE_LENGTH_MAX, DEVICE_TYPE_LINUX, Firmware, FirmwareStatus,
    VERSION_LENGTH_MAX, file_name, highest_first, is_device_type, latest, needs_upgrade,
    parse_version, version_key,
};
pub use gateway::{Gateway, shuffle};
pub use gateway_query::{
    Comparison, FILTER_LENGTH_MAX, FILTER_TERMS_MAX, GatewayQuery, GatewayTerm, Miss,
};
pub use gateway_token::{
    ClaimDecision, GRACE_MAX, GatewayToken, ProvisioningKey, decide_claim, ends_of_predecessors,
    mosquitto_hash,
};
pub use oidc_role::{is_own_path, role_of};
pub use package::{Package, PackageBranch, PackageChange, PackageOrigin};
pub use people::{
    ACCOUNT_FAILURES_FREE, ADDRESS_FAILURES_FREE, LOGIN_WAIT_MAX, NAME_LENGTH_MAX,
    PASSWORD_LENGTH_MAX, PASSWORD_LENGTH_MIN, Token, TokenState, User, check_name, check_password,
    login_wait,
};
pub use refusal_limit::{
    REFUSALS_PER_MINUTE_MAX, REFUSALS_PER_MINUTE_OF_A_CALLER_MAX, RefusalLimit,
};
pub use report::{Heartbeat, KeptHeartbeat, Progress, ReportRefusal, Vitals};
pub use rollout::{
    ActionRefusal, COMMANDS_PER_MINUTE_MAX, Hold, JITTER_SECONDS_MAX, MAX_IN_FLIGHT_MAX,
    MemberState, ORDER_MODULUS, PlanRefusal, Rollout, RolloutAction, RolloutPlan, RolloutState,
    RolloutTarget, SOAK_SECONDS_MAX, Standing, Step, TASK_TIMEOUT_SECONDS_MAX, WaveCounts, Window,
    decide, order_coefficients, paced_after, position, wave_end_ranks,
};
pub use secret::{Secret, SecretKind, secret_hash};
pub use setting::{Setting, SettingSource};
pub use tags::{
    TAG_KEY_LENGTH_MAX, TAG_VALUE_LENGTH_MAX, TAGS_MAX, TagChanges, Tags, change_tags,
    check_tag_key, check_tag_value,
};
pub use task::{Outcome, Task, TaskDeadlines, TriggerDecision, decide_trigger};
pub use task_status::TaskStatus;
pub use timeline::Interval;
pub use version_rules::{
    Candidate, VersionRefusal, eligibility, is_downgrade, lowest_start, plan_path,
};
pub use webhook::{
    ATTEMPTS_MAX, Attempt, Delivery, DeliveryStatus, RETRY_DELAY_MAX, RETRY_DELAY_MIN, Webhook,
    retry_delay,
};
pub use why::{
    Explanation, Finding, LastReport, Membership, RolloutFacts, Rule, TaskFacts, Verdict, WhyFacts,
    explain,
};
