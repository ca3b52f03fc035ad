-- One row per stored file; the file itself lies in the blob store under its SHA-256.
CREATE TABLE blobs (
    sha256 TEXT PRIMARY KEY,
    md5 TEXT NOT NULL,
    size INTEGER NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE firmwares (
    firmware_id BLOB PRIMARY KEY,
    device_type TEXT NOT NULL,
    version TEXT NOT NULL,
    file_name TEXT NOT NULL UNIQUE,
    file_size INTEGER NOT NULL,
    md5 TEXT NOT NULL,
    sha256 TEXT NOT NULL REFERENCES blobs (sha256),
    description TEXT NOT NULL,
    changelog TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('draft', 'testing', 'released', 'deprecated')),
    force_upgrade INTEGER NOT NULL,
    release_date TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (device_type, version)
) STRICT;
CREATE INDEX firmwares_sha256 ON firmwares (sha256);

CREATE TABLE gateways (
    gateway_id TEXT PRIMARY KEY,
    device_type TEXT NOT NULL,
    current_version TEXT,
    online INTEGER NOT NULL,
    last_seen_at TEXT,
    attributes TEXT NOT NULL,
    heartbeat_timestamp INTEGER,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;

CREATE TABLE upgrade_tasks (
    task_id BLOB PRIMARY KEY,
    gateway_id TEXT NOT NULL REFERENCES gateways (gateway_id),
    device_type TEXT NOT NULL,
    from_version TEXT,
    to_version TEXT NOT NULL,
    firmware_url TEXT NOT NULL,
    md5 TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    file_size INTEGER NOT NULL,
    msg_id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL CHECK (status IN
        ('pending', 'downloading', 'verifying', 'installing', 'completed', 'failed', 'cancelled')),
    progress INTEGER NOT NULL CHECK (progress BETWEEN 0 AND 100),
    error_code TEXT,
    error_message TEXT,
    force_upgrade INTEGER NOT NULL,
    scheduled_at TEXT,
    start_time TEXT NOT NULL,
    complete_time TEXT,
    confirmed_at TEXT,
    deadline_at TEXT,
    completed_timestamp INTEGER,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX upgrade_tasks_one_active ON upgrade_tasks (gateway_id)
    WHERE status IN ('pending', 'downloading', 'verifying', 'installing');
CREATE INDEX upgrade_tasks_gateway ON upgrade_tasks (gateway_id, task_id);
CREATE INDEX upgrade_tasks_deadline ON upgrade_tasks (deadline_at) WHERE deadline_at IS NOT NULL;

-- What the gateway said of a task, each distinct report once.
CREATE TABLE task_reports (
    task_id BLOB NOT NULL REFERENCES upgrade_tasks (task_id),
    state TEXT NOT NULL,
    progress INTEGER NOT NULL,
    received_at TEXT NOT NULL,
    PRIMARY KEY (task_id, state, progress)
) STRICT;

-- The outbox: commands that are due at next_send_at, until they are answered.
CREATE TABLE commands (
    command_id BLOB PRIMARY KEY,
    task_id BLOB NOT NULL REFERENCES upgrade_tasks (task_id),
    gateway_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('ota_upgrade', 'ota_cancel')),
    payload TEXT NOT NULL,
    sends INTEGER NOT NULL,
    next_send_at TEXT NOT NULL,
    UNIQUE (task_id, kind)
) STRICT;
CREATE INDEX commands_due ON commands (next_send_at);
CREATE INDEX commands_gateway ON commands (gateway_id);

-- What the built-in broker has acknowledged to a gateway and the server has not yet taken in.
CREATE TABLE inbox (
    message_id TEXT PRIMARY KEY,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    received_at TEXT NOT NULL
) STRICT;

-- MQTT client ids of the servers; a live server holds one, an expired one is drained by another.
CREATE TABLE mqtt_sessions (
    client_id TEXT PRIMARY KEY,
    holder BLOB NOT NULL,
    leased_until TEXT NOT NULL
) STRICT;
