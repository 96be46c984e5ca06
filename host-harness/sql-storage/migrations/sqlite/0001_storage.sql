-- A text that contains U+0000 or U+0001 is stored with escape sequences: see src/sql/text.rs. Any other text is stored
-- unchanged.
--
-- A moment has two columns: the id of the machine's boot, and the milliseconds since that boot. Nobody can set the clock
-- that measures them.

CREATE TABLE tiktok_shop_tenant_keys (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    -- Grows with each key that is added for the tenant.
    number INTEGER NOT NULL,
    -- `host_key` names the key that wraps `wrapped`. Both are null if the key is erased.
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
    -- Unix seconds. Null if no refresh is due.
    refresh_due_at INTEGER,
    -- The key that seals the token record, and the sealed record.
    sealed_by TEXT NOT NULL,
    sealed BLOB NOT NULL,
    -- The moment of the last write.
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
    -- One of: all, exactly-one.
    shop_policy TEXT NOT NULL,
    -- One of: active, authorization-ending, reauthorization-required.
    status TEXT NOT NULL,
    -- Unix seconds. Only for the status authorization-ending.
    status_ends_at INTEGER,
    -- Only for the status reauthorization-required. One of: authorization-expired, authorization-revoked,
    -- refresh-outcome-unknown.
    status_reason TEXT,
    -- The times from here to `failure_at` are Unix seconds.
    access_expires_at INTEGER,
    refresh_expires_at INTEGER,
    authorization_ends_at INTEGER,
    -- The earlier of `refresh_expires_at` and `authorization_ends_at`.
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
    -- The sealed ciphers of the shops, and the key that seals them. Null if no shop has a cipher.
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
    -- The index of the shop among the shops of its connection, from 0.
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    region TEXT NOT NULL,
    seller_type TEXT NOT NULL,
    code TEXT NOT NULL,
    -- The shop as TikTok sent it: JSON without the cipher.
    raw TEXT NOT NULL,
    -- One of: granted, inactive, no-longer-granted.
    standing TEXT NOT NULL,
    -- 0 or 1.
    linked INTEGER NOT NULL,
    PRIMARY KEY (tenant, customer, account, id),
    FOREIGN KEY (tenant, customer, account) REFERENCES tiktok_shop_connections (tenant, customer, account) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX tiktok_shop_shops_owners ON tiktok_shop_shops (tenant, id, customer, account);

-- The position of each tenant's last event. A transaction that appends events locks the tenant's row until it commits.
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
    -- One of: connected, authorization-ending, reauthorization-required, recovered, disconnected, notice.
    kind TEXT NOT NULL,
    -- Only for the kind reauthorization-required. The words are those of `status_reason`.
    reason TEXT,
    -- Unix seconds. Only for the kinds authorization-ending and notice.
    ends_at INTEGER,
    -- 30, 7 or 1. Only for the kind notice.
    days INTEGER,
    PRIMARY KEY (tenant, position)
) STRICT, WITHOUT ROWID;

-- Events that happen once to a connection. `digest` is the SHA-256 of the event's name.
CREATE TABLE tiktok_shop_told (
    tenant TEXT NOT NULL,
    customer TEXT NOT NULL,
    account TEXT NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (tenant, customer, account, digest)
) STRICT, WITHOUT ROWID;

-- Consents that have begun. `digest` is the SHA-256 of the consent's state.
CREATE TABLE tiktok_shop_states (
    tenant TEXT NOT NULL,
    digest BLOB NOT NULL,
    customer TEXT NOT NULL,
    -- The SHA-256 of the browser's session.
    browser BLOB NOT NULL,
    shop_policy TEXT NOT NULL,
    -- 0 or 1.
    used INTEGER NOT NULL,
    begun_boot TEXT NOT NULL,
    begun_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, digest)
) STRICT, WITHOUT ROWID;

CREATE INDEX tiktok_shop_states_begun ON tiktok_shop_states (begun_boot, begun_ms);

-- Webhooks that were handled. `digest` is the SHA-256 of the webhook's id, or of its body if it has no id.
CREATE TABLE tiktok_shop_webhooks (
    tenant TEXT NOT NULL,
    digest BLOB NOT NULL,
    -- Unix seconds by this machine's wall clock.
    handled_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, digest)
) STRICT, WITHOUT ROWID;

CREATE INDEX tiktok_shop_webhooks_handled ON tiktok_shop_webhooks (handled_at);
