BEGIN IMMEDIATE;

CREATE TEMP TABLE template AS SELECT * FROM firmwares WHERE version = '0.0.0';

CREATE TEMP TABLE numbers AS
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < :gateways - 1)
SELECT n FROM numbers;

INSERT INTO firmwares (firmware_id, device_type, version, file_name, file_size, md5, sha256, description,
    changelog, status, force_upgrade, release_date, created_at, updated_at)
WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < :firmwares)
SELECT unhex('01900000000070009000' || printf('%012x', n)), device_type, '0.0.' || n,
    device_type || '_v0.0.' || n || '.bin', file_size, md5, sha256, description,
    changelog, status, force_upgrade, release_date, created_at, updated_at
FROM template, counted WHERE n <= :firmwares;

-- Its place in the order of rollouts is thrown here, as SQLite knows no SHA-256: just as even.
INSERT INTO gateways (gateway_id, device_type, current_version, online, last_seen_at, attributes,
    heartbeat_timestamp, created_at, updated_at, version_key, tags, shuffle)
SELECT printf('GW%07d', n), 'gateway', '0.0.0', 0, seen, attributes, unixepoch(seen), seen, seen,
    'b0b0b0~', json_object('site', 'site' || (n % 100)), abs(random() % 2147483647)
FROM numbers, (SELECT strftime('%Y-%m-%dT%H:%M:%S+00:00', 'now', '-1 hour') AS seen,
        '{"firmwareVersion":"0.0.0","battery":90,"freeHeap":123456,"rssi":-60}' AS attributes);

INSERT INTO gateway_tags SELECT gateway_id, key, value FROM gateways, json_each(tags);

INSERT INTO upgrade_tasks (task_id, gateway_id, device_type, from_version, to_version, firmware_url, md5,
    sha256, file_size, msg_id, status, progress, force_upgrade, start_time, complete_time, confirmed_at,
    duration_ms, created_at, updated_at)
SELECT unhex('01900000000070008000' || printf('%012x', n)), gateway_id, gateway.device_type,
    '0.0.0', template.version, ':url', md5, sha256, file_size, 'ota_fill_' || n, 'completed', 100, 0,
    gateway.created_at, last_seen_at, last_seen_at, 60000, gateway.created_at, last_seen_at
FROM numbers JOIN gateways AS gateway ON gateway_id = printf('GW%07d', n), template;

CREATE TEMP TABLE reports AS
WITH RECURSIVE percents (percent) AS (SELECT 0 UNION ALL SELECT percent + 10 FROM percents WHERE percent < 90)
SELECT 'downloading' AS state, percent AS progress FROM percents
UNION ALL VALUES ('verifying', 95), ('installing', 98), ('completed', 100);

INSERT INTO task_reports (task_id, state, progress, received_at)
SELECT task_id, state, reports.progress, updated_at FROM upgrade_tasks, reports;

INSERT INTO events (kind, gateway_id, task_id, data, created_at)
SELECT 'task', gateway_id, task_id, json_object('status', state, 'progress', reports.progress,
    'fromVersion', from_version, 'toVersion', to_version, 'errorCode', NULL, 'errorMessage', NULL,
    'confirmedAt', NULL), updated_at
FROM upgrade_tasks, (SELECT 'pending' AS state, 0 AS progress
    UNION ALL SELECT state, max(progress) FROM reports GROUP BY state) AS reports;

INSERT INTO heartbeats (gateway_id, at, free_heap, battery, rssi, firmware_version)
SELECT gateway_id, heartbeat_timestamp / 600 * 600 - 600 * ago.value, 123456, 90.0, -60.0, '0.0.0'
FROM gateways, json_each('[0, 1, 2, 3]') AS ago;

COMMIT;
-- No ANALYZE: nobody runs it on a server's file, and with it SQLite prepares statements anew for other values.
PRAGMA wal_checkpoint(TRUNCATE);
