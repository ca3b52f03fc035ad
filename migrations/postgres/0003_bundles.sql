-- What a signed bundle says of itself; null for a plain image.
ALTER TABLE firmwares ADD COLUMN bundle JSONB;
-- The bundle's releaseCounter.
ALTER TABLE firmwares ADD COLUMN release_counter BIGINT;
CREATE INDEX firmwares_release_counter ON firmwares (device_type, release_counter);

-- A bundle's files beside the one that its firmware names: manifest, signature, web part.
CREATE TABLE bundle_files (
    file_name TEXT PRIMARY KEY,
    firmware_id UUID NOT NULL REFERENCES firmwares (firmware_id) ON DELETE CASCADE,
    sha256 TEXT NOT NULL REFERENCES blobs (sha256)
);
CREATE INDEX bundle_files_firmware ON bundle_files (firmware_id);
CREATE INDEX bundle_files_sha256 ON bundle_files (sha256);

-- When each device type's newest release is announced next.
CREATE TABLE release_announcements (
    device_type TEXT PRIMARY KEY,
    next_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX release_announcements_due ON release_announcements (next_at);

-- The outbox of what goes to everyone: due at next_send_at, until the broker has it.
CREATE TABLE announcements (
    announcement_id UUID PRIMARY KEY,
    topic TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    next_send_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX announcements_due ON announcements (next_send_at);
