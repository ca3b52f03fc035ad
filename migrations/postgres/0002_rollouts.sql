-- The lowest version from which this one may be installed.
ALTER TABLE firmwares ADD COLUMN min_version TEXT;

-- current_version as text that sorts by SemVer precedence; null if it is not SemVer.
ALTER TABLE gateways ADD COLUMN version_key TEXT COLLATE "C";
ALTER TABLE gateways ADD COLUMN tags JSONB NOT NULL DEFAULT '{}';
-- A hash of the id below 2^31 - 1, from which each rollout makes an order of its own.
ALTER TABLE gateways ADD COLUMN shuffle BIGINT;
CREATE INDEX gateways_version ON gateways (version_key, gateway_id);
CREATE INDEX gateways_type ON gateways (device_type, gateway_id);
CREATE INDEX gateways_online ON gateways (online, gateway_id);
-- Rows of an older airlift, until the next start has filled them.
CREATE INDEX gateways_unfilled ON gateways (gateway_id) WHERE shuffle IS NULL;

-- gateways.tags once more, to be found by.
CREATE TABLE gateway_tags (
    gateway_id TEXT COLLATE "C" NOT NULL REFERENCES gateways (gateway_id) ON DELETE CASCADE,
    key TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (gateway_id, key)
);
CREATE INDEX gateway_tags_value ON gateway_tags (key, value, gateway_id);

ALTER TABLE upgrade_tasks ADD COLUMN rollout_id UUID;
-- Silence that fails it, if not the server's setting; seconds.
ALTER TABLE upgrade_tasks ADD COLUMN timeout_seconds BIGINT;
-- The gateway is asked not to begin before.
ALTER TABLE upgrade_tasks ADD COLUMN not_before TIMESTAMPTZ;
-- The versions to go through, this task's first; null if it leads straight to the last.
ALTER TABLE upgrade_tasks ADD COLUMN path JSONB;
-- From start to end; null while it runs.
ALTER TABLE upgrade_tasks ADD COLUMN duration_ms BIGINT;
UPDATE upgrade_tasks
SET duration_ms = CAST(EXTRACT(EPOCH FROM complete_time - start_time) * 1000 AS BIGINT)
WHERE complete_time IS NOT NULL;
CREATE INDEX upgrade_tasks_rollout ON upgrade_tasks (rollout_id, task_id)
    WHERE rollout_id IS NOT NULL;
CREATE INDEX upgrade_tasks_created ON upgrade_tasks (created_at);

CREATE TABLE rollouts (
    rollout_id UUID PRIMARY KEY,
    name TEXT NOT NULL,
    device_type TEXT NOT NULL,
    version TEXT NOT NULL,
    target JSONB NOT NULL,
    plan JSONB NOT NULL,
    seed BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN
        ('scheduled', 'running', 'paused', 'halted', 'completed', 'cancelled')),
    reason TEXT,
    -- Gateways are taken in by id, in batches; up to here so far, null before the first.
    enrolled_to TEXT COLLATE "C",
    enrolled BOOLEAN NOT NULL,
    -- The wave that runs; 0 before the first.
    wave INTEGER NOT NULL,
    -- When the next command may leave, by the rate.
    paced_at TIMESTAMPTZ,
    -- When somebody must look at it; null if nothing can happen.
    next_look_at TIMESTAMPTZ,
    -- When gateways that came later are taken in.
    next_join_at TIMESTAMPTZ,
    started_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX rollouts_due ON rollouts (next_look_at) WHERE next_look_at IS NOT NULL;

-- Counters of a wave, kept by whoever moves a gateway of it.
CREATE TABLE rollout_waves (
    rollout_id UUID NOT NULL REFERENCES rollouts (rollout_id) ON DELETE CASCADE,
    wave INTEGER NOT NULL,
    -- Of the target, cumulative.
    percent INTEGER NOT NULL,
    last_position BIGINT NOT NULL,
    waiting BIGINT NOT NULL,
    active BIGINT NOT NULL,
    confirmed BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    skipped BIGINT NOT NULL,
    cancelled BIGINT NOT NULL,
    -- Failures that somebody has accepted by resuming after a halt.
    tolerated BIGINT NOT NULL,
    started_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
    PRIMARY KEY (rollout_id, wave)
);

-- No foreign key: checking it for a million rows takes longer than writing them.
CREATE TABLE rollout_gateways (
    rollout_id UUID NOT NULL,
    gateway_id TEXT COLLATE "C" NOT NULL,
    -- Its place in the rollout's order.
    position BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN
        ('waiting', 'active', 'confirmed', 'failed', 'skipped', 'cancelled')),
    task_id UUID,
    reason TEXT,
    PRIMARY KEY (rollout_id, gateway_id)
);
CREATE INDEX rollout_gateways_position ON rollout_gateways (rollout_id, state, position);

-- What happened, in the order in which it was committed.
CREATE TABLE events (
    event_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind TEXT NOT NULL,
    gateway_id TEXT COLLATE "C",
    task_id UUID,
    rollout_id UUID,
    data JSONB NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX events_task ON events (task_id, event_id) WHERE task_id IS NOT NULL;
CREATE INDEX events_kind ON events (kind, created_at);

-- Of each kind the highest number that was deleted, for who asks for events that are gone.
CREATE TABLE deleted_events (
    kind TEXT PRIMARY KEY,
    event_id BIGINT NOT NULL
);

-- Whom events are POSTed to.
CREATE TABLE webhooks (
    webhook_id UUID PRIMARY KEY,
    -- May contain a user name and a password.
    url TEXT NOT NULL,
    secret TEXT NOT NULL,
    -- An array of event kinds.
    kinds JSONB NOT NULL,
    gateway_id TEXT COLLATE "C",
    rollout_id UUID,
    -- Events up to this number have their deliveries.
    cursor BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE webhook_deliveries (
    delivery_id UUID PRIMARY KEY,
    webhook_id UUID NOT NULL REFERENCES webhooks (webhook_id) ON DELETE CASCADE,
    -- The event may be gone before its delivery.
    event_id BIGINT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('waiting', 'delivered', 'dead')),
    attempts INTEGER NOT NULL,
    -- While it is attempted: when it is attempted again if nothing is heard of that.
    next_attempt_at TIMESTAMPTZ NOT NULL,
    -- HTTP status of the last answer.
    last_status INTEGER,
    last_error TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX webhook_deliveries_event ON webhook_deliveries (webhook_id, event_id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, next_attempt_at, event_id)
    WHERE status = 'waiting';
CREATE INDEX webhook_deliveries_listed ON webhook_deliveries (webhook_id, status, event_id);
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (status, ended_at)
    WHERE status <> 'waiting';
