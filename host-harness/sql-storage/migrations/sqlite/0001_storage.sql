-- Text that holds U+0000 or U+0001 is stored with an escape (src/storage/sql/text.rs); all other text stands as it is.
-- Moments of the machine's clock are milliseconds since its boot, and that boot's id: within one boot no clock that can be
-- set takes part.

CREATE TABLE tiktok_shop_tenant_keys (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    -- In the order in which they were added.
    number INTEGER NOT NULL,
    -- Both null: erased.
    host_key TEXT,
    wrapped BLOB,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE tiktok_shop_tokens (
    tenant TEXT NOT NULL,
    customer TEXT NOT NULL,
    account TEXT NOT NULL,
    revision TEXT NOT NULL,
    -- Unix seconds; null: not due.
    refresh_due_at INTEGER,
    sealed_by TEXT NOT NULL,
    sealed BLOB NOT NULL,
    written_boot TEXT NOT NULL,
    written_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, customer, account),
    FOREIGN KEY (tenant, sealed_by) REFERENCES tiktok_shop_tenant_keys (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX tiktok_shop_tokens_due ON tiktok_shop_tokens (refresh_due_at, tenant, customer, account)
WHERE refresh_due_at IS NOT NULL;

CREATE INDEX tiktok_shop_tokens_sealed ON tiktok_shop_tokens (tenant, sealed_by, customer, account);

CREATE TABLE tiktok_shop_connections (
    tenant TEXT NOT NULL,
    customer TEXT NOT NULL,
    account TEXT NOT NULL,
    revision TEXT NOT NULL,
    token_lineage TEXT NOT NULL,
    token_generation INTEGER NOT NULL,
    seller_name TEXT NOT NULL,
    seller_base_region TEXT NOT NULL,
    -- A JSON array of text.
    granted_scopes TEXT NOT NULL,
    -- all, exactly-one
    shop_policy TEXT NOT NULL,
    -- active, authorization-ending, reauthorization-required
    status TEXT NOT NULL,
    -- Of authorization-ending, in Unix seconds.
    status_ends_at INTEGER,
    -- Of reauthorization-required: authorization-expired, authorization-revoked, refresh-outcome-unknown
    status_reason TEXT,
    -- These are Unix seconds.
    access_expires_at INTEGER,
    refresh_expires_at INTEGER,
    authorization_ends_at INTEGER,
    -- The earlier of the two above.
    ends_at INTEGER,
    connected_at INTEGER NOT NULL,
    granted_at INTEGER NOT NULL,
    refreshed_at INTEGER NOT NULL,
    shops_synced_at INTEGER,
    failure_at INTEGER,
    failure_code TEXT,
    failure_detail TEXT,
    failure_http_status INTEGER,
    failure_request_id TEXT,
    -- The ciphers of the shops; null: none has one.
    sealed_by TEXT,
    sealed BLOB,
    PRIMARY KEY (tenant, customer, account),
    FOREIGN KEY (tenant, sealed_by) REFERENCES tiktok_shop_tenant_keys (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX tiktok_shop_connections_ends ON tiktok_shop_connections (ends_at, tenant, customer, account)
WHERE ends_at IS NOT NULL AND status <> 'reauthorization-required';

CREATE INDEX tiktok_shop_connections_sealed ON tiktok_shop_connections (tenant, sealed_by, customer, account)
WHERE sealed_by IS NOT NULL;

CREATE TABLE tiktok_shop_shops (
    tenant TEXT NOT NULL,
    customer TEXT NOT NULL,
    account TEXT NOT NULL,
    id TEXT NOT NULL,
    -- The order of the shops of a connection, from 0.
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    region TEXT NOT NULL,
    seller_type TEXT NOT NULL,
    code TEXT NOT NULL,
    -- As TikTok sent it, JSON, without its cipher.
    raw TEXT NOT NULL,
    -- granted, inactive, no-longer-granted
    standing TEXT NOT NULL,
    -- 0, 1
    linked INTEGER NOT NULL,
    PRIMARY KEY (tenant, customer, account, id),
    FOREIGN KEY (tenant, customer, account) REFERENCES tiktok_shop_connections (tenant, customer, account) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX tiktok_shop_shops_owners ON tiktok_shop_shops (tenant, id, customer, account);

-- The position of a tenant's last event. Its row is locked until the events are there.
CREATE TABLE tiktok_shop_event_positions (
    tenant TEXT NOT NULL PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tiktok_shop_events (
    tenant TEXT NOT NULL,
    position INTEGER NOT NULL,
    -- Unix seconds.
    at INTEGER NOT NULL,
    customer TEXT NOT NULL,
    account TEXT NOT NULL,
    -- connected, authorization-ending, reauthorization-required, recovered, disconnected, notice
    kind TEXT NOT NULL,
    -- Of reauthorization-required.
    reason TEXT,
    -- Of authorization-ending and notice, in Unix seconds.
    ends_at INTEGER,
    -- Of notice.
    days INTEGER,
    PRIMARY KEY (tenant, position)
) STRICT, WITHOUT ROWID;

-- What was told once, by SHA-256 of its name.
CREATE TABLE tiktok_shop_told (
    tenant TEXT NOT NULL,
    customer TEXT NOT NULL,
    account TEXT NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (tenant, customer, account, digest)
) STRICT, WITHOUT ROWID;

-- Consents under way, by SHA-256 of their state.
CREATE TABLE tiktok_shop_states (
    tenant TEXT NOT NULL,
    digest BLOB NOT NULL,
    customer TEXT NOT NULL,
    -- SHA-256 of the browser's session.
    browser BLOB NOT NULL,
    shop_policy TEXT NOT NULL,
    -- 0, 1
    used INTEGER NOT NULL,
    begun_boot TEXT NOT NULL,
    begun_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, digest)
) STRICT, WITHOUT ROWID;

CREATE INDEX tiktok_shop_states_begun ON tiktok_shop_states (begun_boot, begun_ms);

-- Webhooks that were handled, by SHA-256 of their id or body.
CREATE TABLE tiktok_shop_webhooks (
    tenant TEXT NOT NULL,
    digest BLOB NOT NULL,
    -- Unix seconds by this machine's clock.
    handled_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, digest)
) STRICT, WITHOUT ROWID;

CREATE INDEX tiktok_shop_webhooks_handled ON tiktok_shop_webhooks (handled_at);
