//! Proving the books, from one snapshot. Reads everything.

use rusqlite::Connection;

use super::rows::unsigned;
use crate::{LedgerReport, StoreError};

/// Each promise of the books: a query whose rows are what breaks it, in words.
const PROOFS: [&str; 16] = [
    "SELECT 'account ' || account_id || ': entry ' || hex(entry_id) || ' does not sum to zero' FROM ledger
     WHERE funding + available + pending + issued <> 0",
    "SELECT 'account ' || a.account_id || ': its balances are not the sums of its postings'
     FROM accounts a LEFT JOIN (
        SELECT account_id, SUM(funding) f, SUM(available) v, SUM(pending) p, SUM(issued) i FROM ledger GROUP BY account_id
     ) l USING (account_id)
     WHERE (a.funding, a.available, a.pending, a.issued)
        IS NOT (COALESCE(f, 0), COALESCE(v, 0), COALESCE(p, 0), COALESCE(i, 0))",
    "SELECT 'account ' || account_id || ': available after entry ' || hex(entry_id) || ' is wrong' FROM (
        SELECT account_id, entry_id, available_after,
            SUM(available) OVER (PARTITION BY account_id ORDER BY entry_id) AS running FROM ledger
     ) WHERE available_after <> running",
    "SELECT 'account ' || a.account_id || ': pending is ' || a.pending || ', its waiting gifts cost ' || COALESCE(c, 0)
     FROM accounts a LEFT JOIN (
        SELECT account_id, SUM(cost) c FROM gifts WHERE delivery_status = 'PENDING' GROUP BY account_id
     ) USING (account_id) WHERE a.pending <> COALESCE(c, 0)",
    "SELECT 'account ' || account_id || ': order ' || hex(order_id) || ' does not agree with its gifts' FROM (
        SELECT o.account_id, o.order_id, o.total_cost, o.total_amount, o.recipient_count, o.open_gifts,
            SUM(g.cost) cost, SUM(g.amount) amount, COUNT(g.position) n, SUM(g.delivery_status = 'PENDING') open
        FROM orders o LEFT JOIN gifts g USING (account_id, order_id) GROUP BY o.account_id, o.order_id
     ) WHERE (total_cost, total_amount, recipient_count, open_gifts) IS NOT (cost, amount, n, open)",
    "SELECT 'account ' || account_id || ': ' || u.n || ' USE entries of ' || u.cents || ' cents, '
        || COALESCE(o.n, 0) || ' orders of ' || COALESCE(o.cents, 0)
     FROM (SELECT account_id, COUNT(*) FILTER (WHERE type = 'USE') n,
            -COALESCE(SUM(available) FILTER (WHERE type = 'USE'), 0) cents FROM ledger GROUP BY account_id) u
     LEFT JOIN (SELECT account_id, COUNT(*) n, SUM(total_cost) cents FROM orders GROUP BY account_id) o USING (account_id)
     WHERE (u.n, u.cents) IS NOT (COALESCE(o.n, 0), COALESCE(o.cents, 0))",
    "SELECT 'account ' || account_id || ': a waiting gift of order ' || hex(order_id) || ' has no delivery' FROM gifts g
     WHERE delivery_status = 'PENDING' AND NOT EXISTS (SELECT 1 FROM mails d
        WHERE (d.account_id, d.order_id, d.position, d.kind) = (g.account_id, g.order_id, g.position, 'GIFT'))",
    "SELECT 'account ' || a.account_id || ': issued is ' || a.issued || ', its sent and failed gifts cost '
        || COALESCE(c, 0) || ' but for what was refunded'
     FROM accounts a LEFT JOIN (
        SELECT account_id, SUM(cost) - SUM(COALESCE(refunded, 0)) c FROM gifts
        WHERE delivery_status IN ('SENT', 'FAILED') GROUP BY account_id
     ) USING (account_id) WHERE a.issued <> COALESCE(c, 0)",
    "SELECT 'account ' || account_id || ': REFUND entries return ' || expired || ' cents of expired gifts and ' || canceled
        || ' of canceled orders, there are ' || refunded || ' and ' || taken_back
     FROM (SELECT a.account_id, COALESCE(-l.issued, 0) expired, COALESCE(-l.pending, 0) canceled,
            COALESCE(g.cents, 0) refunded, COALESCE(o.cents, 0) taken_back
        FROM accounts a
        LEFT JOIN (SELECT account_id, SUM(issued) issued, SUM(pending) pending FROM ledger
            WHERE type = 'REFUND' GROUP BY account_id) l USING (account_id)
        LEFT JOIN (SELECT account_id, SUM(refunded) cents FROM gifts GROUP BY account_id) g USING (account_id)
        LEFT JOIN (SELECT account_id, SUM(total_cost) cents FROM orders WHERE status = 'CANCELED'
            GROUP BY account_id) o USING (account_id))
     WHERE (expired, canceled) <> (refunded, taken_back)",
    "SELECT 'account ' || account_id || ': gift ' || position || ' of order ' || hex(order_id) || ' was refunded '
        || COALESCE(refunded, 0) || ' of ' || voided || ' void cents'
     FROM gifts WHERE COALESCE(refunded, 0) > voided",
    "SELECT 'account ' || account_id || ': a gift of order ' || hex(order_id) || ' or a mail of it contradicts its cancellation'
     FROM orders o WHERE status = 'CANCELED' AND (
        EXISTS (SELECT 1 FROM mails m WHERE (m.account_id, m.order_id) = (o.account_id, o.order_id))
        OR EXISTS (SELECT 1 FROM gifts g WHERE (g.account_id, g.order_id) = (o.account_id, o.order_id)
            AND (g.delivery_status, g.redemption_status) <> ('CANCELED', 'CANCELED')))",
    "SELECT 'account ' || account_id || ': gift ' || position || ' of order ' || hex(order_id) || ' has ' || redeemed
        || ' cents redeemed and ' || reserved || ' reserved, its redemptions have ' || done || ' and ' || held
     FROM (SELECT account_id, order_id, position, redeemed, reserved,
            (SELECT COALESCE(SUM(cost), 0) FROM redemptions r WHERE state = 'DONE'
                AND (r.account_id, r.order_id, r.position) = (g.account_id, g.order_id, g.position)) done,
            (SELECT COALESCE(SUM(cost), 0) FROM redemptions r WHERE state = 'RESERVED'
                AND (r.account_id, r.order_id, r.position) = (g.account_id, g.order_id, g.position)) held
        FROM gifts g)
     WHERE (redeemed, reserved) <> (done, held)",
    "SELECT 'account ' || account_id || ': a gift of order ' || hex(order_id) || ' does not count its events' FROM orders o
     WHERE EXISTS (SELECT 1 FROM (
            SELECT position, events n FROM gifts g WHERE (g.account_id, g.order_id) = (o.account_id, o.order_id)
            UNION ALL
            SELECT position, -1 FROM gift_events e WHERE (e.account_id, e.order_id) = (o.account_id, o.order_id)
        ) GROUP BY position HAVING SUM(n) <> 0)",
    "SELECT 'codes of product ' || product_id || ' worth ' || face_value || ': ' || available || ' in stock and '
        || handed_out || ' handed out are counted, there are ' || there || ' and ' || gone
     FROM (SELECT product_id, face_value, COALESCE(s.available, 0) available, COALESCE(s.handed_out, 0) handed_out,
            COALESCE(c.there, 0) there, COALESCE(c.gone, 0) gone
        FROM code_stock s
        FULL JOIN (SELECT product_id, face_value, COUNT(*) FILTER (WHERE redemption_id IS NULL) there,
                COUNT(redemption_id) gone
            FROM codes GROUP BY 1, 2) c USING (product_id, face_value))
     WHERE (available, handed_out) <> (there, gone)",
    "SELECT 'account ' || account_id || ': orders of kind ' || kind_id || ' counted are not those that there are'
     FROM (SELECT * FROM order_counts WHERE span = 0) c
     FULL JOIN (SELECT account_id, kind_id, COUNT(*) FILTER (WHERE status = 'PENDING') p,
            COUNT(*) FILTER (WHERE status = 'IN_PROGRESS') i, COUNT(*) FILTER (WHERE status = 'COMPLETE') c,
            COUNT(*) FILTER (WHERE status = 'CANCELED') x
        FROM orders GROUP BY 1, 2) o USING (account_id, kind_id)
     WHERE (c.pending, c.in_progress, c.complete, c.canceled) IS NOT (o.p, o.i, o.c, o.x)",
    "SELECT 'account ' || account_id || ': ' || COALESCE(c.n, 0) || ' ' || type || ' entries counted, there are '
        || COALESCE(l.n, 0)
     FROM (SELECT account_id, type, n FROM ledger_counts WHERE span = 0 AND n <> 0) c
     FULL JOIN (SELECT account_id, type, COUNT(*) n FROM ledger GROUP BY 1, 2) l USING (account_id, type)
     WHERE c.n IS NOT l.n",
];

/// Counts by month and by day must add up to those of all time.
const SPANS_AGREE: [&str; 4] = [
    "SELECT 'account ' || account_id || ': orders of kind ' || kind_id || ' counted by month and in all differ'
     FROM (SELECT * FROM order_counts WHERE span = 0) a
     FULL JOIN (SELECT account_id, kind_id, SUM(pending) p, SUM(in_progress) i, SUM(complete) c, SUM(canceled) x
        FROM order_counts WHERE span > 0 GROUP BY 1, 2) m USING (account_id, kind_id)
     WHERE (a.pending, a.in_progress, a.complete, a.canceled) IS NOT (m.p, m.i, m.c, m.x)",
    "SELECT 'account ' || account_id || ': orders counted in span ' || span || ' and those of all kinds together differ'
     FROM (SELECT account_id, span, TOTAL(n) FILTER (WHERE status = 'PENDING') p,
            TOTAL(n) FILTER (WHERE status = 'IN_PROGRESS') i, TOTAL(n) FILTER (WHERE status = 'COMPLETE') c,
            TOTAL(n) FILTER (WHERE status = 'CANCELED') x
        FROM order_totals WHERE span <= 999912 GROUP BY 1, 2) t
     FULL JOIN (SELECT account_id, span, SUM(pending) p, SUM(in_progress) i, SUM(complete) c, SUM(canceled) x
        FROM order_counts GROUP BY 1, 2) k USING (account_id, span)
     WHERE (t.p, t.i, t.c, t.x) IS NOT (k.p, k.i, k.c, k.x)",
    "SELECT 'account ' || account_id || ': orders counted by day, by month and in all differ' FROM order_totals
     GROUP BY account_id, status
     HAVING SUM(n) FILTER (WHERE span = 0) IS NOT SUM(n) FILTER (WHERE span BETWEEN 1 AND 999912)
        OR SUM(n) FILTER (WHERE span = 0) IS NOT SUM(n) FILTER (WHERE span > 999912)",
    "SELECT 'account ' || account_id || ': entries counted by day, by month and in all differ' FROM ledger_counts
     GROUP BY account_id, type
     HAVING SUM(n) FILTER (WHERE span = 0) IS NOT SUM(n) FILTER (WHERE span BETWEEN 1 AND 999912)
        OR SUM(n) FILTER (WHERE span = 0) IS NOT SUM(n) FILTER (WHERE span > 999912)",
];

/// Differences told of, at most, for each promise.
const DIFFERENCES: usize = 20;

/// Proves the books, from one snapshot.
pub(super) fn verify_ledger(connection: &Connection) -> Result<LedgerReport, StoreError> {
    let count = |table: &str| -> Result<u64, StoreError> {
        unsigned(connection.query_row(&format!("SELECT COUNT(*) FROM {table}"), [], |row| row.get(0))?)
    };
    let mut report = LedgerReport {
        accounts: count("accounts")?,
        entries: count("ledger")?,
        orders: count("orders")?,
        differences: Vec::new(),
    };
    for proof in PROOFS.iter().chain(&SPANS_AGREE) {
        let mut statement = connection.prepare(proof)?;
        let differences = statement.query_map([], |row| row.get(0))?;
        report.differences.extend(differences.take(DIFFERENCES).collect::<Result<Vec<String>, _>>()?);
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use giftd_domain::gifts::Reminders;
    use jiff::SignedDuration;

    use super::*;
    use crate::sqlite::example::{at, database, done, in_group, place, sandbox, send_all};
    use crate::sqlite::turn::turn_gifts;
    use crate::{Mails, Work};

    #[test]
    fn each_promise_of_a_gifts_life_is_proved() {
        let connection = database();
        let account = sandbox(&connection);
        in_group(&connection, |group| {
            place(group, account, "expires", 2, at(0));
            send_all(group, Mails::All, at(0));
            let end = at(0) + SignedDuration::from_hours(24 * 30);
            let turned = done(group, |group| turn_gifts(group, Work::Everyone, end, &Reminders::default(), 1));
            assert_eq!((turned.expired, turned.refunded), (2, 1_400));
            place(group, account, "waits", 1, at(1));
        });
        let found = || verify_ledger(&connection).expect("a report").differences;
        assert_eq!(found(), Vec::<String>::new());
        for (plant, word) in [
            ("UPDATE gifts SET refunded = 699 WHERE position = 2", "REFUND entries return 1400 cents"),
            ("UPDATE gifts SET refunded = 699 WHERE position = 2", "issued is 600"),
            ("UPDATE gifts SET voided = 1 WHERE position = 2", "was refunded 700 of 1 void cents"),
            ("UPDATE gifts SET redeemed = 1, voided = 0", "1 cents redeemed and 0 reserved"),
            ("UPDATE gifts SET reserved = 1, voided = 0", "0 cents redeemed and 1 reserved"),
            ("UPDATE gifts SET events = events + 3 - 2 * position WHERE voided > 0", "does not count its events"),
            ("DELETE FROM gift_events", "does not count its events"),
            ("UPDATE mails SET kind = 'REMINDER'", "has no delivery"),
            (
                "UPDATE orders SET status = 'CANCELED', canceled_at = 0 WHERE status = 'PENDING'",
                "or a mail of it contradicts its cancellation",
            ),
            ("INSERT INTO code_stock VALUES ('10001', 500, 1, 0)", "1 in stock and 0 handed out are counted, there are 0"),
            (
                "INSERT INTO codes VALUES (zeroblob(32), '10001', 500, x'00', 'k', 0, zeroblob(16), 0)",
                "0 in stock and 0 handed out are counted, there are 0 and 1",
            ),
            (
                "INSERT INTO redemptions SELECT account_id, order_id, position, zeroblob(16), '10001', 'Card', 'USD', 1, 1,
                    'DONE', x'00', 'k', 0, 0, 0, NULL FROM gifts WHERE position = 2",
                "its redemptions have 1 and 0",
            ),
        ] {
            connection.execute_batch(&format!("BEGIN; {plant};")).expect(plant);
            let found = found();
            assert!(found.iter().any(|difference| difference.contains(word)), "{plant}: {found:?}");
            connection.execute_batch("ROLLBACK").expect("it is taken back");
        }
        assert_eq!(found(), Vec::<String>::new());
    }
}
