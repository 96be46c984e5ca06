-- An index for the number of connections by status and app, which the metrics show.

CREATE INDEX tiktok_shop_connections_counts ON tiktok_shop_connections (status, app_key);
