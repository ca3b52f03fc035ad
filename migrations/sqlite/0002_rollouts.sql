-- The lowest version from which this one may be installed.
ALTER TABLE firmwares ADD COLUMN min_version TEXT;

-- current_version as text that sorts by SemVer precedence; null if it is not SemVer.
ALTER TABLE gateways ADD COLUMN version_key TEXT;
ALTER TABLE gateways ADD COLUMN tags TEXT NOT NULL DEFAULT '{}';
-- A hash of the id below 2^31 - 1, from which each rollout makes an order of its own.
ALTER TABLE gateways ADD COLUMN shuffle INTEGER;
CREATE INDEX gateways_version ON gateways (version_key, gateway_id);
CREATE INDEX gateways_type ON gateways (device_type, gateway_id);
CREATE INDEX gateways_online ON gateways (online, gateway_id);
-- Rows of an older airlift, until the next start has filled them.
CREATE INDEX gateways_unfilled ON gateways (gateway_id) WHERE shuffle IS NULL;

-- gateways.tags once more, to be found by.
CREATE TABLE gateway_tags (
    gateway_id TEXT NOT NULL REFERENCES gateways (gateway_id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (gateway_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX gateway_tags_value ON gateway_tags (key, value, gateway_id);

ALTER TABLE upgrade_tasks ADD COLUMN rollout_id BLOB;
-- Silence that fails it, if not the server's setting; seconds.
ALTER TABLE upgrade_tasks ADD COLUMN timeout_seconds INTEGER;
-- The gateway is asked not to begin before.
ALTER TABLE upgrade_tasks ADD COLUMN not_before TEXT;
-- The versions to go through, this task's first; null if it leads straight to the last.
ALTER TABLE upgrade_tasks ADD COLUMN path TEXT;
-- From start to end; null while it runs.
ALTER TABLE upgrade_tasks ADD COLUMN duration_ms INTEGER;
UPDATE upgrade_tasks
SET duration_ms = CAST(ROUND((julianday(complete_time) - julianday(start_time)) * 86400000) AS INTEGER)
WHERE complete_time IS NOT NULL;
CREATE INDEX upgrade_tasks_rollout ON upgrade_tasks (rollout_id, task_id)
    WHERE rollout_id IS NOT NULL;
CREATE INDEX upgrade_tasks_created ON upgrade_tasks (created_at);

CREATE TABLE rollouts (
    rollout_id BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    device_type TEXT NOT NULL,
    version TEXT NOT NULL,
    target TEXT NOT NULL,
    plan TEXT NOT NULL,
    seed INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN
        ('scheduled', 'running', 'paused', 'halted', 'completed', 'cancelled')),
    reason TEXT,
    -- Gateways are taken in by id, in batches; up to here so far, null before the first.
    enrolled_to TEXT,
    enrolled INTEGER NOT NULL,
    -- The wave that runs; 0 before the first.
    wave INTEGER NOT NULL,
    -- When the next command may leave, by the rate.
    paced_at TEXT,
    -- When somebody must look at it; null if nothing can happen.
    next_look_at TEXT,
    -- When gateways that came later are taken in.
    next_join_at TEXT,
    started_at TEXT,
    ended_at TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX rollouts_due ON rollouts (next_look_at) WHERE next_look_at IS NOT NULL;

-- Counters of a wave, kept by whoever moves a gateway of it.
CREATE TABLE rollout_waves (
    rollout_id BLOB NOT NULL REFERENCES rollouts (rollout_id) ON DELETE CASCADE,
    wave INTEGER NOT NULL,
    -- Of the target, cumulative.
    percent INTEGER NOT NULL,
    last_position INTEGER NOT NULL,
    waiting INTEGER NOT NULL,
    active INTEGER NOT NULL,
    confirmed INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    skipped INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    -- Failures that somebody has accepted by resuming after a halt.
    tolerated INTEGER NOT NULL,
    started_at TEXT,
    ended_at TEXT,
    PRIMARY KEY (rollout_id, wave)
) STRICT;

-- No foreign key: checking it for a million rows takes longer than writing them.
CREATE TABLE rollout_gateways (
    rollout_id BLOB NOT NULL,
    gateway_id TEXT NOT NULL,
    -- Its place in the rollout's order.
    position INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN
        ('waiting', 'active', 'confirmed', 'failed', 'skipped', 'cancelled')),
    task_id BLOB,
    reason TEXT,
    PRIMARY KEY (rollout_id, gateway_id)
) STRICT;
CREATE INDEX rollout_gateways_position ON rollout_gateways (rollout_id, state, position);

-- What happened, in the order in which it was committed.
CREATE TABLE events (
    event_id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    gateway_id TEXT,
    task_id BLOB,
    rollout_id BLOB,
    data TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;
CREATE INDEX events_task ON events (task_id, event_id) WHERE task_id IS NOT NULL;
CREATE INDEX events_kind ON events (kind, created_at);

-- Of each kind the highest number that was deleted, for who asks for events that are gone.
CREATE TABLE deleted_events (
    kind TEXT PRIMARY KEY,
    event_id INTEGER NOT NULL
) STRICT;

-- Whom events are POSTed to.
CREATE TABLE webhooks (
    webhook_id BLOB PRIMARY KEY,
    -- May contain a user name and a password.
    url TEXT NOT NULL,
    secret TEXT NOT NULL,
    -- An array of event kinds.
    kinds TEXT NOT NULL,
    gateway_id TEXT,
    rollout_id BLOB,
    -- Events up to this number have their deliveries.
    cursor INTEGER NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE webhook_deliveries (
    delivery_id BLOB PRIMARY KEY,
    webhook_id BLOB NOT NULL REFERENCES webhooks (webhook_id) ON DELETE CASCADE,
    -- The event may be gone before its delivery.
    event_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('waiting', 'delivered', 'dead')),
    attempts INTEGER NOT NULL,
    -- While it is attempted: when it is attempted again if nothing is heard of that.
    next_attempt_at TEXT NOT NULL,
    -- HTTP status of the last answer.
    last_status INTEGER,
    last_error TEXT,
    created_at TEXT NOT NULL,
    ended_at TEXT
) STRICT;
CREATE UNIQUE INDEX webhook_deliveries_event ON webhook_deliveries (webhook_id, event_id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, next_attempt_at, event_id)
    WHERE status = 'waiting';
CREATE INDEX webhook_deliveries_listed ON webhook_deliveries (webhook_id, status, event_id);
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (status, ended_at)
    WHERE status <> 'waiting';
