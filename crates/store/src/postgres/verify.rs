//! Proving the books, from one snapshot. Reads everything.

use super::error::Failure;
use super::operation::Connection;
use super::rows::Columns as _;
use crate::LedgerReport;

/// Differences told of, at most, for each promise.
const DIFFERENCES: i64 = 20;

/// The UTC day of an id, `yyyymmdd`: its first 48 bits are milliseconds. `time` stands for the column.
const DAY_OF_ID: &str = "to_char(
    to_timestamp(('x' || left(replace(time::TEXT, '-', ''), 12))::BIT(48)::BIGINT / 1000) AT TIME ZONE 'UTC',
    'YYYYMMDD')::BIGINT";

/// Each promise of the books: a query whose rows are what breaks it, in words.
const PROOFS: [&str; 14] = [
    "SELECT format('account %s: entry %s does not sum to zero', account_id, entry_id) FROM ledger
     WHERE funding + available + pending + issued <> 0",
    "SELECT format('account %s: its balances are not the sums of its postings', a.account_id)
     FROM accounts a LEFT JOIN (
        SELECT account_id, SUM(funding) f, SUM(available) v, SUM(pending) p, SUM(issued) i FROM ledger GROUP BY 1
     ) l USING (account_id)
     WHERE (a.funding, a.available, a.pending, a.issued)
        IS DISTINCT FROM (COALESCE(f, 0), COALESCE(v, 0), COALESCE(p, 0), COALESCE(i, 0))",
    "SELECT format('account %s: available after entry %s is wrong', account_id, entry_id) FROM (
        SELECT account_id, entry_id, available_after,
            SUM(available) OVER (PARTITION BY account_id ORDER BY entry_id) AS running FROM ledger
     ) e WHERE available_after <> running",
    "SELECT format('account %s: pending is %s, its waiting gifts cost %s', a.account_id, a.pending, COALESCE(c, 0))
     FROM accounts a LEFT JOIN (
        SELECT account_id, SUM(cost) c FROM gifts WHERE delivery_status = 'PENDING' GROUP BY 1
     ) g USING (account_id) WHERE a.pending <> COALESCE(c, 0)",
    "SELECT format('account %s: order %s does not agree with its gifts', account_id, order_id) FROM (
        SELECT o.account_id, o.order_id, o.total_cost, o.total_amount, o.recipient_count, o.open_gifts,
            SUM(g.cost) cost, SUM(g.amount) amount, COUNT(g.position) n,
            COUNT(*) FILTER (WHERE g.delivery_status = 'PENDING') open
        FROM orders o LEFT JOIN gifts g USING (account_id, order_id)
        GROUP BY o.account_id, o.order_id, o.total_cost, o.total_amount, o.recipient_count, o.open_gifts
     ) s WHERE (total_cost, total_amount, recipient_count, open_gifts) IS DISTINCT FROM (cost, amount, n, open)",
    "SELECT format('account %s: %s USE entries of %s cents, %s orders of %s', account_id, COALESCE(u.n, 0),
        COALESCE(u.cents, 0), COALESCE(o.n, 0), COALESCE(o.cents, 0))
     FROM (SELECT account_id, COUNT(*) n, -SUM(available) cents FROM ledger WHERE type = 'USE' GROUP BY 1) u
     FULL JOIN (SELECT account_id, COUNT(*) n, SUM(total_cost) cents FROM orders GROUP BY 1) o USING (account_id)
     WHERE (u.n, u.cents) IS DISTINCT FROM (o.n, o.cents)",
    "SELECT format('account %s: a waiting gift of order %s has no delivery', account_id, order_id) FROM gifts g
     WHERE delivery_status = 'PENDING' AND NOT EXISTS (SELECT 1 FROM mails d
        WHERE d.account_id = g.account_id AND d.order_id = g.order_id AND d.position = g.position AND d.kind = 'GIFT')",
    "SELECT format('account %s: issued is %s, its sent and failed gifts cost %s but for what was refunded', a.account_id,
        a.issued, COALESCE(c, 0))
     FROM accounts a LEFT JOIN (
        SELECT account_id, SUM(cost) - SUM(COALESCE(refunded, 0)) c FROM gifts
        WHERE delivery_status IN ('SENT', 'FAILED') GROUP BY 1
     ) g USING (account_id) WHERE a.issued <> COALESCE(c, 0)",
    "SELECT format(
        'account %s: REFUND entries return %s cents of expired gifts and %s of canceled orders, there are %s and %s',
        account_id, expired, canceled, refunded, taken_back)
     FROM (SELECT a.account_id, COALESCE(-l.issued, 0) expired, COALESCE(-l.pending, 0) canceled,
            COALESCE(g.cents, 0) refunded, COALESCE(o.cents, 0) taken_back
        FROM accounts a
        LEFT JOIN (SELECT account_id, SUM(issued) issued, SUM(pending) pending FROM ledger
            WHERE type = 'REFUND' GROUP BY 1) l USING (account_id)
        LEFT JOIN (SELECT account_id, SUM(refunded) cents FROM gifts GROUP BY 1) g USING (account_id)
        LEFT JOIN (SELECT account_id, SUM(total_cost) cents FROM orders WHERE status = 'CANCELED'
            GROUP BY 1) o USING (account_id)) s
     WHERE (expired, canceled) <> (refunded, taken_back)",
    "SELECT format('account %s: gift %s of order %s was refunded %s of %s void cents', account_id, position, order_id,
        COALESCE(refunded, 0), voided)
     FROM gifts WHERE COALESCE(refunded, 0) > voided",
    "SELECT format('account %s: a gift of order %s or a mail of it contradicts its cancellation', account_id, order_id)
     FROM orders o WHERE status = 'CANCELED' AND (
        EXISTS (SELECT 1 FROM mails m WHERE m.account_id = o.account_id AND m.order_id = o.order_id)
        OR EXISTS (SELECT 1 FROM gifts g WHERE g.account_id = o.account_id AND g.order_id = o.order_id
            AND (g.delivery_status, g.redemption_status) <> ('CANCELED', 'CANCELED')))",
    "SELECT format(
        'account %s: gift %s of order %s has %s cents redeemed and %s reserved, its redemptions have %s and %s',
        account_id, position, order_id, redeemed, reserved, done, held)
     FROM (SELECT account_id, order_id, position, COALESCE(g.redeemed, 0) redeemed, COALESCE(g.reserved, 0) reserved,
            COALESCE(r.done, 0) done, COALESCE(r.held, 0) held
        FROM (SELECT * FROM gifts WHERE redeemed <> 0 OR reserved <> 0) g
        FULL JOIN (SELECT account_id, order_id, position, SUM(cost) FILTER (WHERE state = 'DONE') done,
                SUM(cost) FILTER (WHERE state = 'RESERVED') held
            FROM redemptions GROUP BY 1, 2, 3) r USING (account_id, order_id, position)) s
     WHERE (redeemed, reserved) <> (done, held)",
    "SELECT format('account %s: gift %s of order %s counts %s events, there are %s', account_id, position, order_id,
        COALESCE(g.n, 0), COALESCE(e.n, 0))
     FROM (SELECT account_id, order_id, position, events n FROM gifts WHERE events <> 0) g
     FULL JOIN (SELECT account_id, order_id, position, COUNT(*) n FROM gift_events GROUP BY 1, 2, 3) e
        USING (account_id, order_id, position)
     WHERE g.n IS DISTINCT FROM e.n",
    "SELECT format(
        'codes of product %s worth %s: %s in stock and %s handed out are counted, there are %s and %s',
        product_id, face_value, available, handed_out, there, gone)
     FROM (SELECT product_id, face_value, COALESCE(s.available, 0) available, COALESCE(s.handed_out, 0) handed_out,
            COALESCE(c.there, 0) there, COALESCE(c.gone, 0) gone
        FROM code_stock s
        FULL JOIN (SELECT product_id, face_value, COUNT(*) FILTER (WHERE redemption_id IS NULL) there,
                COUNT(redemption_id) gone
            FROM codes GROUP BY 1, 2) c USING (product_id, face_value)) s
     WHERE (available, handed_out) <> (there, gone)",
];

/// Counts of each span against the rows: `DAY` stands for the day of a row.
const COUNTS: [&str; 3] = [
    "WITH days AS MATERIALIZED (
        SELECT account_id, DAY AS day, kind_id, status, COUNT(*) n FROM (SELECT *, order_id AS time FROM orders) o
        GROUP BY 1, 2, 3, 4),
     there AS (
        SELECT account_id, span, kind_id, status, SUM(n) n
        FROM days, LATERAL (VALUES (0::BIGINT), (day / 100)) AS s (span) GROUP BY 1, 2, 3, 4)
     SELECT format('account %s: %s orders of kind %s counted in span %s, there are %s', account_id, COALESCE(c.n, 0),
        kind_id, span, COALESCE(o.n, 0))
     FROM (SELECT account_id, span, kind_id, s.status, s.n FROM order_counts, LATERAL (VALUES ('PENDING', pending),
            ('IN_PROGRESS', in_progress), ('COMPLETE', complete), ('CANCELED', canceled)) AS s (status, n)
        WHERE s.n <> 0) c
     FULL JOIN there o USING (account_id, span, kind_id, status)
     WHERE c.n IS DISTINCT FROM o.n",
    "WITH days AS MATERIALIZED (
        SELECT account_id, DAY AS day, status, COUNT(*) n FROM (SELECT *, order_id AS time FROM orders) o
        GROUP BY 1, 2, 3),
     there AS (
        SELECT account_id, span, status, SUM(n) n
        FROM days, LATERAL (VALUES (0::BIGINT), (day / 100), (day)) AS s (span) GROUP BY 1, 2, 3)
     SELECT format('account %s: %s orders counted in span %s, there are %s', account_id, COALESCE(t.n, 0), span,
        COALESCE(o.n, 0))
     FROM (SELECT * FROM order_totals WHERE n <> 0) t FULL JOIN there o USING (account_id, span, status)
     WHERE t.n IS DISTINCT FROM o.n",
    "WITH days AS MATERIALIZED (
        SELECT account_id, DAY AS day, type, COUNT(*) n FROM (SELECT *, entry_id AS time FROM ledger) e
        GROUP BY 1, 2, 3),
     there AS (
        SELECT account_id, span, type, SUM(n) n
        FROM days, LATERAL (VALUES (0::BIGINT), (day / 100), (day)) AS s (span) GROUP BY 1, 2, 3)
     SELECT format('account %s: %s %s entries counted in span %s, there are %s', account_id, COALESCE(c.n, 0), type,
        span, COALESCE(l.n, 0))
     FROM (SELECT * FROM ledger_counts WHERE n <> 0) c FULL JOIN there l USING (account_id, span, type)
     WHERE c.n IS DISTINCT FROM l.n",
];

/// Recomputes and compares. Inside a snapshot.
pub(super) async fn verify_ledger(connection: &Connection) -> Result<LedgerReport, Failure> {
    // Everything is read: no limit on its time, and no plans that are meant for serving.
    connection
        .batch_execute("SET LOCAL statement_timeout = 0; SET LOCAL enable_seqscan = on; SET LOCAL work_mem = '64MB'")
        .await?;
    let counts = "SELECT (SELECT COUNT(*) FROM accounts) AS accounts, (SELECT COUNT(*) FROM ledger) AS entries,
        (SELECT COUNT(*) FROM orders) AS orders";
    let row = connection.query_one(counts, &[]).await?;
    let mut report = LedgerReport {
        accounts: row.count("accounts")?,
        entries: row.count("entries")?,
        orders: row.count("orders")?,
        differences: Vec::new(),
    };
    let proofs = PROOFS.iter().map(ToString::to_string);
    for proof in proofs.chain(COUNTS.iter().map(|sql| sql.replace("DAY AS day", &format!("{DAY_OF_ID} AS day")))) {
        let sql = format!("SELECT difference FROM ({proof}) AS found (difference) LIMIT {DIFFERENCES}");
        for row in &connection.query(&sql, &[]).await? {
            report.differences.push(row.value("difference")?);
        }
    }
    Ok(report)
}
