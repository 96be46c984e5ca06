-- The app of each connection and of each consent. A tenant may have several apps. Null: an earlier release wrote the row.
-- The app of a connection is also in its sealed token record, so a row without an app loses nothing, and the next call
-- that writes the row fills the column. A consent without an app belongs to the tenant's only app.

ALTER TABLE tiktok_shop_connections ADD COLUMN app_key TEXT COLLATE "C";

ALTER TABLE tiktok_shop_states ADD COLUMN app_key TEXT COLLATE "C";
