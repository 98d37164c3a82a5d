//! Captured mail: one file a mail in a maildir, readable by its owner only, because it holds live
//! links.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use giftd_domain::Timestamp;

/// A maildir: `tmp`, `new` and `cur` in one folder. Made when the first mail comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maildir {
    root: PathBuf,
}

impl Maildir {
    /// The maildir of a data directory: its `mail` folder.
    pub fn in_data_dir(data: &Path) -> Self {
        Self { root: data.join("mail") }
    }

    /// Where captured mails appear.
    pub fn new_mails(&self) -> PathBuf {
        self.root.join("new")
    }

    /// Keeps `mail`; when this returns, it is on the disk under the path returned. A mail with the
    /// same `message_id` is replaced, so that sending again after a crash leaves one file.
    pub async fn keep(&self, message_id: &str, mail: Vec<u8>) -> io::Result<PathBuf> {
        let maildir = self.clone();
        let name = file_name(message_id);
        tokio::task::spawn_blocking(move || maildir.write(&name, &mail)).await.map_err(io::Error::other)?
    }

    /// Removes mails that were kept before `before`, and what a crash left of others: how many. What a mail reader has
    /// taken to `cur` is that reader's.
    pub async fn drop_older(&self, before: Timestamp) -> io::Result<u64> {
        let folders = [self.new_mails(), self.root.join("tmp")];
        let drop = move || folders.iter().map(|folder| drop_older(folder, before)).sum();
        tokio::task::spawn_blocking(drop).await.map_err(io::Error::other)?
    }

    fn write(&self, name: &str, mail: &[u8]) -> io::Result<PathBuf> {
        /// Tells apart two writers of one mail.
        static WRITES: AtomicU64 = AtomicU64::new(0);

        self.make_folders()?;
        let write = WRITES.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.root.join("tmp").join(format!("{name}.{}.{write}", std::process::id()));
        let kept = self.new_mails().join(name);
        let written = write_private(&unfinished, mail).and_then(|()| fs::rename(&unfinished, &kept));
        if let Err(error) = written {
            // Best effort: what matters is the first error.
            drop(fs::remove_file(&unfinished));
            return Err(error);
        }
        File::open(self.new_mails())?.sync_all()?;
        Ok(kept)
    }

    fn make_folders(&self) -> io::Result<()> {
        for folder in [self.root.clone(), self.root.join("tmp"), self.new_mails(), self.root.join("cur")] {
            match fs::metadata(&folder) {
                Ok(found) if found.permissions().mode() & 0o077 == 0 => {}
                Ok(_) => fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?,
                Err(_) => DirBuilder::new().mode(0o700).recursive(true).create(&folder)?,
            }
        }
        Ok(())
    }
}

/// Removes the files of a folder that were last written before `before`. Nodes that share the folder do it at once.
fn drop_older(folder: &Path, before: Timestamp) -> io::Result<u64> {
    let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let files = match fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) if is_gone(&error) => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut dropped = 0;
    for file in files {
        let file = file?;
        let removed = file.metadata().and_then(|found| {
            let is_old =
                found.is_file() && Timestamp::try_from(found.modified()?).is_ok_and(|written| written < before);
            if is_old { fs::remove_file(file.path()).map(|()| 1) } else { Ok(0) }
        });
        match removed {
            Ok(removed) => dropped += removed,
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(dropped)
}

fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    // A crashed process may have left a file of this name: its content goes.
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// The file name of a mail: its Message-ID without the angle brackets; what could mean something in
/// a path or to a maildir reader becomes `_`.
fn file_name(message_id: &str) -> String {
    let id = message_id.trim_start_matches('<').trim_end_matches('>');
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '@') { c } else { '_' };
    let name: String = id.chars().take(200).map(safe).collect();
    if name.starts_with('.') || name.is_empty() { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("metadata").permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_kept_mail_is_private_and_the_folders_too() {
        let data = tempfile::tempdir().expect("folder");
        let kept = Maildir::in_data_dir(data.path()).keep("<OT1-00001.1@gifts.example>", b"mail".to_vec()).await;
        let kept = kept.expect("kept");
        assert_eq!(kept, data.path().join("mail/new/OT1-00001.1@gifts.example"));
        assert_eq!(fs::read(&kept).expect("read"), b"mail");
        assert_eq!(mode(&kept), 0o600);
        for folder in ["mail", "mail/tmp", "mail/new", "mail/cur"] {
            assert_eq!(mode(&data.path().join(folder)), 0o700, "{folder}");
        }
        assert_eq!(fs::read_dir(data.path().join("mail/tmp")).expect("tmp").count(), 0);
    }

    #[tokio::test]
    async fn folders_that_others_could_read_are_closed() {
        let data = tempfile::tempdir().expect("folder");
        let new = data.path().join("mail/new");
        fs::create_dir_all(&new).expect("made");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("opened");
        Maildir::in_data_dir(data.path()).keep("<a@b>", Vec::new()).await.expect("kept");
        assert_eq!(mode(&new), 0o700);
    }

    #[tokio::test]
    async fn the_same_message_id_again_replaces_the_file() {
        let data = tempfile::tempdir().expect("folder");
        let maildir = Maildir::in_data_dir(data.path());
        maildir.keep("<OT1-00001.1@x>", b"first, and longer".to_vec()).await.expect("kept");
        maildir.keep("<OT1-00001.1@x>", b"second".to_vec()).await.expect("kept");
        maildir.keep("<OT1-00001.2@x>", b"resent".to_vec()).await.expect("kept");
        let mut contents: Vec<String> = fs::read_dir(maildir.new_mails())
            .expect("new")
            .map(|entry| fs::read_to_string(entry.expect("entry").path()).expect("read"))
            .collect();
        contents.sort();
        assert_eq!(contents, ["resent", "second"]);
    }

    #[tokio::test]
    async fn mails_before_an_instant_are_removed_but_not_what_a_reader_has_taken() {
        let data = tempfile::tempdir().expect("folder");
        let maildir = Maildir::in_data_dir(data.path());
        let at = Timestamp::from_second(1_795_000_000).expect("an instant");
        assert_eq!(maildir.drop_older(at).await.expect("nothing is there yet"), 0);
        maildir.keep("<taken@x>", Vec::new()).await.expect("kept");
        fs::rename(maildir.new_mails().join("taken@x"), data.path().join("mail/cur/taken@x:2,S")).expect("taken");
        for (name, seconds) in [("new/old@x", -1), ("new/young@x", 0), ("tmp/left", -1), ("cur/taken@x:2,S", -100)] {
            let path = data.path().join("mail").join(name);
            let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path).expect("a file");
            let written = at + jiff::SignedDuration::from_secs(seconds);
            file.set_modified(written.into()).expect("its time");
        }
        assert_eq!(maildir.drop_older(at).await.expect("removed"), 2);
        assert_eq!(maildir.drop_older(at).await.expect("removed"), 0);
        for (name, stays) in
            [("new/old@x", false), ("new/young@x", true), ("tmp/left", false), ("cur/taken@x:2,S", true)]
        {
            assert_eq!(data.path().join("mail").join(name).exists(), stays, "{name}");
        }
    }

    #[test]
    fn no_message_id_leaves_the_folder() {
        assert_eq!(file_name("<../../etc/passwd@x>"), "_.._.._etc_passwd@x");
        assert_eq!(file_name("<a:2,S@x>"), "a_2_S@x");
        assert_eq!(file_name("<>"), "_");
    }
}
