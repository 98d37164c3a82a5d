-- Of nearly each order that is placed the kind is another one, and its place in this index as well: the dearest of what placing wrote. An order
-- comes into it once, when it is closed.
DROP INDEX orders_by_kind;
CREATE INDEX orders_by_kind ON orders (account_id, kind_id, order_id, status) WHERE status IN ('COMPLETE', 'CANCELED');
