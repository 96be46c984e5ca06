-- An index for the list of one customer's deliveries.

CREATE INDEX tiktok_shop_deliveries_customer ON tiktok_shop_deliveries (tenant, customer, number);
