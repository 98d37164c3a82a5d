-- The life of an order: canceled, sent again, redeemed, reminded of, expired; and the sandbox's clock.
--
-- `run_at`, `wake_at`, `ask_at` and `lease_end` are the node's time: one look finds what is due in all
-- accounts. Everything else is the account's clock, which is ahead of it by `clock_ahead`.

ALTER TABLE organizations ADD COLUMN postal_line TEXT;
ALTER TABLE organizations ADD COLUMN logo BLOB;

ALTER TABLE accounts ADD COLUMN clock_ahead INTEGER NOT NULL DEFAULT 0 CHECK (clock_ahead >= 0);
-- How often a move of the clock was claimed.
ALTER TABLE accounts ADD COLUMN clock_claim INTEGER NOT NULL DEFAULT 0;
-- All null unless the clock is being moved: where it stands, where it will, until when its claim is good.
ALTER TABLE accounts ADD COLUMN clock_at INTEGER;
ALTER TABLE accounts ADD COLUMN clock_target INTEGER CHECK ((clock_target IS NULL) = (clock_at IS NULL));
ALTER TABLE accounts ADD COLUMN clock_lease_end INTEGER CHECK ((clock_lease_end IS NULL) = (clock_at IS NULL));
CREATE INDEX accounts_moving ON accounts (account_id) WHERE clock_at IS NOT NULL;

ALTER TABLE templates ADD COLUMN sender_name TEXT NOT NULL DEFAULT '';
ALTER TABLE templates ADD COLUMN message TEXT;
ALTER TABLE templates ADD COLUMN image_alignment TEXT NOT NULL DEFAULT 'center' CHECK (image_alignment IN ('left', 'center', 'right'));
ALTER TABLE templates ADD COLUMN image_size INTEGER NOT NULL DEFAULT 40 CHECK (image_size BETWEEN 1 AND 100);
ALTER TABLE templates ADD COLUMN border_color TEXT NOT NULL DEFAULT '#E4DFD7' CHECK (length(border_color) = 7);
ALTER TABLE templates ADD COLUMN button_color TEXT NOT NULL DEFAULT '#2B2350' CHECK (length(button_color) = 7);
ALTER TABLE templates ADD COLUMN button_font_color TEXT NOT NULL DEFAULT '#FFFFFF' CHECK (length(button_font_color) = 7);
-- Orders that name a deleted template still render it.
ALTER TABLE templates ADD COLUMN deleted_at INTEGER CHECK (deleted_at IS NULL OR is_default = 0);
UPDATE templates SET sender_name = (
    SELECT o.name FROM accounts a JOIN organizations o USING (organization_id) WHERE a.account_id = templates.account_id);

-- Cents of the cost: redeemed, held by redemptions under way, void at expiry.
ALTER TABLE gifts ADD COLUMN redeemed INTEGER NOT NULL DEFAULT 0 CHECK (redeemed >= 0);
ALTER TABLE gifts ADD COLUMN reserved INTEGER NOT NULL DEFAULT 0 CHECK (reserved >= 0);
ALTER TABLE gifts ADD COLUMN voided INTEGER NOT NULL DEFAULT 0 CHECK (voided >= 0 AND redeemed + reserved + voided <= cost);
-- The number of its last send: 1 + resends.
ALTER TABLE gifts ADD COLUMN send_number INTEGER NOT NULL DEFAULT 1;
-- How many rows of gift_events it has.
ALTER TABLE gifts ADD COLUMN events INTEGER NOT NULL DEFAULT 0;
-- When it is reminded of or expires next; null when nothing happens to it any more by itself.
ALTER TABLE gifts ADD COLUMN wake_at INTEGER;
CREATE INDEX gifts_by_wake_at ON gifts (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX gifts_by_account_wake_at ON gifts (account_id, wake_at) WHERE wake_at IS NOT NULL;
UPDATE gifts SET wake_at = expires_at WHERE expires_at IS NOT NULL;

-- Mails to be sent; a row is gone once its outcome is settled.
CREATE TABLE mails (
    account_id INTEGER NOT NULL,
    order_id BLOB NOT NULL,
    position INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('GIFT', 'REMINDER', 'VERIFICATION')),
    -- From when on it may be claimed: when it is due, or when the lease of its claim ends.
    run_at INTEGER NOT NULL,
    -- When it was first due, by the node's clock.
    due_at INTEGER NOT NULL,
    -- When it was first claimed, by the node's clock: retries end so long later, however long no node was there before.
    tried_since INTEGER,
    -- Attempts of this send.
    attempts INTEGER NOT NULL DEFAULT 0,
    -- The number of its latest claim; only with it can an outcome be settled.
    claim INTEGER NOT NULL DEFAULT 0,
    -- 1 + resends, or the number of the reminder or verification.
    send_number INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (account_id, order_id, position, kind)
) STRICT, WITHOUT ROWID;
INSERT INTO mails (account_id, order_id, position, kind, run_at, due_at, tried_since, claim, send_number)
    SELECT account_id, order_id, position, 'GIFT', run_at, due_at, tried_since, claim, send_number FROM deliveries;
DROP TABLE deliveries;
CREATE INDEX mails_by_run_at ON mails (run_at);
-- Verifications go before all others: their links are good for ten minutes.
CREATE INDEX mails_verifications ON mails (run_at) WHERE kind = 'VERIFICATION';

-- What happened to gifts, append-only. PLACED and CANCELED are read from the order.
CREATE TABLE gift_events (
    account_id INTEGER NOT NULL,
    order_id BLOB NOT NULL,
    at INTEGER NOT NULL,
    position INTEGER NOT NULL,
    -- Counts the gift's events, from 1.
    number INTEGER NOT NULL,
    type TEXT NOT NULL CHECK (type IN ('SENT', 'FAILED', 'RESENT', 'VERIFICATION_REQUESTED', 'VERIFIED', 'REDEEMED', 'EXPIRED', 'REFUNDED')),
    detail TEXT,
    PRIMARY KEY (account_id, order_id, at, position, number)
) STRICT, WITHOUT ROWID;

-- Each time that a gift was sent again, by whom, and where it moved. `at` is the node's time: limits go by it.
CREATE TABLE resends (
    account_id INTEGER NOT NULL,
    order_id BLOB NOT NULL,
    position INTEGER NOT NULL,
    send_number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    client_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    from_email TEXT NOT NULL,
    to_email TEXT,
    PRIMARY KEY (account_id, order_id, position, send_number)
) STRICT, WITHOUT ROWID;
CREATE INDEX resends_moved ON resends (client_id, at) WHERE to_email IS NOT NULL;

-- Verification mails that were asked for. Instants are the node's time.
CREATE TABLE verifications (
    account_id INTEGER NOT NULL,
    order_id BLOB NOT NULL,
    position INTEGER NOT NULL,
    number INTEGER NOT NULL,
    link_version INTEGER NOT NULL,
    requested_at INTEGER NOT NULL,
    used_at INTEGER,
    PRIMARY KEY (account_id, order_id, position, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE redemptions (
    account_id INTEGER NOT NULL,
    order_id BLOB NOT NULL,
    position INTEGER NOT NULL,
    redemption_id BLOB NOT NULL CHECK (length(redemption_id) = 16),
    product_id TEXT NOT NULL,
    product_name TEXT NOT NULL,
    currency TEXT NOT NULL,
    face INTEGER NOT NULL CHECK (face > 0),
    cost INTEGER NOT NULL CHECK (cost > 0),
    state TEXT NOT NULL CHECK (state IN ('RESERVED', 'DONE', 'RELEASED')),
    -- The code, encrypted under a key that isn't here, and that key's id.
    code BLOB,
    key_id TEXT,
    asked_again INTEGER NOT NULL DEFAULT 0,
    reserved_at INTEGER NOT NULL,
    settled_at INTEGER,
    -- When its supplier is asked again.
    ask_at INTEGER,
    PRIMARY KEY (account_id, order_id, position, redemption_id),
    CHECK ((state = 'DONE') = (code IS NOT NULL)),
    CHECK ((code IS NULL) = (key_id IS NULL)),
    CHECK ((state = 'RESERVED') = (settled_at IS NULL)),
    CHECK ((state = 'RESERVED') = (ask_at IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX redemptions_by_ask_at ON redemptions (ask_at) WHERE ask_at IS NOT NULL;
-- Finds a gift's redemptions without a walk through all that were released, which have no end.
CREATE INDEX redemptions_by_state ON redemptions (account_id, order_id, position, state, settled_at);

-- Codes that an operator imported. Each is handed out once: to one redemption, for ever.
CREATE TABLE codes (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    product_id TEXT NOT NULL,
    face_value INTEGER NOT NULL CHECK (face_value > 0),
    sealed BLOB NOT NULL,
    key_id TEXT NOT NULL,
    imported_at INTEGER NOT NULL,
    redemption_id BLOB CHECK (length(redemption_id) = 16),
    handed_out_at INTEGER,
    CHECK ((redemption_id IS NULL) = (handed_out_at IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX codes_in_stock ON codes (product_id, face_value, imported_at) WHERE redemption_id IS NULL;
CREATE UNIQUE INDEX codes_by_redemption ON codes (redemption_id) WHERE redemption_id IS NOT NULL;

-- The rows of codes, counted.
CREATE TABLE code_stock (
    product_id TEXT NOT NULL,
    face_value INTEGER NOT NULL,
    available INTEGER NOT NULL CHECK (available >= 0),
    handed_out INTEGER NOT NULL CHECK (handed_out >= 0),
    PRIMARY KEY (product_id, face_value)
) STRICT, WITHOUT ROWID;

-- Previews that an account mailed on a UTC day of real time (yyyymmdd).
CREATE TABLE test_mails (
    account_id INTEGER NOT NULL,
    day INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (account_id, day)
) STRICT, WITHOUT ROWID;

-- The last mails of each sandbox. `mail_id` is time-ordered by real time.
CREATE TABLE sandbox_mails (
    account_id INTEGER NOT NULL,
    mail_id BLOB NOT NULL CHECK (length(mail_id) = 16),
    message_id TEXT NOT NULL,
    recipient TEXT NOT NULL,
    order_id TEXT,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    html TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, mail_id),
    UNIQUE (account_id, message_id)
) STRICT, WITHOUT ROWID;
