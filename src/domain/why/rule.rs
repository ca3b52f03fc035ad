use std::fmt;

macro_rules! rules {
    ($($rule:ident = $word:literal,)+) => {
        /// What a finding is about; `docs/http-api.md` says what each means.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Rule {
            $($rule,)+
        }

        impl Rule {
            pub const ALL: &[Rule] = &[$(Rule::$rule,)+];

            /// The stable word.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Rule::$rule => $word,)+
                }
            }
        }
    };
}

rules! {
    // Its newest task.
    TaskScheduled = "task_scheduled",
    WaitsForGateway = "waits_for_gateway",
    CommandNotSent = "command_not_sent",
    NotBefore = "not_before",
    CommandUnanswered = "command_unanswered",
    WaitsForPoll = "waits_for_poll",
    Downloading = "downloading",
    Verifying = "verifying",
    Installing = "installing",
    ProofAwaited = "proof_awaited",
    StepStone = "step_stone",
    OwnUpdate = "own_update",
    PathStopped = "path_stopped",
    TaskFailed = "task_failed",
    TimedOut = "timed_out",
    Unconfirmed = "unconfirmed",
    RolledBack = "rolled_back",
    TaskCancelled = "task_cancelled",
    FellBack = "fell_back",
    // A rollout it is in.
    RolloutScheduled = "rollout_scheduled",
    RolloutPaused = "rollout_paused",
    RolloutHalted = "rollout_halted",
    WindowClosed = "window_closed",
    Soak = "soak",
    WaveNotBegun = "wave_not_begun",
    InFlightLimit = "in_flight_limit",
    RateLimit = "rate_limit",
    InQueue = "in_queue",
    InRollout = "in_rollout",
    FailedInRollout = "failed_in_rollout",
    SkippedInRollout = "skipped_in_rollout",
    CancelledInRollout = "cancelled_in_rollout",
    // A rollout it is not in.
    NotInTarget = "not_in_target",
    Enrolling = "enrolling",
    WillJoin = "will_join",
    JoinsNobody = "joins_nobody",
    JoinClosed = "join_closed",
    BeyondLastWave = "beyond_last_wave",
    // A rollout's version and its own.
    AlreadyRuns = "already_runs",
    Downgrade = "downgrade",
    NoUpgradePath = "no_upgrade_path",
    VersionUnknown = "version_unknown",
    FirmwareNotInstallable = "firmware_not_installable",
    FirmwareNotFound = "firmware_not_found",
    OtherDeviceType = "other_device_type",
    Unsigned = "unsigned",
    UntrustedKey = "untrusted_key",
    BundleExpired = "bundle_expired",
    PackageWithdrawn = "package_withdrawn",
    // What is released, and itself.
    RunsLatest = "runs_latest",
    RunsNewer = "runs_newer",
    Behind = "behind",
    NothingReleased = "nothing_released",
    NewerNotReleased = "newer_not_released",
    NotTheLatest = "not_the_latest",
    NotTriggered = "not_triggered",
    GatewayOffline = "gateway_offline",
    NeverHeardOf = "never_heard_of",
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
