-- Money in cents or minor units, instants in microseconds since 1970 UTC, ids of orders and entries as 16 bytes.
-- Every table of an account's data is keyed by the account first.

CREATE TABLE keys (
    name TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL
) STRICT;

CREATE TABLE organizations (
    organization_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    choice_min INTEGER,
    choice_max INTEGER,
    CHECK (choice_min > 0 AND choice_max >= choice_min)
) STRICT;

CREATE TABLE accounts (
    account_id INTEGER PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    environment TEXT NOT NULL CHECK (environment IN ('PRODUCTION', 'SANDBOX')),
    funding INTEGER NOT NULL DEFAULT 0,
    available INTEGER NOT NULL DEFAULT 0 CHECK (available >= 0),
    pending INTEGER NOT NULL DEFAULT 0 CHECK (pending >= 0),
    issued INTEGER NOT NULL DEFAULT 0 CHECK (issued >= 0),
    last_id BLOB CHECK (length(last_id) = 16),
    UNIQUE (organization_id, environment),
    CHECK (funding + available + pending + issued = 0)
) STRICT;

CREATE TABLE apps (
    client_id TEXT PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    account_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
    secret_version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

CREATE TABLE templates (
    account_id INTEGER NOT NULL,
    template_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    is_default INTEGER NOT NULL CHECK (is_default IN (0, 1)),
    PRIMARY KEY (account_id, template_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX templates_default ON templates (account_id) WHERE is_default = 1;

-- The version of the catalog and the rates together, in a single row.
CREATE TABLE reference (
    version INTEGER NOT NULL
) STRICT;
INSERT INTO reference (version) VALUES (1);

CREATE TABLE products (
    product_id TEXT PRIMARY KEY,
    card_type TEXT NOT NULL CHECK (card_type IN ('BRANDED_CARD', 'CHOICE_CARD')),
    listed INTEGER NOT NULL CHECK (listed IN (0, 1)),
    brand_name TEXT,
    product_name TEXT NOT NULL,
    country_code TEXT,
    currency TEXT NOT NULL,
    -- FIXED: the prices, comma-separated. RANGE: min,max,step. In minor units.
    price_type TEXT NOT NULL CHECK (price_type IN ('FIXED', 'RANGE')),
    prices TEXT NOT NULL,
    description TEXT,
    terms TEXT,
    image_url TEXT,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE fx_rates (
    currency TEXT PRIMARY KEY,
    rate TEXT NOT NULL,
    set_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Each row is one transaction of the double-entry ledger: its postings sum to zero.
CREATE TABLE ledger (
    account_id INTEGER NOT NULL,
    entry_id BLOB NOT NULL CHECK (length(entry_id) = 16),
    type TEXT NOT NULL CHECK (type IN ('CHARGE', 'TRANSFER', 'USE', 'REFUND', 'REWARD', 'ISSUE')),
    reference TEXT NOT NULL,
    funding INTEGER NOT NULL,
    available INTEGER NOT NULL,
    pending INTEGER NOT NULL,
    issued INTEGER NOT NULL,
    available_after INTEGER NOT NULL CHECK (available_after >= 0),
    PRIMARY KEY (account_id, entry_id),
    CHECK (funding + available + pending + issued = 0),
    CHECK ((type = 'ISSUE') = (available = 0))
) STRICT, WITHOUT ROWID;
-- Finds the few of a rare type among the many of each order.
CREATE INDEX ledger_by_rare_type ON ledger (account_id, type, entry_id) WHERE type NOT IN ('USE', 'ISSUE');

-- How many entries of a type an account has in a span: 0 all time, yyyymm a month, yyyymmdd a UTC day.
CREATE TABLE ledger_counts (
    account_id INTEGER NOT NULL,
    span INTEGER NOT NULL,
    type TEXT NOT NULL,
    n INTEGER NOT NULL CHECK (n >= 0),
    PRIMARY KEY (account_id, span, type)
) STRICT, WITHOUT ROWID;

-- An operator's reference counts once for an account and type.
CREATE TABLE operator_references (
    account_id INTEGER NOT NULL,
    type TEXT NOT NULL CHECK (type IN ('CHARGE', 'TRANSFER')),
    reference TEXT NOT NULL,
    cents INTEGER NOT NULL CHECK (cents > 0),
    entry_id BLOB NOT NULL,
    PRIMARY KEY (account_id, type, reference)
) STRICT, WITHOUT ROWID;

-- What orders have in common: few rows, however many orders. Never changed.
CREATE TABLE order_kinds (
    account_id INTEGER NOT NULL,
    kind_id INTEGER NOT NULL,
    order_type TEXT NOT NULL,
    card_type TEXT NOT NULL,
    card_name TEXT NOT NULL,
    creator TEXT NOT NULL,
    PRIMARY KEY (account_id, kind_id),
    UNIQUE (account_id, order_type, card_type, card_name, creator)
) STRICT, WITHOUT ROWID;

CREATE TABLE order_counts (
    account_id INTEGER NOT NULL,
    span INTEGER NOT NULL,
    kind_id INTEGER NOT NULL,
    status TEXT NOT NULL,
    n INTEGER NOT NULL CHECK (n >= 0),
    PRIMARY KEY (account_id, span, kind_id, status)
) STRICT, WITHOUT ROWID;

CREATE TABLE orders (
    account_id INTEGER NOT NULL,
    order_id BLOB NOT NULL CHECK (length(order_id) = 16),
    kind_id INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('PENDING', 'IN_PROGRESS', 'COMPLETE', 'CANCELED')),
    idempotency_key TEXT NOT NULL,
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
    product_id TEXT NOT NULL,
    -- Both null when IMMEDIATE; the local time as the client wrote it, for when a zone's rules change.
    scheduled_at TEXT,
    timezone TEXT,
    send_at INTEGER NOT NULL,
    sender_name TEXT NOT NULL,
    subject TEXT NOT NULL,
    message TEXT,
    template_id INTEGER NOT NULL,
    refund_option INTEGER NOT NULL CHECK (refund_option IN (0, 1)),
    currency TEXT NOT NULL,
    total_amount INTEGER NOT NULL CHECK (total_amount > 0),
    total_cost INTEGER NOT NULL CHECK (total_cost > 0),
    fx_rate TEXT,
    recipient_count INTEGER NOT NULL CHECK (recipient_count > 0),
    -- Gifts that are neither SENT nor FAILED; whoever lowers it to 0 completes the order.
    open_gifts INTEGER NOT NULL CHECK (open_gifts BETWEEN 0 AND recipient_count),
    completed_at INTEGER,
    canceled_at INTEGER,
    CHECK ((scheduled_at IS NULL) = (timezone IS NULL)),
    CHECK ((status = 'COMPLETE') = (completed_at IS NOT NULL)),
    CHECK ((status = 'CANCELED') = (canceled_at IS NOT NULL)),
    CHECK (status <> 'COMPLETE' OR open_gifts = 0)
) STRICT;
CREATE UNIQUE INDEX orders_by_key ON orders (account_id, idempotency_key);
-- Walks an account's orders by time, with what filters look at.
CREATE UNIQUE INDEX orders_by_time ON orders (account_id, order_id, kind_id, status);
CREATE INDEX orders_by_kind ON orders (account_id, kind_id, order_id, status);
CREATE INDEX orders_by_open_status ON orders (account_id, status, order_id, kind_id) WHERE status <> 'COMPLETE';

CREATE TABLE gifts (
    account_id INTEGER NOT NULL,
    order_id BLOB NOT NULL,
    position INTEGER NOT NULL CHECK (position > 0),
    email TEXT,
    first_name TEXT,
    last_name TEXT,
    company TEXT,
    department TEXT,
    amount INTEGER NOT NULL CHECK (amount > 0),
    cost INTEGER NOT NULL CHECK (cost > 0),
    delivery_status TEXT NOT NULL CHECK (delivery_status IN ('PENDING', 'SENT', 'FAILED', 'CANCELED')),
    delivery_attempts INTEGER NOT NULL,
    delivery_error TEXT,
    sent_at INTEGER,
    redemption_status TEXT NOT NULL CHECK (redemption_status IN ('UNREDEEMED', 'PARTIALLY_REDEEMED', 'REDEEMED', 'EXPIRED', 'CANCELED')),
    redeemed_at INTEGER,
    expires_at INTEGER,
    refunded INTEGER CHECK (refunded >= 0 AND refunded <= cost),
    -- Counts moves to another address: a link carries it and dies with it.
    link_version INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (account_id, order_id, position)
) STRICT, WITHOUT ROWID;

-- Mails to be sent; a row is gone once its outcome is settled.
CREATE TABLE deliveries (
    account_id INTEGER NOT NULL,
    order_id BLOB NOT NULL,
    position INTEGER NOT NULL,
    -- From when on it may be claimed: when it is due, or when the lease of its claim ends.
    run_at INTEGER NOT NULL,
    -- When it was first due.
    due_at INTEGER NOT NULL,
    -- When it was first claimed: retries end 24 hours later, however long no node was there before.
    tried_since INTEGER,
    -- The number of its latest claim; only with it can an outcome be settled.
    claim INTEGER NOT NULL DEFAULT 0,
    -- 1 + resends.
    send_number INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (account_id, order_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_by_run_at ON deliveries (run_at);
