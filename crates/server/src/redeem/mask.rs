//! An address that its owner recognizes and nobody else learns.

/// `a•••@e•••.com` of `alice@example.com`.
pub fn masked(address: &str) -> String {
    const HIDDEN: &str = "•••";
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let first = |text: &str| text.chars().next().map(String::from).unwrap_or_default();
    let end = domain.rsplit_once('.').map(|(_, end)| format!(".{end}")).unwrap_or_default();
    format!("{}{HIDDEN}@{}{HIDDEN}{end}", first(local), first(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_only_the_first_letters_and_the_end_are_shown() {
        for (address, expected) in [
            ("alice@example.com", "a•••@e•••.com"),
            ("a@b.co", "a•••@b•••.co"),
            ("alice.long+tag@mail.example.co.jp", "a•••@m•••.jp"),
            ("'o@xn--bcher-kva.example", "'•••@x•••.example"),
            ("", "•••@•••"),
        ] {
            assert_eq!(masked(address), expected);
        }
    }
}
