-- Since when every door asks for a credential: no row while there has never been one. The row stays
-- when the last credential goes, so that nothing opens again by itself.
CREATE TABLE access (
    only_row INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    closed_at TEXT NOT NULL
) STRICT;

-- Of people and machines. A token has 256 random bits, so its SHA-256 (hex) is all that is kept.
CREATE TABLE tokens (
    token_id BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT,
    revoked_at TEXT,
    last_used_at TEXT
) STRICT;
CREATE UNIQUE INDEX tokens_name ON tokens (name) WHERE revoked_at IS NULL;

CREATE TABLE users (
    user_id BLOB PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    -- argon2id in PHC form; null for who logs in by OpenID Connect alone.
    password_hash TEXT,
    oidc_issuer TEXT,
    oidc_subject TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    disabled_at TEXT,
    UNIQUE (oidc_issuer, oidc_subject)
) STRICT;

-- Of users on the web page; the SHA-256 (hex) of what the cookie holds.
CREATE TABLE user_sessions (
    hash TEXT PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL
) STRICT;
CREATE INDEX user_sessions_user ON user_sessions (user_id);

-- Failed logins by `account:<name>` and by `address:<ip>`.
CREATE TABLE login_failures (
    subject TEXT PRIMARY KEY,
    failures INTEGER NOT NULL,
    blocked_until TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;

-- One-time links that make the first administrator.
CREATE TABLE setup_links (
    hash TEXT PRIMARY KEY,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    used_at TEXT
) STRICT;

-- A fleet's keys: who has one may claim a token for a gateway that has none.
CREATE TABLE provisioning_keys (
    key_id BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    device_type TEXT,
    claims_max INTEGER,
    claims INTEGER NOT NULL DEFAULT 0,
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT,
    revoked_at TEXT
) STRICT;
CREATE UNIQUE INDEX provisioning_keys_name ON provisioning_keys (name) WHERE revoked_at IS NULL;

-- Of gateways, known already or not. Two are good while one takes the other's place.
CREATE TABLE gateway_tokens (
    token_id BLOB PRIMARY KEY,
    gateway_id TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    -- For Mosquitto's password file, which is made from it: `$7$`, PBKDF2-HMAC-SHA512.
    mosquitto_hash TEXT NOT NULL,
    provisioning_key_id BLOB,
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT,
    revoked_at TEXT,
    last_used_at TEXT
) STRICT;
CREATE INDEX gateway_tokens_gateway ON gateway_tokens (gateway_id);

-- What servers over one database sign with.
CREATE TABLE signing_secrets (
    name TEXT PRIMARY KEY,
    secret BLOB NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

-- Who did what to which thing from where. Rows are only added.
CREATE TABLE audit (
    audit_id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- anyone, nobody, token, user, gateway, command_line or server.
    actor_kind TEXT NOT NULL,
    actor_id TEXT,
    actor_name TEXT,
    address TEXT,
    -- <noun>.<verb>
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;
CREATE INDEX audit_subject ON audit (subject, audit_id);
CREATE INDEX audit_action ON audit (action, audit_id);
CREATE INDEX audit_actor ON audit (actor_name, audit_id);

CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
-- INSERT OR REPLACE deletes without asking the trigger for deletions.
CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE audit_id = NEW.audit_id)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
