-- Requests of platforms with an idempotency key, by SHA-256 of the key. The key of a sealed answer is derived from the API
-- key and the idempotency key, so no key in tiktok_shop_tenant_keys opens it.

CREATE TABLE tiktok_shop_requests (
    tenant TEXT COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL,
    -- SHA-256 of the request.
    fingerprint BYTEA NOT NULL,
    -- Identifies the attempt that carries the request out.
    attempt BYTEA NOT NULL,
    -- Null: no answer was stored yet.
    answer BYTEA,
    begun_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant, digest)
);

CREATE INDEX tiktok_shop_requests_begun ON tiktok_shop_requests (begun_at);
