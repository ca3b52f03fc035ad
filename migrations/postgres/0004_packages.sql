-- Packages for Linux devices: one row per version of a package on a branch.
CREATE TABLE packages (
    package_id UUID PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    branch TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    -- Sorts as versions do.
    version_key TEXT COLLATE "C" NOT NULL,
    -- content.json, byte for byte as it was uploaded.
    content TEXT NOT NULL,
    file_size BIGINT NOT NULL,
    md5 TEXT NOT NULL,
    sha256 TEXT NOT NULL REFERENCES blobs (sha256),
    -- Of content.json: the detached OpenPGP signature, armored; null if it came with none.
    signature TEXT,
    -- The trusted key that made it; null if none did.
    signed_by JSONB,
    -- Since when the branch's head is below it.
    withdrawn_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    UNIQUE (name, branch, version)
);
CREATE INDEX packages_head ON packages (name, branch, version_key) WHERE withdrawn_at IS NULL;
CREATE INDEX packages_sha256 ON packages (sha256);

-- The package's version that a firmware is; null for images and bundles.
ALTER TABLE firmwares ADD COLUMN package JSONB;

-- The packages that a task changes on a Linux device; null on gateways.
ALTER TABLE upgrade_tasks ADD COLUMN packages JSONB;

-- From when on a gateway that reports over HTTP counts as offline unless it reports before; it stays
-- when that has come. Null if the broker tells.
ALTER TABLE gateways ADD COLUMN offline_at TIMESTAMPTZ;
CREATE INDEX gateways_offline ON gateways (offline_at) WHERE online AND offline_at IS NOT NULL;
