//! An address that its owner recognizes and nobody else learns.

/// `a•••@e•••.com` of `alice@example.com`. A name of one letter would be shown whole, so that nothing of it is.
pub fn masked(address: &str) -> String {
    const HIDDEN: &str = "•••";
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let first = |name: &str| {
        let mut letters = name.chars();
        letters.next().filter(|_| letters.next().is_some()).map(String::from).unwrap_or_default()
    };
    let host = domain.split('.').next().unwrap_or_default();
    let end = domain.rsplit_once('.').map(|(_, end)| format!(".{end}")).unwrap_or_default();
    format!("{}{HIDDEN}@{}{HIDDEN}{end}", first(local), first(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_only_the_first_letters_and_the_end_are_shown() {
        for (address, expected) in [
            ("alice@example.com", "a•••@e•••.com"),
            ("a@b.co", "•••@•••.co"),
            ("é@b.mail.example", "•••@•••.example"),
            ("al@ex.co", "a•••@e•••.co"),
            ("al@x", "a•••@•••"),
            ("alice.long+tag@mail.example.co.jp", "a•••@m•••.jp"),
            ("'o@xn--bcher-kva.example", "'•••@x•••.example"),
            ("", "•••@•••"),
        ] {
            assert_eq!(masked(address), expected);
        }
    }
}
