//! What PostgreSQL's errors mean to callers.

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

use crate::StoreError;

/// Why an operation did not end well, while it may still be tried again.
#[derive(Debug)]
pub(super) enum Failure {
    /// The database said so, or the way to it broke.
    Database(tokio_postgres::Error),
    /// Said by us.
    Store(StoreError),
}

impl Failure {
    /// A serialization failure or a deadlock: nothing happened, and another try may work at once.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED))
    }

    /// Whether the connection is of no more use.
    pub(super) fn lost_connection(&self) -> bool {
        match self {
            Self::Database(error) => match error.as_db_error() {
                Some(db) => {
                    let code = db.code().code();
                    code.starts_with("57P") || code.starts_with("08") || code == "25006"
                }
                None => !is_ours(error),
            },
            Self::Store(_) => false,
        }
    }

    fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Database(error) => error.code(),
            Self::Store(_) => None,
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => Self::Database(error),
            PoolError::Timeout(_) => Self::Store(StoreError::Unavailable("no connection in time".into())),
            other => Self::Store(StoreError::Unavailable(other.to_string().into())),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => error,
            Failure::Database(error) => from_database(&error),
        }
    }
}

/// The text names the statement's fault and constraint, but not the row's values, which are people's.
fn from_database(error: &tokio_postgres::Error) -> StoreError {
    let Some(db) = error.as_db_error() else {
        let text = with_cause(error).into();
        // What was never sent, because a value does not fit its column, is our own mistake.
        return if is_ours(error) { StoreError::Broken(text) } else { StoreError::Unavailable(text) };
    };
    let constraint = db.constraint().map(|name| format!(" ({name})")).unwrap_or_default();
    let text = format!("{} {}{constraint}", db.code().code(), db.message()).into();
    if is_passing(db.code().code()) { StoreError::Unavailable(text) } else { StoreError::Broken(text) }
}

/// Errors that another try, later or elsewhere, may not meet. By class, see PostgreSQL's appendix A.
fn is_passing(code: &str) -> bool {
    // Connections, authorization, resources, an operator's or a system's intervention; a database that is not there yet.
    ["08", "28", "3D", "53", "57", "58"].iter().any(|class| code.starts_with(class))
        // A standby after a failover, a database that takes no connections for a while (a restore, an upgrade), a lock
        // that was not had in time, conflicts that outlasted our tries.
        || ["25006", "55000", "55P03", "40001", "40P01"].contains(&code)
}

fn is_ours(error: &tokio_postgres::Error) -> bool {
    let text = error.to_string();
    [
        "error serializing parameter",
        "error deserializing column",
        "invalid column",
        "expected ",
        "query returned an unexpected number of rows",
    ]
    .iter()
    .any(|start| text.starts_with(start))
}

fn with_cause(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// An impossible value or state, in a sentence.
pub(super) fn broken(what: impl Into<String>) -> StoreError {
    StoreError::Broken(what.into().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_try_may_not_meet_is_unavailable() {
        for passing in ["57P01", "57P03", "53300", "08006", "25006", "55P03", "57014", "40P01"] {
            assert!(is_passing(passing), "{passing}");
        }
        for lasting in ["23505", "23514", "42P01", "22021", "XX000"] {
            assert!(!is_passing(lasting), "{lasting}");
        }
    }
}
