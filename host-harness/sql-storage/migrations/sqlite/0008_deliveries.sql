-- Webhooks from the service to platforms. A delivery about a whole tenant has the empty text as customer.

CREATE TABLE tiktok_shop_deliveries (
    -- The order of the deliveries. No number is used again.
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    -- The header webhook-id.
    id TEXT NOT NULL,
    -- The name of the endpoint in the configuration.
    endpoint TEXT NOT NULL,
    customer TEXT NOT NULL,
    -- The member type of the body, for example connection.connected.
    event_type TEXT NOT NULL,
    -- waiting, delivered, dead
    state TEXT NOT NULL,
    -- Unix seconds by the clock of the service, as are all times but those of the lease.
    stored_at INTEGER NOT NULL,
    -- When it was stored or last redelivered. The three days of retries begin here.
    waiting_since INTEGER NOT NULL,
    -- Null: waiting.
    ended_at INTEGER,
    -- The number of attempts since waiting_since.
    tries INTEGER NOT NULL,
    -- A JSON array of the latest attempts.
    attempts TEXT NOT NULL,
    -- The body of the request, JSON. Null: delivered.
    body TEXT,
    UNIQUE (tenant, id)
) STRICT;

CREATE INDEX tiktok_shop_deliveries_number ON tiktok_shop_deliveries (tenant, number);

CREATE INDEX tiktok_shop_deliveries_queue ON tiktok_shop_deliveries (tenant, endpoint, customer, number)
WHERE state = 'waiting';

CREATE INDEX tiktok_shop_deliveries_waiting ON tiktok_shop_deliveries (waiting_since) WHERE state = 'waiting';

CREATE INDEX tiktok_shop_deliveries_dead ON tiktok_shop_deliveries (tenant, number) WHERE state = 'dead';

CREATE INDEX tiktok_shop_deliveries_ended ON tiktok_shop_deliveries (state, ended_at) WHERE ended_at IS NOT NULL;

-- One database row for each endpoint and customer with waiting deliveries. Only the process that holds the lease sends the
-- first of them.
CREATE TABLE tiktok_shop_delivery_queues (
    tenant TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    customer TEXT NOT NULL,
    -- When the first delivery may be sent.
    due_at INTEGER NOT NULL,
    -- All null: nobody sends.
    lease TEXT,
    leased_boot TEXT,
    leased_ms INTEGER,
    PRIMARY KEY (tenant, endpoint, customer)
) STRICT, WITHOUT ROWID;

CREATE INDEX tiktok_shop_delivery_queues_due ON tiktok_shop_delivery_queues (tenant, endpoint, due_at);

-- For each endpoint, the position of the last event of tiktok_shop_events that became a delivery.
CREATE TABLE tiktok_shop_delivery_positions (
    tenant TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (tenant, endpoint)
) STRICT, WITHOUT ROWID;
