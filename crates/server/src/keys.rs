//! The keys, which lie in a folder of their own and never in the database: without them nobody who
//! reads the database can make a token, a gift's link or a code readable. All nodes share the folder.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use sha2::{Digest as _, Sha256};
use strum::VariantArray as _;

use crate::clock::Clock;

/// Hexadecimal digits of a fingerprint.
const FINGERPRINT_DIGITS: usize = 32;

/// What a key is for. Each has its file, and its name in the database's list of fingerprints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum KeyName {
    /// Signs access tokens (Ed25519, PKCS #8).
    TokenSigning,
    /// Authenticates the links of gifts.
    Links,
    /// Encrypts imported codes.
    Codes,
}

impl KeyName {
    /// Its name among the fingerprints.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Its file's name.
    pub fn file(self) -> &'static str {
        match self {
            Self::TokenSigning => "token-signing.pem",
            Self::Links => "links.key",
            Self::Codes => "codes.key",
        }
    }

    /// What is lost with it, for ever.
    pub fn loss(self) -> &'static str {
        match self {
            Self::TokenSigning => "every access token ends, and clients fetch new ones",
            Self::Links => "every link in a mail, every reward link and every recipient's session is dead",
            Self::Codes => "no code can be read any more, neither those in stock nor those that recipients have",
        }
    }
}

/// 256 secret bits. Neither printed nor compared.
#[derive(Clone)]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    /// A key of these bits.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bits.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

/// All keys of an installation.
#[derive(Clone)]
pub struct Keys {
    token_signing: SigningKey,
    links: SecretKey,
    codes: SecretKey,
}

impl Keys {
    /// What a starting node does: makes the keys where the database knows none yet, else loads them and
    /// refuses missing or other ones. `recorded` are the fingerprints in the database; what this returns
    /// has to be recorded there, and [`Self::check`]ed again where another node was first.
    pub fn open(folder: &Path, recorded: &Fingerprints, clock: &Clock) -> Result<Self, KeysError> {
        let present =
            KeyName::VARIANTS.iter().copied().filter(|key| folder.join(key.file()).exists()).collect::<Vec<_>>();
        let keys = match decide(folder, &present, recorded) {
            Decision::Make => Self::create(folder, clock)?,
            Decision::Load => Self::load(folder)?,
            Decision::Refuse(error) => return Err(error),
        };
        keys.check(folder, recorded)?;
        Ok(keys)
    }

    /// Makes the keys that aren't there yet and loads all. Nodes that do so at once end with the same
    /// keys: a key appears whole, under its name, exactly once.
    pub fn create(folder: &Path, clock: &Clock) -> Result<Self, KeysError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| KeysError::io(folder, error))?;
        for &key in KeyName::VARIANTS {
            let secret = clock.random_bytes::<32>();
            let text = match key {
                KeyName::TokenSigning => SigningKey::from_bytes(&secret)
                    .to_pkcs8_pem(LineEnding::LF)
                    .expect("an Ed25519 key has a PKCS #8 form")
                    .as_str()
                    .to_owned(),
                KeyName::Links | KeyName::Codes => format!("{}\n", STANDARD.encode(secret)),
            };
            let path = folder.join(key.file());
            create_once(&path, &text, clock.entropy()).map_err(|error| KeysError::io(&path, error))?;
        }
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| KeysError::io(folder, error))?;
        Self::load(folder)
    }

    /// Loads the keys from their files.
    pub fn load(folder: &Path) -> Result<Self, KeysError> {
        let pem = read(folder, KeyName::TokenSigning)?;
        let token_signing = SigningKey::from_pkcs8_pem(&pem).map_err(|_| {
            KeysError::not_a_key(folder, KeyName::TokenSigning, "an Ed25519 private key in PKCS #8 PEM")
        })?;
        Ok(Self {
            token_signing,
            links: read_secret(folder, KeyName::Links)?,
            codes: read_secret(folder, KeyName::Codes)?,
        })
    }

    /// What tells these keys from others, and says nothing about them: the database records it.
    pub fn fingerprints(&self) -> Fingerprints {
        KeyName::VARIANTS.iter().map(|&key| (key.name().to_owned(), self.fingerprint(key))).collect()
    }

    /// Whether these are the keys that the database knows, as far as it knows any.
    pub fn check(&self, folder: &Path, recorded: &Fingerprints) -> Result<(), KeysError> {
        for &key in KeyName::VARIANTS {
            if let Some(expected) = recorded.get(key.name())
                && *expected != self.fingerprint(key)
            {
                return Err(KeysError::Other {
                    path: folder.join(key.file()),
                    key,
                    expected: expected.clone(),
                    found: self.fingerprint(key),
                });
            }
        }
        Ok(())
    }

    /// The key that signs access tokens.
    pub fn token_signing(&self) -> &SigningKey {
        &self.token_signing
    }

    /// The key of the links of gifts; see [`crate::links`].
    pub fn links(&self) -> &SecretKey {
        &self.links
    }

    /// The key that encrypts imported codes.
    pub fn codes(&self) -> &SecretKey {
        &self.codes
    }

    fn fingerprint(&self, key: KeyName) -> String {
        let secret = match key {
            KeyName::TokenSigning => self.token_signing.as_bytes(),
            KeyName::Links => self.links.bytes(),
            KeyName::Codes => self.codes.bytes(),
        };
        let digest = Sha256::new()
            .chain_update(b"giftd key fingerprint ")
            .chain_update(key.name())
            .chain_update(secret)
            .finalize();
        let mut hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        hex.truncate(FINGERPRINT_DIGITS);
        hex
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keys").field(&self.fingerprints()).finish()
    }
}

/// A key's name → its fingerprint.
pub type Fingerprints = BTreeMap<String, String>;

/// What a starting node does about its keys.
#[derive(Debug)]
pub enum Decision {
    /// Make those that aren't there: the database knows none, so nothing depends on any yet.
    Make,
    /// Load them, and compare them with what the database knows.
    Load,
    /// Don't start.
    Refuse(KeysError),
}

/// Decides from the key files that are there and the fingerprints that the database knows.
pub fn decide(folder: &Path, present: &[KeyName], recorded: &Fingerprints) -> Decision {
    let missing = KeyName::VARIANTS.iter().copied().filter(|key| !present.contains(key)).collect::<Vec<_>>();
    let lost = missing.iter().filter(|key| recorded.contains_key(key.name())).copied().collect::<Vec<_>>();
    if !lost.is_empty() {
        Decision::Refuse(KeysError::Missing { folder: folder.to_owned(), keys: lost })
    } else if missing.is_empty() {
        Decision::Load
    } else {
        Decision::Make
    }
}

/// Warnings about who else can read the keys on this machine.
pub fn exposed(folder: &Path) -> Vec<String> {
    let files = KeyName::VARIANTS.iter().map(|key| folder.join(key.file()));
    std::iter::once(folder.to_owned())
        .chain(files)
        .filter_map(|path| {
            let mode = fs::metadata(&path).ok()?.permissions().mode() & 0o777;
            let wanted = if path == folder { 0o700 } else { 0o600 };
            (mode & 0o077 != 0).then(|| {
                format!("{} can be read by others (mode {mode:o}); mend it with: chmod {wanted:o} {0}", path.display())
            })
        })
        .collect()
}

/// Why there are no keys to work with.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The database knows keys that aren't there.
    #[error(
        "the key file{} {} missing in {}, and the database was used with {}: bring back {} from the backup or from another node. {}",
        if keys.len() == 1 { "" } else { "s" },
        if keys.len() == 1 { "is" } else { "are" },
        folder.display(),
        if keys.len() == 1 { "it" } else { "them" },
        keys.iter().map(|key| folder.join(key.file()).display().to_string()).collect::<Vec<_>>().join(", "),
        keys.iter().map(|key| format!("Without {}, {}", key.file(), key.loss())).collect::<Vec<_>>().join(". ")
    )]
    Missing {
        /// The keys' folder.
        folder: PathBuf,
        /// Which.
        keys: Vec<KeyName>,
    },
    /// A key that isn't the one that the database knows.
    #[error(
        "{} isn't the key that the database was used with (its fingerprint is {found}, the database has {expected}): bring back the {} file with that fingerprint. Without it, {}",
        path.display(), key.file(), key.loss()
    )]
    Other {
        /// The file.
        path: PathBuf,
        /// Which key.
        key: KeyName,
        /// The fingerprint in the database.
        expected: String,
        /// The file's.
        found: String,
    },
    /// A file that holds no key.
    #[error("{} doesn't hold {wanted}: bring back the file from the backup or from another node", path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
    },
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl KeysError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    fn not_a_key(folder: &Path, key: KeyName, wanted: &'static str) -> Self {
        Self::NotAKey { path: folder.join(key.file()), wanted }
    }
}

fn read(folder: &Path, key: KeyName) -> Result<String, KeysError> {
    let path = folder.join(key.file());
    fs::read_to_string(&path).map_err(|error| KeysError::io(&path, error))
}

fn read_secret(folder: &Path, key: KeyName) -> Result<SecretKey, KeysError> {
    let decoded = STANDARD.decode(read(folder, key)?.trim()).unwrap_or_default();
    decoded.try_into().map(SecretKey).map_err(|_| KeysError::not_a_key(folder, key, "32 bytes in base64"))
}

/// Writes a file that isn't there yet, for the owner alone, so that others see it whole or not at all.
/// A file of that name that is there stays.
fn create_once(path: &Path, text: &str, unique: u128) -> io::Result<()> {
    let draft = path.with_extension(format!("{unique:032x}.new"));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let linked = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        // Unlike a rename, a link never replaces: of several nodes one is first, and all use its key.
        .and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("is there").permissions().mode() & 0o777
    }

    #[test]
    fn keys_are_made_only_when_the_database_has_no_fingerprint_yet() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("keys");
        let keys = Keys::open(&folder, &Fingerprints::new(), &Clock::system()).expect("made");
        let recorded = keys.fingerprints();
        assert_eq!(recorded.keys().collect::<Vec<_>>(), ["codes", "links", "token-signing"]);
        let again = Keys::open(&folder, &recorded, &Clock::system()).expect("loaded");
        assert_eq!(again.fingerprints(), recorded);
    }

    #[test]
    fn the_folder_is_0700_and_the_files_0600() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("keys");
        Keys::create(&folder, &Clock::system()).expect("made");
        assert_eq!(mode(&folder), 0o700);
        let files =
            fs::read_dir(&folder).expect("a folder").map(|file| file.expect("a file").path()).collect::<Vec<_>>();
        assert_eq!(files.len(), KeyName::VARIANTS.len(), "no draft is left over: {files:?}");
        for file in files {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
        assert_eq!(exposed(&folder), Vec::<String>::new());
        fs::set_permissions(folder.join("links.key"), fs::Permissions::from_mode(0o644)).expect("changed");
        assert!(exposed(&folder)[0].contains("chmod 600"), "{:?}", exposed(&folder));
    }

    #[test]
    fn with_a_missing_key_serve_refuses_and_says_which_file_to_bring_back() {
        let home = tempfile::tempdir().expect("a folder");
        let recorded = Keys::create(home.path(), &Clock::system()).expect("made").fingerprints();
        fs::remove_file(home.path().join("links.key")).expect("removed");
        let error = Keys::open(home.path(), &recorded, &Clock::system()).expect_err("refused").to_string();
        assert!(error.contains("links.key") && error.contains("bring back") && !error.contains("codes.key"), "{error}");
        assert!(!home.path().join("links.key").exists(), "none was made in its place");
    }

    #[test]
    fn with_another_key_serve_refuses_and_says_which_file_to_bring_back() {
        let (home, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let recorded = Keys::create(home.path(), &Clock::system()).expect("made").fingerprints();
        Keys::create(other.path(), &Clock::system()).expect("made");
        for key in KeyName::VARIANTS {
            let kept = fs::read(home.path().join(key.file())).expect("read");
            fs::copy(other.path().join(key.file()), home.path().join(key.file())).expect("copied");
            let error = Keys::open(home.path(), &recorded, &Clock::system()).expect_err("refused").to_string();
            assert!(error.contains(key.file()) && error.contains("bring back"), "{error}");
            fs::write(home.path().join(key.file()), kept).expect("written");
        }
        assert!(Keys::open(home.path(), &recorded, &Clock::system()).is_ok());
    }

    #[test]
    fn a_file_that_holds_no_key_is_named() {
        let home = tempfile::tempdir().expect("a folder");
        Keys::create(home.path(), &Clock::system()).expect("made");
        for key in KeyName::VARIANTS {
            let kept = fs::read(home.path().join(key.file())).expect("read");
            fs::write(home.path().join(key.file()), "").expect("written");
            let error = Keys::load(home.path()).expect_err("refused").to_string();
            assert!(error.contains(key.file()), "{error}");
            fs::write(home.path().join(key.file()), kept).expect("written");
        }
    }

    #[test]
    fn a_key_of_a_later_version_is_made_beside_the_known_ones() {
        let home = tempfile::tempdir().expect("a folder");
        let mut recorded = Keys::create(home.path(), &Clock::system()).expect("made").fingerprints();
        fs::remove_file(home.path().join("codes.key")).expect("removed");
        recorded.remove("codes");
        let keys = Keys::open(home.path(), &recorded, &Clock::system()).expect("made");
        assert!(keys.check(home.path(), &recorded).is_ok());
    }

    #[test]
    fn nodes_that_start_together_end_with_the_same_keys() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("keys");
        let nodes = std::thread::scope(|scope| {
            let starts = [(); 8].map(|()| {
                scope
                    .spawn(|| Keys::open(&folder, &Fingerprints::new(), &Clock::system()).expect("made").fingerprints())
            });
            starts.map(|start| start.join().expect("a node"))
        });
        assert!(nodes.windows(2).all(|pair| pair[0] == pair[1]), "{nodes:?}");
    }

    #[test]
    fn keys_are_not_printed() {
        let keys = Keys::create(tempfile::tempdir().expect("a folder").path(), &Clock::system()).expect("made");
        let printed = format!("{keys:?} {:?}", keys.links());
        assert!(
            !printed.contains(&STANDARD.encode(keys.links().bytes())) && printed.contains("SecretKey(…)"),
            "{printed}"
        );
    }
}
