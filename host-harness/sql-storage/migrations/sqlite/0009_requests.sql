-- Requests of platforms with an idempotency key, by SHA-256 of the key. The key of a sealed answer is derived from the API
-- key and the idempotency key, so no key in tiktok_shop_tenant_keys opens it.

CREATE TABLE tiktok_shop_requests (
    tenant TEXT NOT NULL,
    digest BLOB NOT NULL,
    -- SHA-256 of the request.
    fingerprint BLOB NOT NULL,
    -- Identifies the attempt that carries the request out.
    attempt BLOB NOT NULL,
    -- Null: no answer was stored yet.
    answer BLOB,
    -- Unix seconds. An age must be known after a restart of the machine, too.
    begun_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, digest)
) STRICT;

CREATE INDEX tiktok_shop_requests_begun ON tiktok_shop_requests (begun_at);
