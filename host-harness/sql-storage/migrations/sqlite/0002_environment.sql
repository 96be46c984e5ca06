-- The TikTok Shop that issued the tokens of this database: the real one, or a fake. A host writes this row before its first
-- request, and nobody changes it.
CREATE TABLE tiktok_shop_environment (
    -- There is at most one row.
    id INTEGER PRIMARY KEY CHECK (id = 1),
    name TEXT NOT NULL CHECK (name IN ('tiktok-shop', 'fake'))
) STRICT;

-- A database that an earlier release has used may contain tokens of the real TikTok Shop.
INSERT INTO tiktok_shop_environment (id, name)
SELECT 1, 'tiktok-shop' WHERE EXISTS (SELECT 1 FROM tiktok_shop_tenant_keys);
