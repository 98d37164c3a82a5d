-- Orders are counted by day without regard to their kind: with thousands of kinds a day had nearly as many counts as orders.

-- How many orders in a state an account has in a span: 0 all time, yyyymm a month, yyyymmdd a UTC day.
CREATE TABLE order_totals (
    account_id INTEGER NOT NULL,
    span INTEGER NOT NULL,
    status TEXT NOT NULL,
    n INTEGER NOT NULL CHECK (n >= 0),
    PRIMARY KEY (account_id, span, status)
) STRICT, WITHOUT ROWID;
INSERT INTO order_totals (account_id, span, status, n)
    SELECT account_id, span, status, SUM(n) FROM order_counts GROUP BY account_id, span, status;

-- By kind: all time and months only.
DELETE FROM order_counts WHERE span > 999912 OR n = 0;
