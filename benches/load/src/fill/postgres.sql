CREATE TEMP TABLE template ON COMMIT DROP AS SELECT * FROM firmwares WHERE version = '0.0.0';

INSERT INTO firmwares (firmware_id, device_type, version, file_name, file_size, md5, sha256, description,
    changelog, status, force_upgrade, release_date, created_at, updated_at)
SELECT ('01900000-0000-7000-9000-' || lpad(to_hex(n), 12, '0'))::uuid, device_type, '0.0.' || n,
    device_type || '_v0.0.' || n || '.bin', file_size, md5, sha256, description,
    changelog, status, force_upgrade, release_date, created_at, updated_at
FROM template, generate_series(1, :firmwares) AS n;

INSERT INTO gateways (gateway_id, device_type, current_version, online, last_seen_at, attributes,
    heartbeat_timestamp, created_at, updated_at, version_key, tags, shuffle)
SELECT id, 'gateway', '0.0.0', FALSE, seen, attributes, EXTRACT(EPOCH FROM seen)::bigint, seen, seen,
    'b0b0b0~', jsonb_build_object('site', 'site' || (n % 100)),
    ('x' || encode(substr(sha256(id::bytea), 1, 4), 'hex'))::bit(32)::bigint % 2147483647
FROM (SELECT n, 'GW' || lpad(n::text, 7, '0') AS id,
        date_trunc('second', now()) - interval '1 hour' AS seen,
        '{"firmwareVersion":"0.0.0","battery":90,"freeHeap":123456,"rssi":-60}'::jsonb AS attributes
    FROM generate_series(0, :gateways - 1) AS n) AS numbered;

INSERT INTO gateway_tags SELECT gateway_id, 'site', tags->>'site' FROM gateways WHERE tags ? 'site';

INSERT INTO upgrade_tasks (task_id, gateway_id, device_type, from_version, to_version, firmware_url, md5,
    sha256, file_size, msg_id, status, progress, force_upgrade, start_time, complete_time, confirmed_at,
    duration_ms, created_at, updated_at)
SELECT ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, gateway_id, gateway.device_type,
    '0.0.0', template.version, ':url', md5, sha256, file_size, 'ota_fill_' || n, 'completed', 100, FALSE,
    gateway.created_at, last_seen_at, last_seen_at, 60000, gateway.created_at, last_seen_at
FROM generate_series(0, :gateways - 1) AS n
JOIN gateways AS gateway ON gateway_id = 'GW' || lpad(n::text, 7, '0'), template;

CREATE TEMP TABLE reports ON COMMIT DROP AS
SELECT 'downloading' AS state, percent AS progress FROM generate_series(0, 90, 10) AS percent
UNION ALL VALUES ('verifying', 95), ('installing', 98), ('completed', 100);

INSERT INTO task_reports (task_id, state, progress, received_at)
SELECT task_id, state, reports.progress, updated_at FROM upgrade_tasks, reports;

INSERT INTO events (kind, gateway_id, task_id, data, created_at)
SELECT 'task', gateway_id, task_id, jsonb_build_object('status', state, 'progress', reports.progress,
    'fromVersion', from_version, 'toVersion', to_version, 'errorCode', NULL, 'errorMessage', NULL,
    'confirmedAt', NULL), updated_at
FROM upgrade_tasks, (SELECT 'pending' AS state, 0 AS progress
    UNION ALL SELECT state, max(progress) FROM reports GROUP BY state) AS reports;

INSERT INTO heartbeats (gateway_id, at, free_heap, battery, rssi, firmware_version)
SELECT gateway_id, heartbeat_timestamp / 600 * 600 - 600 * ago, 123456, 90, -60, '0.0.0'
FROM gateways, generate_series(0, 3) AS ago;

ANALYZE;
