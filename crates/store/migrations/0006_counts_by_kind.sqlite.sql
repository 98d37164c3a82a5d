-- Of each kind a row with a column for each state, where each state had a row: two of three had come to 0 and were read all the same.
ALTER TABLE order_counts RENAME TO old_order_counts;

-- How many orders of a kind an account has in a span: 0 all time, yyyymm a month.
CREATE TABLE order_counts (
    account_id INTEGER NOT NULL,
    span INTEGER NOT NULL,
    kind_id INTEGER NOT NULL,
    pending INTEGER NOT NULL CHECK (pending >= 0),
    in_progress INTEGER NOT NULL CHECK (in_progress >= 0),
    complete INTEGER NOT NULL CHECK (complete >= 0),
    canceled INTEGER NOT NULL CHECK (canceled >= 0),
    PRIMARY KEY (account_id, span, kind_id)
) STRICT, WITHOUT ROWID;
INSERT INTO order_counts (account_id, span, kind_id, pending, in_progress, complete, canceled)
    SELECT account_id, span, kind_id,
        COALESCE(SUM(n) FILTER (WHERE status = 'PENDING'), 0), COALESCE(SUM(n) FILTER (WHERE status = 'IN_PROGRESS'), 0),
        COALESCE(SUM(n) FILTER (WHERE status = 'COMPLETE'), 0), COALESCE(SUM(n) FILTER (WHERE status = 'CANCELED'), 0)
    FROM old_order_counts GROUP BY account_id, span, kind_id HAVING SUM(n) > 0;
DROP TABLE old_order_counts;
