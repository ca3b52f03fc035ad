-- Failed tasks by their cause.
CREATE INDEX upgrade_tasks_error ON upgrade_tasks (error_code, task_id)
    WHERE error_code IS NOT NULL;

-- Of each gateway and interval the first heartbeat, for charts.
CREATE TABLE heartbeats (
    gateway_id TEXT COLLATE "C" NOT NULL REFERENCES gateways (gateway_id) ON DELETE CASCADE,
    -- When its interval began, Unix seconds.
    at BIGINT NOT NULL,
    -- Bytes.
    free_heap BIGINT,
    -- Percent.
    battery REAL,
    -- dBm.
    rssi REAL,
    firmware_version TEXT NOT NULL,
    PRIMARY KEY (gateway_id, at)
);
CREATE INDEX heartbeats_at ON heartbeats (at);
