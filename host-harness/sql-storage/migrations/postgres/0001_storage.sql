-- A text that contains U+0000 or U+0001 is stored with escape sequences: see src/sql/text.rs. Any other text is stored
-- unchanged. The collation "C" compares ids byte by byte.

CREATE TABLE tiktok_shop_tenant_keys (
    tenant TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    -- Grows with each key that is added for the tenant.
    number BIGINT NOT NULL,
    -- `host_key` names the key that wraps `wrapped`. Both are null if the key is erased.
    host_key TEXT,
    wrapped BYTEA,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, number)
);

CREATE TABLE tiktok_shop_tokens (
    tenant TEXT COLLATE "C" NOT NULL,
    customer TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    revision TEXT NOT NULL,
    -- Unix seconds. Null if no refresh is due.
    refresh_due_at BIGINT,
    -- The key that seals the token record, and the sealed record.
    sealed_by TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL,
    -- The time of the last write, by this server's clock.
    written_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant, customer, account),
    FOREIGN KEY (tenant, sealed_by) REFERENCES tiktok_shop_tenant_keys (tenant, id)
);

CREATE INDEX tiktok_shop_tokens_due ON tiktok_shop_tokens (refresh_due_at, tenant, customer, account)
WHERE refresh_due_at IS NOT NULL;

CREATE INDEX tiktok_shop_tokens_sealed ON tiktok_shop_tokens (tenant, sealed_by, customer, account);

CREATE TABLE tiktok_shop_connections (
    tenant TEXT COLLATE "C" NOT NULL,
    customer TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    revision TEXT NOT NULL,
    token_lineage TEXT NOT NULL,
    token_generation BIGINT NOT NULL,
    seller_name TEXT NOT NULL,
    seller_base_region TEXT NOT NULL,
    -- A JSON array of text.
    granted_scopes TEXT NOT NULL,
    -- One of: all, exactly-one.
    shop_policy TEXT NOT NULL,
    -- One of: active, authorization-ending, reauthorization-required.
    status TEXT NOT NULL,
    -- Unix seconds. Only for the status authorization-ending.
    status_ends_at BIGINT,
    -- Only for the status reauthorization-required. One of: authorization-expired, authorization-revoked,
    -- refresh-outcome-unknown.
    status_reason TEXT,
    -- The times from here to `failure_at` are Unix seconds.
    access_expires_at BIGINT,
    refresh_expires_at BIGINT,
    authorization_ends_at BIGINT,
    -- The earlier of `refresh_expires_at` and `authorization_ends_at`.
    ends_at BIGINT,
    connected_at BIGINT NOT NULL,
    granted_at BIGINT NOT NULL,
    refreshed_at BIGINT NOT NULL,
    shops_synced_at BIGINT,
    failure_at BIGINT,
    failure_code TEXT,
    failure_detail TEXT,
    failure_http_status BIGINT,
    failure_request_id TEXT,
    -- The sealed ciphers of the shops, and the key that seals them. Null if no shop has a cipher.
    sealed_by TEXT COLLATE "C",
    sealed BYTEA,
    PRIMARY KEY (tenant, customer, account),
    FOREIGN KEY (tenant, sealed_by) REFERENCES tiktok_shop_tenant_keys (tenant, id)
);

CREATE INDEX tiktok_shop_connections_ends ON tiktok_shop_connections (ends_at, tenant, customer, account)
WHERE ends_at IS NOT NULL AND status <> 'reauthorization-required';

CREATE INDEX tiktok_shop_connections_sealed ON tiktok_shop_connections (tenant, sealed_by, customer, account)
WHERE sealed_by IS NOT NULL;

CREATE TABLE tiktok_shop_shops (
    tenant TEXT COLLATE "C" NOT NULL,
    customer TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    -- The index of the shop among the shops of its connection, from 0.
    position BIGINT NOT NULL,
    name TEXT NOT NULL,
    region TEXT NOT NULL,
    seller_type TEXT NOT NULL,
    code TEXT NOT NULL,
    -- The shop as TikTok sent it: JSON without the cipher.
    raw TEXT NOT NULL,
    -- One of: granted, inactive, no-longer-granted.
    standing TEXT NOT NULL,
    linked BOOLEAN NOT NULL,
    PRIMARY KEY (tenant, customer, account, id),
    FOREIGN KEY (tenant, customer, account) REFERENCES tiktok_shop_connections (tenant, customer, account) ON DELETE CASCADE
);

CREATE INDEX tiktok_shop_shops_owners ON tiktok_shop_shops (tenant, id, customer, account);

-- The position of each tenant's last event. A transaction that appends events locks the tenant's row until it commits.
CREATE TABLE tiktok_shop_event_positions (
    tenant TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    last BIGINT NOT NULL
);

CREATE TABLE tiktok_shop_events (
    tenant TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    -- Unix seconds.
    at BIGINT NOT NULL,
    customer TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    -- One of: connected, authorization-ending, reauthorization-required, recovered, disconnected, notice.
    kind TEXT NOT NULL,
    -- Only for the kind reauthorization-required. The words are those of `status_reason`.
    reason TEXT,
    -- Unix seconds. Only for the kinds authorization-ending and notice.
    ends_at BIGINT,
    -- 30, 7 or 1. Only for the kind notice.
    days BIGINT,
    PRIMARY KEY (tenant, position)
);

-- Events that happen once to a connection. `digest` is the SHA-256 of the event's name.
CREATE TABLE tiktok_shop_told (
    tenant TEXT COLLATE "C" NOT NULL,
    customer TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL,
    PRIMARY KEY (tenant, customer, account, digest)
);

-- Consents that have begun. `digest` is the SHA-256 of the consent's state.
CREATE TABLE tiktok_shop_states (
    tenant TEXT COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL,
    customer TEXT COLLATE "C" NOT NULL,
    -- The SHA-256 of the browser's session.
    browser BYTEA NOT NULL,
    shop_policy TEXT NOT NULL,
    used BOOLEAN NOT NULL,
    begun_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant, digest)
);

CREATE INDEX tiktok_shop_states_begun ON tiktok_shop_states (begun_at);

-- Webhooks that were handled. `digest` is the SHA-256 of the webhook's id, or of its body if it has no id.
CREATE TABLE tiktok_shop_webhooks (
    tenant TEXT COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL,
    handled_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant, digest)
);

CREATE INDEX tiktok_shop_webhooks_handled ON tiktok_shop_webhooks (handled_at);
