-- Of each kind a row with a column for each state, where each state had a row: two of three had come to 0 and were read all the same.
ALTER TABLE order_counts RENAME TO old_order_counts;
ALTER TABLE old_order_counts RENAME CONSTRAINT order_counts_pkey TO old_order_counts_pkey;

-- How many orders of a kind an account has in a span: 0 all time, yyyymm a month.
CREATE TABLE order_counts (
    account_id BIGINT NOT NULL,
    span BIGINT NOT NULL,
    kind_id BIGINT NOT NULL,
    pending BIGINT NOT NULL CHECK (pending >= 0),
    in_progress BIGINT NOT NULL CHECK (in_progress >= 0),
    complete BIGINT NOT NULL CHECK (complete >= 0),
    canceled BIGINT NOT NULL CHECK (canceled >= 0),
    PRIMARY KEY (account_id, span, kind_id)
) WITH (fillfactor = 50);
INSERT INTO order_counts (account_id, span, kind_id, pending, in_progress, complete, canceled)
    SELECT account_id, span, kind_id,
        COALESCE(SUM(n) FILTER (WHERE status = 'PENDING'), 0), COALESCE(SUM(n) FILTER (WHERE status = 'IN_PROGRESS'), 0),
        COALESCE(SUM(n) FILTER (WHERE status = 'COMPLETE'), 0), COALESCE(SUM(n) FILTER (WHERE status = 'CANCELED'), 0)
    FROM old_order_counts GROUP BY account_id, span, kind_id HAVING SUM(n) > 0 ORDER BY account_id, span, kind_id;
DROP TABLE old_order_counts;
