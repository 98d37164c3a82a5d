-- Erasing to whom gifts went, some time after they are over.

-- When the recipients of the order were erased, by the account's clock.
ALTER TABLE orders ADD COLUMN erased_at INTEGER CHECK (erased_at IS NULL OR status IN ('COMPLETE', 'CANCELED'));
-- Finds those whose time has come. An order enters it when it ends and leaves it when it is erased: placing never
-- writes it.
CREATE INDEX orders_to_erase ON orders (account_id, status, refund_option, COALESCE(completed_at, canceled_at))
    WHERE erased_at IS NULL AND COALESCE(completed_at, canceled_at) IS NOT NULL;
