-- The life of an order: canceled, sent again, redeemed, reminded of, expired; and the sandbox's clock.
--
-- `run_at`, `wake_at`, `ask_at` and `lease_end` are the node's time: one look finds what is due in all
-- accounts. Everything else is the account's clock, which is ahead of it by `clock_ahead`.

ALTER TABLE organizations ADD COLUMN postal_line TEXT;
ALTER TABLE organizations ADD COLUMN logo BYTEA;

ALTER TABLE accounts ADD COLUMN clock_ahead BIGINT NOT NULL DEFAULT 0 CHECK (clock_ahead >= 0);
-- How often a move of the clock was claimed.
ALTER TABLE accounts ADD COLUMN clock_claim BIGINT NOT NULL DEFAULT 0;
-- All null unless the clock is being moved: where it stands, where it will, until when its claim is good.
ALTER TABLE accounts ADD COLUMN clock_at BIGINT;
ALTER TABLE accounts ADD COLUMN clock_target BIGINT CHECK ((clock_target IS NULL) = (clock_at IS NULL));
ALTER TABLE accounts ADD COLUMN clock_lease_end BIGINT CHECK ((clock_lease_end IS NULL) = (clock_at IS NULL));
CREATE INDEX accounts_moving ON accounts (account_id) WHERE clock_at IS NOT NULL;

ALTER TABLE templates ADD COLUMN sender_name TEXT NOT NULL DEFAULT '';
ALTER TABLE templates ADD COLUMN message TEXT;
ALTER TABLE templates ADD COLUMN image_alignment TEXT NOT NULL DEFAULT 'center' CHECK (image_alignment IN ('left', 'center', 'right'));
ALTER TABLE templates ADD COLUMN image_size BIGINT NOT NULL DEFAULT 40 CHECK (image_size BETWEEN 1 AND 100);
ALTER TABLE templates ADD COLUMN border_color TEXT NOT NULL DEFAULT '#E4DFD7' CHECK (length(border_color) = 7);
ALTER TABLE templates ADD COLUMN button_color TEXT NOT NULL DEFAULT '#2B2350' CHECK (length(button_color) = 7);
ALTER TABLE templates ADD COLUMN button_font_color TEXT NOT NULL DEFAULT '#FFFFFF' CHECK (length(button_font_color) = 7);
-- Orders that name a deleted template still render it.
ALTER TABLE templates ADD COLUMN deleted_at BIGINT CHECK (deleted_at IS NULL OR NOT is_default);
UPDATE templates SET sender_name = (
    SELECT o.name FROM accounts a JOIN organizations o USING (organization_id) WHERE a.account_id = templates.account_id);

-- Cents of the cost: redeemed, held by redemptions under way, void at expiry.
ALTER TABLE gifts ADD COLUMN redeemed BIGINT NOT NULL DEFAULT 0 CHECK (redeemed >= 0);
ALTER TABLE gifts ADD COLUMN reserved BIGINT NOT NULL DEFAULT 0 CHECK (reserved >= 0);
ALTER TABLE gifts ADD COLUMN voided BIGINT NOT NULL DEFAULT 0 CHECK (voided >= 0 AND redeemed + reserved + voided <= cost);
-- The number of its last send: 1 + resends.
ALTER TABLE gifts ADD COLUMN send_number BIGINT NOT NULL DEFAULT 1;
-- How many rows of gift_events it has.
ALTER TABLE gifts ADD COLUMN events BIGINT NOT NULL DEFAULT 0;
-- When it is reminded of or expires next; null when nothing happens to it any more by itself.
ALTER TABLE gifts ADD COLUMN wake_at BIGINT;
CREATE INDEX gifts_by_wake_at ON gifts (wake_at) WHERE wake_at IS NOT NULL;
-- For one account's: by an expression, which the index of all accounts' doesn't have, so that it never looks the better one.
CREATE INDEX gifts_by_account_wake_at ON gifts (account_id, (wake_at + 0)) WHERE wake_at IS NOT NULL;
UPDATE gifts SET wake_at = expires_at WHERE expires_at IS NOT NULL;

-- Mails to be sent; a row is gone once its outcome is settled.
ALTER TABLE deliveries RENAME TO mails;
ALTER TABLE mails ADD COLUMN kind TEXT NOT NULL DEFAULT 'GIFT' CHECK (kind IN ('GIFT', 'REMINDER', 'VERIFICATION'));
-- Attempts of this send.
ALTER TABLE mails ADD COLUMN attempts BIGINT NOT NULL DEFAULT 0;
ALTER TABLE mails ALTER COLUMN kind DROP DEFAULT;
ALTER TABLE mails DROP CONSTRAINT deliveries_pkey;
ALTER TABLE mails ADD PRIMARY KEY (account_id, order_id, position, kind);
ALTER INDEX deliveries_by_run_at RENAME TO mails_by_run_at;
-- Verifications go before all others: their links are good for ten minutes.
CREATE INDEX mails_verifications ON mails (run_at) WHERE kind = 'VERIFICATION';
COMMENT ON COLUMN mails.send_number IS '1 + resends, or the number of the reminder or verification';

-- What happened to gifts, append-only. PLACED and CANCELED are read from the order.
CREATE TABLE gift_events (
    account_id BIGINT NOT NULL,
    order_id UUID NOT NULL,
    at BIGINT NOT NULL,
    position BIGINT NOT NULL,
    -- Counts the gift's events, from 1.
    number BIGINT NOT NULL,
    type TEXT NOT NULL CHECK (type IN ('SENT', 'FAILED', 'RESENT', 'VERIFICATION_REQUESTED', 'VERIFIED', 'REDEEMED', 'EXPIRED', 'REFUNDED')),
    detail TEXT,
    PRIMARY KEY (account_id, order_id, at, position, number)
);

-- Each time that a gift was sent again, by whom, and where it moved. `at` is the node's time: limits go by it.
CREATE TABLE resends (
    account_id BIGINT NOT NULL,
    order_id UUID NOT NULL,
    position BIGINT NOT NULL,
    send_number BIGINT NOT NULL,
    at BIGINT NOT NULL,
    client_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    from_email TEXT NOT NULL,
    to_email TEXT,
    PRIMARY KEY (account_id, order_id, position, send_number)
);
CREATE INDEX resends_moved ON resends (client_id, at) WHERE to_email IS NOT NULL;

-- Verification mails that were asked for. Instants are the node's time.
CREATE TABLE verifications (
    account_id BIGINT NOT NULL,
    order_id UUID NOT NULL,
    position BIGINT NOT NULL,
    number BIGINT NOT NULL,
    link_version BIGINT NOT NULL,
    requested_at BIGINT NOT NULL,
    used_at BIGINT,
    PRIMARY KEY (account_id, order_id, position, number)
);

CREATE TABLE redemptions (
    account_id BIGINT NOT NULL,
    order_id UUID NOT NULL,
    position BIGINT NOT NULL,
    redemption_id UUID NOT NULL,
    product_id TEXT NOT NULL,
    product_name TEXT NOT NULL,
    currency TEXT NOT NULL,
    face BIGINT NOT NULL CHECK (face > 0),
    cost BIGINT NOT NULL CHECK (cost > 0),
    state TEXT NOT NULL CHECK (state IN ('RESERVED', 'DONE', 'RELEASED')),
    -- The code, encrypted under a key that isn't here, and that key's id.
    code BYTEA,
    key_id TEXT,
    asked_again BIGINT NOT NULL DEFAULT 0,
    reserved_at BIGINT NOT NULL,
    settled_at BIGINT,
    -- When its supplier is asked again.
    ask_at BIGINT,
    PRIMARY KEY (account_id, order_id, position, redemption_id),
    CHECK ((state = 'DONE') = (code IS NOT NULL)),
    CHECK ((code IS NULL) = (key_id IS NULL)),
    CHECK ((state = 'RESERVED') = (settled_at IS NULL)),
    CHECK ((state = 'RESERVED') = (ask_at IS NOT NULL))
);
CREATE INDEX redemptions_by_ask_at ON redemptions (ask_at) WHERE ask_at IS NOT NULL;
-- Finds a gift's redemptions without a walk through all that were released, which have no end.
CREATE INDEX redemptions_by_state ON redemptions (account_id, order_id, position, state, settled_at);

-- Codes that an operator imported. Each is handed out once: to one redemption, for ever.
CREATE TABLE codes (
    hash BYTEA PRIMARY KEY CHECK (octet_length(hash) = 32),
    product_id TEXT NOT NULL,
    face_value BIGINT NOT NULL CHECK (face_value > 0),
    sealed BYTEA NOT NULL,
    key_id TEXT NOT NULL,
    imported_at BIGINT NOT NULL,
    redemption_id UUID,
    handed_out_at BIGINT,
    CHECK ((redemption_id IS NULL) = (handed_out_at IS NULL))
);
CREATE INDEX codes_in_stock ON codes (product_id, face_value, imported_at) WHERE redemption_id IS NULL;
CREATE UNIQUE INDEX codes_by_redemption ON codes (redemption_id) WHERE redemption_id IS NOT NULL;

-- The rows of codes, counted.
CREATE TABLE code_stock (
    product_id TEXT NOT NULL,
    face_value BIGINT NOT NULL,
    available BIGINT NOT NULL CHECK (available >= 0),
    handed_out BIGINT NOT NULL CHECK (handed_out >= 0),
    PRIMARY KEY (product_id, face_value)
);

-- Previews that an account mailed on a UTC day of real time (yyyymmdd).
CREATE TABLE test_mails (
    account_id BIGINT NOT NULL,
    day BIGINT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (account_id, day)
);

-- The last mails of each sandbox. `mail_id` is time-ordered by real time.
CREATE TABLE sandbox_mails (
    account_id BIGINT NOT NULL,
    mail_id UUID NOT NULL,
    message_id TEXT NOT NULL,
    recipient TEXT NOT NULL,
    order_id TEXT,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    html TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, mail_id),
    UNIQUE (account_id, message_id)
);
