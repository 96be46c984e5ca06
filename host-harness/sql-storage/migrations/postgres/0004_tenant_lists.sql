-- Indexes for the list of a tenant's connections, page by page, and the new kinds of events. A list without a filter
-- uses the primary key, and a list by shop uses tiktok_shop_shops_owners. The seller's name can be long, and PostgreSQL
-- limits the length of an index entry, so only the first 60 characters are in the index. Kinds of events since this
-- version: shops-lost, shops-regained; they use the column shops.

CREATE INDEX tiktok_shop_connections_status ON tiktok_shop_connections (tenant, status, customer, account);

CREATE INDEX tiktok_shop_connections_account ON tiktok_shop_connections (tenant, account, customer);

CREATE INDEX tiktok_shop_connections_seller
ON tiktok_shop_connections (tenant, substr(seller_name, 1, 60), customer, account);
