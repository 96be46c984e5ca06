-- Events of the whole tenant, and who caused an event. An event that concerns no connection has the empty text as customer
-- and account. These columns belong to tiktok_shop_events. Kinds since this version: consent-renewed, shops-linked,
-- shops-unlinked, refresh-forced, token-shown, keys-rotated, host-key-retired, tenant-erased.

-- Null: the platform itself.
ALTER TABLE tiktok_shop_events ADD COLUMN actor TEXT;

-- Null: the actor stated none.
ALTER TABLE tiktok_shop_events ADD COLUMN stated_reason TEXT;

-- The call during which it happened: connect, refresh, sweep, access-token, call, read, link-shops, disconnect, webhook,
-- key-rotation, key-retirement, erasure. Null: an event from before this version.
ALTER TABLE tiktok_shop_events ADD COLUMN cause TEXT;

-- Of shops-linked and shops-unlinked: a JSON array of shop ids.
ALTER TABLE tiktok_shop_events ADD COLUMN shops TEXT;

-- Of keys-rotated and host-key-retired.
ALTER TABLE tiktok_shop_events ADD COLUMN host_key TEXT;
