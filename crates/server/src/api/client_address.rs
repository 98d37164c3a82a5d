//! Whose request it is, by address: the peer's, unless the peer is a proxy that the settings trust. A
//! header that anyone can write decides nothing.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const X_FORWARDED_FOR: &str = "x-forwarded-for";
/// Headers that only a proxy adds.
const FORWARDING: [&str; 6] =
    [X_FORWARDED_FOR, "forwarded", "x-real-ip", "x-forwarded-host", "x-forwarded-proto", "via"];

/// The client's address: going back from the peer through trusted proxies, each of which wrote down who
/// talked to it at the right end of `X-Forwarded-For`, the first that isn't one.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut address = peer.to_canonical();
    let lines = headers.get_all(X_FORWARDED_FOR).iter().collect::<Vec<_>>();
    let hops = lines.iter().rev().flat_map(|line| line.to_str().unwrap_or("?").rsplit(','));
    for hop in hops {
        if !is_trusted(address, trusted) {
            break;
        }
        // What isn't an address can't be followed: the last proxy is as far as we know.
        let Some(before) = read(hop) else { break };
        address = before;
    }
    address
}

/// Whoever has an address has its network: one customer of a provider has a whole /64 of IPv6 addresses.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (Ipv6Addr::BITS / 2)))),
        address => address,
    }
}

/// Whether the request says that it came through a proxy.
pub fn is_forwarded(headers: &HeaderMap) -> bool {
    FORWARDING.iter().any(|name| headers.contains_key(HeaderName::from_static(name)))
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// An address as proxies write it: bare, or with a port.
fn read(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&'static str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(X_FORWARDED_FOR, line.parse().expect("a header"));
        }
        let trusted = trusted.iter().map(|network| network.parse().expect("a network")).collect::<Vec<_>>();
        client_address(peer.parse().expect("an address"), &headers, &trusted).to_string()
    }

    #[test]
    fn without_trusted_proxies_the_header_decides_nothing() {
        assert_eq!(client("203.0.113.9", &["198.51.100.1"], &[]), "203.0.113.9");
        assert_eq!(client("203.0.113.9", &["198.51.100.1"], &["10.0.0.0/8"]), "203.0.113.9");
    }

    #[test]
    fn through_trusted_proxies_it_is_the_rightmost_that_is_not_one() {
        let trusted = ["10.0.0.0/8", "::1/128"];
        assert_eq!(client("10.0.0.1", &["198.51.100.1"], &trusted), "198.51.100.1");
        assert_eq!(client("::1", &["1.1.1.1, 198.51.100.1, 10.9.9.9"], &trusted), "198.51.100.1", "the left is forged");
        assert_eq!(client("10.0.0.1", &["1.1.1.1", "198.51.100.1"], &trusted), "198.51.100.1", "lines are one list");
        assert_eq!(client("10.0.0.1", &["10.0.0.3, 10.0.0.2"], &trusted), "10.0.0.3");
        assert_eq!(client("10.0.0.1", &[], &trusted), "10.0.0.1");
    }

    #[test]
    fn what_is_not_an_address_ends_the_way_back() {
        let trusted = ["10.0.0.0/8"];
        for broken in ["unknown", "", "1.2.3", "198.51.100.1, _hidden", "é"] {
            assert_eq!(client("10.0.0.1", &[broken], &trusted), "10.0.0.1", "{broken}");
        }
        assert_eq!(client("10.0.0.1", &["198.51.100.1, nonsense, 10.0.0.2"], &trusted), "10.0.0.2");
    }

    #[test]
    fn ports_brackets_and_mapped_addresses_are_understood() {
        let trusted = ["10.0.0.0/8"];
        for (written, expected) in [
            ("198.51.100.1:4711", "198.51.100.1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
        ] {
            assert_eq!(client("::ffff:10.0.0.1", &[written], &trusted), expected, "{written}");
        }
    }

    #[test]
    fn forwarding_headers_are_noticed() {
        let mut headers = HeaderMap::new();
        assert!(!is_forwarded(&headers));
        headers.insert("forwarded", "for=1.1.1.1".parse().expect("a header"));
        assert!(is_forwarded(&headers));
    }
}
