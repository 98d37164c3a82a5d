-- Mails that no mail server has a say in: a sandbox's, which are captured, and those of gifts that are links, which
-- have no address. They are claimed apart from all others, so that a mail server that stalls doesn't hold them up.
ALTER TABLE mails ADD COLUMN stays INTEGER NOT NULL DEFAULT 0 CHECK (stays IN (0, 1));
UPDATE mails SET stays = 1
    WHERE account_id IN (SELECT account_id FROM accounts WHERE environment = 'SANDBOX')
        OR EXISTS (SELECT 1 FROM gifts WHERE gifts.account_id = mails.account_id AND gifts.order_id = mails.order_id
            AND gifts.position = mails.position AND gifts.email IS NULL);
CREATE INDEX mails_staying ON mails (run_at) WHERE stays = 1;
