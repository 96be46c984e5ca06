-- Installs from TikTok's App Store that wait for a confirmation, by SHA-256 of their id. The key of a sealed value belongs
-- to the browser session, so no key in tiktok_shop_tenant_keys opens it.

CREATE TABLE tiktok_shop_installs (
    tenant TEXT NOT NULL,
    digest BLOB NOT NULL,
    -- SHA-256 of the browser's session.
    browser BLOB NOT NULL,
    -- Null: confirmed.
    sealed BLOB,
    begun_boot TEXT NOT NULL,
    begun_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, digest)
) STRICT, WITHOUT ROWID;

CREATE INDEX tiktok_shop_installs_begun ON tiktok_shop_installs (begun_boot, begun_ms);
