//! The schema's history: the same numbers on both databases. A shipped migration is never edited.

/// A step of the schema.
pub(crate) struct Migration {
    /// From 1, without gaps.
    pub number: i64,
    /// For SQLite.
    pub sqlite: &'static str,
    /// For PostgreSQL.
    pub postgres: &'static str,
}

/// All steps, in order.
pub(crate) const ALL: &[Migration] = &[
    Migration {
        number: 1,
        sqlite: include_str!("../migrations/0001_spine.sqlite.sql"),
        postgres: include_str!("../migrations/0001_spine.postgres.sql"),
    },
    Migration {
        number: 2,
        sqlite: include_str!("../migrations/0002_life.sqlite.sql"),
        postgres: include_str!("../migrations/0002_life.postgres.sql"),
    },
    Migration {
        number: 3,
        sqlite: include_str!("../migrations/0003_erase.sqlite.sql"),
        postgres: include_str!("../migrations/0003_erase.postgres.sql"),
    },
    Migration {
        number: 4,
        sqlite: include_str!("../migrations/0004_mails_that_stay.sqlite.sql"),
        postgres: include_str!("../migrations/0004_mails_that_stay.postgres.sql"),
    },
    Migration {
        number: 5,
        sqlite: include_str!("../migrations/0005_totals.sqlite.sql"),
        postgres: include_str!("../migrations/0005_totals.postgres.sql"),
    },
    Migration {
        number: 6,
        sqlite: include_str!("../migrations/0006_counts_by_kind.sqlite.sql"),
        postgres: include_str!("../migrations/0006_counts_by_kind.postgres.sql"),
    },
    Migration {
        number: 7,
        sqlite: include_str!("../migrations/0007_closed_orders_by_kind.sqlite.sql"),
        postgres: include_str!("../migrations/0007_closed_orders_by_kind.postgres.sql"),
    },
];

/// The number of the last step.
pub(crate) fn latest() -> i64 {
    ALL.last().map_or(0, |migration| migration.number)
}
