//! The log: to standard error, for people or for machines. It never holds secrets, tokens, codes, links or whole
//! addresses. We write none; what others say is cut: libraries, whose details include the values that go to a
//! database, are heard only from `info` up, and texts of mail servers and databases lose addresses and links.

use std::io::{self, IsTerminal as _, Write};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::settings::LogFormat;

/// Our own modules, which may say all.
const OURS: [&str; 3] = ["giftd", "giftd_domain", "giftd_store"];
/// What stands for what was cut.
const CUT: char = '…';
/// What a gift's link begins with, behind the server's name.
const LINK: &str = "/r/";
/// Characters of a word after [`LINK`] from which on it may be a token.
const TOKEN_CHARACTERS: usize = 20;

/// Begins logging what `filter` lets through. A second call in one process changes nothing.
pub fn init(filter: &str, format: LogFormat) {
    // The settings have checked it.
    let filter: Targets = filter.parse().unwrap_or_default();
    let others =
        Targets::new().with_default(LevelFilter::INFO).with_targets(OURS.map(|ours| (ours, LevelFilter::TRACE)));
    let registry = tracing_subscriber::registry().with(filter).with(others);
    // Colours only for eyes.
    let colours = std::io::stderr().is_terminal();
    let layer = tracing_subscriber::fmt::layer().with_writer(|| Cut(std::io::stderr())).with_ansi(colours);
    let begun = match format {
        LogFormat::Text => registry.with(layer).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
    // Fails only where tests in one process have begun already.
    drop(begun);
}

/// Writes lines without addresses and links. Each line comes as one piece.
struct Cut<W>(W);

impl<W: Write> Write for Cut<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(cut(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// `…@example.com` for `alice@example.com`, `/r/…` for the path of a gift's page.
fn cut(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['@', '/']) {
        let (before, found) = rest.split_at(at);
        kept.push_str(before);
        if let Some(path) = found.strip_prefix(LINK) {
            let token = path.len() - path.trim_start_matches(is_of_token).len();
            kept.push_str(LINK);
            rest = &path[token..];
            match token {
                0..TOKEN_CHARACTERS => kept.push_str(&path[..token]),
                // What follows, as a verification's token, goes too.
                _ => {
                    kept.push(CUT);
                    rest = rest.trim_start_matches(|c| is_of_token(c) || c == '/');
                }
            }
            continue;
        }
        let (sign, after) = found.split_at(1);
        if sign == "@" && after.starts_with(|c: char| c.is_alphanumeric() || c == '[') {
            let name = kept.trim_end_matches(is_of_name).len();
            if name < kept.len() {
                kept.truncate(name);
                kept.push(CUT);
            }
        }
        kept.push_str(sign);
        rest = after;
    }
    kept.push_str(rest);
    kept
}

fn is_of_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

/// What the name in an address, or the password before a host, is made of; not what stands around it.
fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || ".!#$%&'*+-^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_links_are_cut_and_all_else_stays() {
        let token = "A".repeat(64);
        for (said, kept) in [
            ("550 5.1.1 <alice.smith+x@mail.example.com>: unknown", "550 5.1.1 <…@mail.example.com>: unknown"),
            ("alice@example.com", "…@example.com"),
            ("two: a@b.co, 'o''neil'@c.de", "two: …@b.co, …@c.de"),
            ("É.ü@example.com", "…@example.com"),
            ("to=alice@[192.0.2.1]", "to=…@[192.0.2.1]"),
            ("postgres://giftd:hunter2@db/giftd", "postgres://giftd:…@db/giftd"),
            ("from a…@example.com", "from a…@example.com"),
            ("wire @ 5, @home, a@", "wire @ 5, @home, a@"),
            ("/api/v1/r/x and 1/2", "/api/v1/r/x and 1/2"),
            ("a route: /r/{token}/verify/{verification}", "a route: /r/{token}/verify/{verification}"),
            ("", ""),
        ] {
            assert_eq!(cut(said), kept);
        }
        let link = format!("blocked: http://gifts.example/r/{token}/verify/abcDEF-_123?x, sorry");
        assert_eq!(cut(&link), "blocked: http://gifts.example/r/…?x, sorry");
    }

    #[test]
    fn a_line_is_written_whole() {
        let mut written = Vec::new();
        Cut(&mut written).write_all(b"one alice@example.com\n").expect("written");
        assert_eq!(written, "one …@example.com\n".as_bytes());
    }
}
