-- Text that holds U+0000 or U+0001 is stored with an escape (src/storage/sql/text.rs); all other text stands as it is.
-- Ids compare and sort byte for byte.

CREATE TABLE tiktok_shop_tenant_keys (
    tenant TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    -- In the order in which they were added.
    number BIGINT NOT NULL,
    -- Both null: erased.
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
    -- Unix seconds; null: not due.
    refresh_due_at BIGINT,
    sealed_by TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL,
    -- By this server's clock.
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
    -- all, exactly-one
    shop_policy TEXT NOT NULL,
    -- active, authorization-ending, reauthorization-required
    status TEXT NOT NULL,
    -- Of authorization-ending, in Unix seconds.
    status_ends_at BIGINT,
    -- Of reauthorization-required: authorization-expired, authorization-revoked, refresh-outcome-unknown
    status_reason TEXT,
    -- These are Unix seconds.
    access_expires_at BIGINT,
    refresh_expires_at BIGINT,
    authorization_ends_at BIGINT,
    -- The earlier of the two above.
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
    -- The ciphers of the shops; null: none has one.
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
    -- The order of the shops of a connection, from 0.
    position BIGINT NOT NULL,
    name TEXT NOT NULL,
    region TEXT NOT NULL,
    seller_type TEXT NOT NULL,
    code TEXT NOT NULL,
    -- As TikTok sent it, JSON, without its cipher.
    raw TEXT NOT NULL,
    -- granted, inactive, no-longer-granted
    standing TEXT NOT NULL,
    linked BOOLEAN NOT NULL,
    PRIMARY KEY (tenant, customer, account, id),
    FOREIGN KEY (tenant, customer, account) REFERENCES tiktok_shop_connections (tenant, customer, account) ON DELETE CASCADE
);

CREATE INDEX tiktok_shop_shops_owners ON tiktok_shop_shops (tenant, id, customer, account);

-- The position of a tenant's last event. Its row is locked until the events are there.
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
    -- connected, authorization-ending, reauthorization-required, recovered, disconnected, notice
    kind TEXT NOT NULL,
    -- Of reauthorization-required.
    reason TEXT,
    -- Of authorization-ending and notice, in Unix seconds.
    ends_at BIGINT,
    -- Of notice.
    days BIGINT,
    PRIMARY KEY (tenant, position)
);

-- What was told once, by SHA-256 of its name.
CREATE TABLE tiktok_shop_told (
    tenant TEXT COLLATE "C" NOT NULL,
    customer TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL,
    PRIMARY KEY (tenant, customer, account, digest)
);

-- Consents under way, by SHA-256 of their state.
CREATE TABLE tiktok_shop_states (
    tenant TEXT COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL,
    customer TEXT COLLATE "C" NOT NULL,
    -- SHA-256 of the browser's session.
    browser BYTEA NOT NULL,
    shop_policy TEXT NOT NULL,
    used BOOLEAN NOT NULL,
    begun_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant, digest)
);

CREATE INDEX tiktok_shop_states_begun ON tiktok_shop_states (begun_at);

-- Webhooks that were handled, by SHA-256 of their id or body.
CREATE TABLE tiktok_shop_webhooks (
    tenant TEXT COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL,
    handled_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant, digest)
);

CREATE INDEX tiktok_shop_webhooks_handled ON tiktok_shop_webhooks (handled_at);
