-- Webhooks from the service to platforms. A delivery about a whole tenant has the empty text as customer.

CREATE TABLE tiktok_shop_deliveries (
    tenant TEXT COLLATE "C" NOT NULL,
    -- The header webhook-id.
    id TEXT COLLATE "C" NOT NULL,
    -- The order of the deliveries.
    number BIGINT GENERATED ALWAYS AS IDENTITY,
    -- The name of the endpoint in the configuration.
    endpoint TEXT COLLATE "C" NOT NULL,
    customer TEXT COLLATE "C" NOT NULL,
    -- The member type of the body, for example connection.connected.
    event_type TEXT COLLATE "C" NOT NULL,
    -- waiting, delivered, dead
    state TEXT COLLATE "C" NOT NULL,
    -- Unix seconds by the clock of the service, as are all times but leased_at.
    stored_at BIGINT NOT NULL,
    -- When it was stored or last redelivered. The three days of retries begin here.
    waiting_since BIGINT NOT NULL,
    -- Null: waiting.
    ended_at BIGINT,
    -- The number of attempts since waiting_since.
    tries BIGINT NOT NULL,
    -- A JSON array of the latest attempts.
    attempts TEXT NOT NULL,
    -- The body of the request, JSON. Null: delivered.
    body TEXT,
    PRIMARY KEY (tenant, id)
);

CREATE UNIQUE INDEX tiktok_shop_deliveries_number ON tiktok_shop_deliveries (tenant, number);

CREATE INDEX tiktok_shop_deliveries_queue ON tiktok_shop_deliveries (tenant, endpoint, customer, number)
WHERE state = 'waiting';

CREATE INDEX tiktok_shop_deliveries_waiting ON tiktok_shop_deliveries (waiting_since) WHERE state = 'waiting';

CREATE INDEX tiktok_shop_deliveries_dead ON tiktok_shop_deliveries (tenant, number) WHERE state = 'dead';

CREATE INDEX tiktok_shop_deliveries_ended ON tiktok_shop_deliveries (state, ended_at) WHERE ended_at IS NOT NULL;

-- One database row for each endpoint and customer with waiting deliveries. Only the process that holds the lease sends the
-- first of them.
CREATE TABLE tiktok_shop_delivery_queues (
    tenant TEXT COLLATE "C" NOT NULL,
    endpoint TEXT COLLATE "C" NOT NULL,
    customer TEXT COLLATE "C" NOT NULL,
    -- When the first delivery may be sent.
    due_at BIGINT NOT NULL,
    -- Both null: nobody sends.
    lease TEXT COLLATE "C",
    leased_at TIMESTAMPTZ,
    PRIMARY KEY (tenant, endpoint, customer)
);

CREATE INDEX tiktok_shop_delivery_queues_due ON tiktok_shop_delivery_queues (tenant, endpoint, due_at);

-- For each endpoint, the position of the last event of tiktok_shop_events that became a delivery.
CREATE TABLE tiktok_shop_delivery_positions (
    tenant TEXT COLLATE "C" NOT NULL,
    endpoint TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (tenant, endpoint)
);
