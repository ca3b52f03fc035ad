-- Since when every door asks for a credential: no row while there has never been one. The row stays
-- when the last credential goes, so that nothing opens again by itself.
CREATE TABLE access (
    only_row BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (only_row),
    closed_at TIMESTAMPTZ NOT NULL
);

-- Of people and machines. A token has 256 random bits, so its SHA-256 (hex) is all that is kept.
CREATE TABLE tokens (
    token_id UUID PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    role TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    created_by TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ,
    revoked_at TIMESTAMPTZ,
    last_used_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX tokens_name ON tokens (name) WHERE revoked_at IS NULL;

CREATE TABLE users (
    user_id UUID PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    role TEXT NOT NULL,
    -- argon2id in PHC form; null for who logs in by OpenID Connect alone.
    password_hash TEXT,
    oidc_issuer TEXT,
    oidc_subject TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    disabled_at TIMESTAMPTZ,
    UNIQUE (oidc_issuer, oidc_subject)
);

-- Of users on the web page; the SHA-256 (hex) of what the cookie holds.
CREATE TABLE user_sessions (
    hash TEXT PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX user_sessions_user ON user_sessions (user_id);

-- Failed logins by `account:<name>` and by `address:<ip>`.
CREATE TABLE login_failures (
    subject TEXT COLLATE "C" PRIMARY KEY,
    failures BIGINT NOT NULL,
    blocked_until TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);

-- One-time links that make the first administrator.
CREATE TABLE setup_links (
    hash TEXT PRIMARY KEY,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    used_at TIMESTAMPTZ
);

-- A fleet's keys: who has one may claim a token for a gateway that has none.
CREATE TABLE provisioning_keys (
    key_id UUID PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    device_type TEXT,
    claims_max BIGINT,
    claims BIGINT NOT NULL DEFAULT 0,
    created_by TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ,
    revoked_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX provisioning_keys_name ON provisioning_keys (name) WHERE revoked_at IS NULL;

-- Of gateways, known already or not. Two are good while one takes the other's place.
CREATE TABLE gateway_tokens (
    token_id UUID PRIMARY KEY,
    gateway_id TEXT COLLATE "C" NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    -- For Mosquitto's password file, which is made from it: `$7$`, PBKDF2-HMAC-SHA512.
    mosquitto_hash TEXT NOT NULL,
    provisioning_key_id UUID,
    created_by TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ,
    revoked_at TIMESTAMPTZ,
    last_used_at TIMESTAMPTZ
);
CREATE INDEX gateway_tokens_gateway ON gateway_tokens (gateway_id);
-- What has ended of late.
CREATE INDEX gateway_tokens_revoked ON gateway_tokens (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX gateway_tokens_expires ON gateway_tokens (expires_at) WHERE expires_at IS NOT NULL;

-- What servers over one database sign with.
CREATE TABLE signing_secrets (
    name TEXT PRIMARY KEY,
    secret BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);

-- Who did what to which thing from where. Rows are only added.
CREATE TABLE audit (
    audit_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- anyone, nobody, token, user, gateway, command_line or server.
    actor_kind TEXT NOT NULL,
    actor_id TEXT COLLATE "C",
    actor_name TEXT COLLATE "C",
    address TEXT COLLATE "C",
    -- <noun>.<verb>
    action TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    detail JSONB NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX audit_subject ON audit (subject, audit_id);
CREATE INDEX audit_action ON audit (action, audit_id);
CREATE INDEX audit_actor ON audit (actor_name, audit_id);

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END;
$$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
