-- Orders are counted by day without regard to their kind: with thousands of kinds a day had nearly as many counts as orders.
-- A count changes much more often than it is made: with room on its page it can be changed there, without its index.

-- What a node that isn't upgraded yet places meanwhile would be in one of the two tables and not in the other.
LOCK TABLE order_counts IN ACCESS EXCLUSIVE MODE;

-- How many orders in a state an account has in a span: 0 all time, yyyymm a month, yyyymmdd a UTC day.
CREATE TABLE order_totals (
    account_id BIGINT NOT NULL,
    span BIGINT NOT NULL,
    status TEXT NOT NULL,
    n BIGINT NOT NULL CHECK (n >= 0),
    PRIMARY KEY (account_id, span, status)
) WITH (fillfactor = 50);
INSERT INTO order_totals (account_id, span, status, n)
    SELECT account_id, span, status, SUM(n) FROM order_counts GROUP BY account_id, span, status;

-- By kind: all time and months only; in a new table, because most of the old one would be holes.
ALTER TABLE order_counts RENAME TO old_order_counts;
ALTER TABLE old_order_counts RENAME CONSTRAINT order_counts_pkey TO old_order_counts_pkey;
CREATE TABLE order_counts (
    account_id BIGINT NOT NULL,
    span BIGINT NOT NULL,
    kind_id BIGINT NOT NULL,
    status TEXT NOT NULL,
    n BIGINT NOT NULL CHECK (n >= 0),
    PRIMARY KEY (account_id, span, kind_id, status)
) WITH (fillfactor = 50);
INSERT INTO order_counts (account_id, span, kind_id, status, n)
    SELECT account_id, span, kind_id, status, n FROM old_order_counts WHERE span <= 999912 AND n > 0
    ORDER BY account_id, span, kind_id, status;
DROP TABLE old_order_counts;
