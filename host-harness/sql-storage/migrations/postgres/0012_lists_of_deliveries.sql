-- Indexes for the lists of deliveries by endpoint and state, and for the oldest waiting delivery of an endpoint.

CREATE INDEX tiktok_shop_deliveries_endpoint ON tiktok_shop_deliveries (tenant, endpoint, number);

CREATE INDEX tiktok_shop_deliveries_dead_endpoint ON tiktok_shop_deliveries (tenant, endpoint, number)
WHERE state = 'dead';

CREATE INDEX tiktok_shop_deliveries_waiting_endpoint ON tiktok_shop_deliveries (tenant, endpoint, number)
WHERE state = 'waiting';

CREATE INDEX tiktok_shop_deliveries_waiting_tenant ON tiktok_shop_deliveries (tenant, number) WHERE state = 'waiting';

CREATE INDEX tiktok_shop_deliveries_oldest ON tiktok_shop_deliveries (tenant, endpoint, waiting_since)
WHERE state = 'waiting';
