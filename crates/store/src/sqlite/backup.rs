//! A backup: one consistent copy of the database, beside a server that goes on writing.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup as Copying, StepResult};
use tempfile::NamedTempFile;

use super::connection::{check_schema, open_reader, schema_version};
use super::keys::key_fingerprints;
use super::verify::verify_ledger;
use crate::{LedgerReport, StoreError};

/// Pages of one step, after which progress is told: 4 MiB.
const STEP_PAGES: i32 = 1024;

/// A backup that is on the disk, whole and sound.
#[derive(Clone, Debug)]
pub struct Backup {
    /// Bytes of the file.
    pub bytes: u64,
    /// The last migration of the schema in it.
    pub migration: i64,
    /// Its books; none where the schema is another giftd's, which alone can read them.
    pub books: Option<LedgerReport>,
    /// Fingerprints of the keys that it needs, by the key's name.
    pub key_fingerprints: BTreeMap<String, String>,
}

/// How far a backup is.
#[derive(Clone, Copy, Debug)]
pub enum BackupProgress {
    /// So many pages of all are copied.
    Copied {
        /// Pages of the copy.
        pages: u64,
        /// Pages of the database.
        of: u64,
    },
    /// The copy is being read and proved.
    Checking,
}

/// Why there is no backup. The database is as it was, and no file was made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Something of that name is there.
    #[error("{} is there already, and a backup never replaces anything: choose another name", .0.display())]
    Exists(PathBuf),
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Reading the database or writing the copy ended early.
    #[error("copying into {} ended early: {source}", folder.display())]
    Interrupted {
        /// Where the copy was written.
        folder: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The copy is damaged, and so is the database or the disk that the copy was written to.
    #[error("the copy is damaged and was not kept; the database or one of the disks is: {}", .0.join("; "))]
    Damaged(Vec<String>),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for BackupError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Copies the database at `source` to `file`, which must not be there. It appears under its name, for its owner
/// alone, only when it is whole, on the disk, and sound; what is committed before the call is in it.
///
/// Blocks. Neither reads nor writes of others wait for it, and nothing is migrated.
pub fn back_up(source: &Path, file: &Path, progress: impl Fn(BackupProgress)) -> Result<Backup, BackupError> {
    if file.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(file.to_owned()));
    }
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let failed = |source| BackupError::File { path: folder.to_owned(), source };
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let draft =
        tempfile::Builder::new().prefix(&format!("{name}.")).suffix(".partial").tempfile_in(folder).map_err(failed)?;
    copy_pages(source, &draft, folder, &progress)?;
    progress(BackupProgress::Checking);
    let backup = check(draft.path())?;
    draft.as_file().sync_all().map_err(failed)?;
    draft.persist_noclobber(file).map_err(|refused| match refused.error.kind() {
        std::io::ErrorKind::AlreadyExists => BackupError::Exists(file.to_owned()),
        _ => BackupError::File { path: file.to_owned(), source: refused.error },
    })?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(backup)
}

/// Copies one state of the database into an empty file.
///
/// By the online backup, not by `VACUUM INTO`: that one builds each table and index anew, which takes a core
/// from the server for several times as long. Both read one snapshot and hold nobody up, but while a snapshot
/// is read the log beside the database can't be emptied and grows, so that the shorter one is better.
fn copy_pages(
    source: &Path,
    draft: &NamedTempFile,
    folder: &Path,
    progress: &impl Fn(BackupProgress),
) -> Result<(), BackupError> {
    let source = open_reader(source)?;
    // Held to the end: without it each step would see the newest state, and begin again after each commit.
    let snapshot = source.unchecked_transaction()?;
    schema_version(&snapshot)?;
    let mut copy = Connection::open(draft.path())?;
    // Nobody reads the copy before it is whole: it needs no journal, and goes to the disk once, at its end.
    copy.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")?;
    let interrupted = |source| BackupError::Interrupted { folder: folder.to_owned(), source };
    let copying = Copying::new(&snapshot, &mut copy).map_err(interrupted)?;
    while copying.step(STEP_PAGES).map_err(interrupted)? != StepResult::Done {
        let done = copying.progress();
        let pages = |count: i32| u64::try_from(count).unwrap_or(0);
        progress(BackupProgress::Copied { pages: pages(done.pagecount - done.remaining), of: pages(done.pagecount) });
    }
    drop(copying);
    // One file, which can be read where nothing can be written beside it. A server that opens it changes that.
    copy.execute_batch("PRAGMA journal_mode = DELETE").map_err(interrupted)?;
    copy.close().map_err(|(_, error)| interrupted(error))
}

/// Reads all of a copy: its pages, its constraints, its books.
fn check(copy: &Path) -> Result<Backup, BackupError> {
    let copy_size = |source| BackupError::File { path: copy.to_owned(), source };
    let bytes = copy.metadata().map_err(copy_size)?.len();
    let connection = open_reader(copy)?;
    let found = integrity(&connection).unwrap_or_else(|error| vec![error.to_string()]);
    if found != ["ok"] {
        return Err(BackupError::Damaged(found));
    }
    Ok(Backup {
        bytes,
        migration: schema_version(&connection)?,
        books: check_schema(&connection).is_ok().then(|| verify_ledger(&connection)).transpose()?,
        key_fingerprints: key_fingerprints(&connection)?,
    })
}

/// What is wrong with the pages and constraints of a database, or `ok`.
fn integrity(connection: &Connection) -> Result<Vec<String>, rusqlite::Error> {
    connection.prepare("PRAGMA integrity_check(20)")?.query_map([], |row| row.get(0))?.collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::sqlite::connection::open_writer;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("a folder");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn organizations(connection: &Connection) -> i64 {
        connection.query_row("SELECT COUNT(*) FROM organizations", [], |row| row.get(0)).expect("a count")
    }

    /// A database of some 20 MiB, and its writer.
    fn large(folder: &Path) -> (PathBuf, Connection) {
        let path = folder.join("giftd.db");
        let writer = open_writer(&path).expect("a database");
        writer
            .execute_batch(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
                 INSERT INTO organizations (name, created_at) SELECT hex(randomblob(500)), i FROM n",
            )
            .expect("rows");
        (path, writer)
    }

    #[test]
    fn a_backup_is_the_state_at_its_beginning_however_much_is_written_meanwhile() {
        let home = tempfile::tempdir().expect("a folder");
        let (path, writer) = large(home.path());
        let (file, written) = (home.path().join("backup.db"), Cell::new(0));
        let backup = back_up(&path, &file, |_| {
            // A writer that waited for the backup would wait for ever: it is this thread.
            writer.execute("INSERT INTO organizations (name, created_at) VALUES ('later', 0)", []).expect("a write");
            writer.execute("UPDATE organizations SET name = 'changed' WHERE organization_id = 20000", []).expect("one");
            written.set(written.get() + 1);
        });
        let backup = backup.expect("a backup");
        assert!(written.get() > 3, "several steps: {}", written.get());
        assert_eq!(organizations(&writer), 20_000 + written.get());
        assert_eq!(backup.books.expect("books").differences, Vec::<String>::new());
        let copy = Connection::open(&file).expect("a database");
        assert_eq!(organizations(&copy), 20_000);
        let changed = "SELECT COUNT(*) FROM organizations WHERE name IN ('later', 'changed')";
        assert_eq!(copy.query_row(changed, [], |row| row.get::<_, i64>(0)).expect("a count"), 0);
    }

    #[test]
    fn a_backup_is_one_file_for_its_owner_alone() {
        let home = tempfile::tempdir().expect("a folder");
        let (path, _writer) = large(home.path());
        let to = tempfile::tempdir().expect("a folder");
        let file = to.path().join("backup.db");
        let backup = back_up(&path, &file, |_| ()).expect("a backup");
        assert_eq!(names(to.path()), ["backup.db"]);
        let metadata = file.metadata().expect("metadata");
        assert_eq!((metadata.permissions().mode() & 0o777, metadata.len()), (0o600, backup.bytes));
        drop(open_reader(&file).expect("it can be read where nothing is beside it"));
        assert_eq!(names(to.path()), ["backup.db"]);
    }

    #[test]
    fn what_is_there_is_never_replaced_not_even_when_it_comes_meanwhile() {
        let home = tempfile::tempdir().expect("a folder");
        let (path, _writer) = large(home.path());
        let file = home.path().join("backup.db");
        let later = back_up(&path, &file, |step| {
            if let BackupProgress::Checking = step {
                std::fs::write(&file, "mine").expect("written");
            }
        });
        let earlier = back_up(&path, &file, |_| panic!("nothing is copied"));
        for refused in [later, earlier] {
            assert!(matches!(refused, Err(BackupError::Exists(_))), "{refused:?}");
        }
        assert_eq!(std::fs::read_to_string(&file).expect("read"), "mine");
        assert!(!names(home.path()).iter().any(|name| name.ends_with(".partial")), "{:?}", names(home.path()));
    }

    #[test]
    fn a_damaged_database_makes_no_backup() {
        let home = tempfile::tempdir().expect("a folder");
        let (path, writer) = large(home.path());
        writer.close().expect("closed");
        let mut bytes = std::fs::read(&path).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle..middle + 64 * 1024].fill(0x55);
        std::fs::write(&path, bytes).expect("written");
        let file = home.path().join("backup.db");
        let refused = back_up(&path, &file, |_| ());
        assert!(matches!(refused, Err(BackupError::Damaged(_))), "{refused:?}");
        assert!(!names(home.path()).iter().any(|name| name.contains("backup.db")), "{:?}", names(home.path()));
    }

    #[test]
    fn books_of_another_schema_are_not_read_and_its_backup_is_made() {
        let home = tempfile::tempdir().expect("a folder");
        let (path, writer) = large(home.path());
        writer.execute("INSERT INTO schema_migrations (number) VALUES (1000000)", []).expect("a newer one");
        let backup = back_up(&path, &home.path().join("backup.db"), |_| ()).expect("a backup");
        assert!(backup.books.is_none() && backup.migration == 1_000_000, "{backup:?}");
    }
}
