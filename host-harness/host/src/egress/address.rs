//! Decides to which addresses the host may connect. This is the second check of the egress.
//!
//! The blocks of addresses come from the IANA special-purpose registries of RFC 6890, as of 2026. The check refuses
//! multicast, every block that the registries do not call globally reachable, and globally reachable blocks in which no
//! service has an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns true if the address belongs to the public internet.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127, _, _)           // this network, private, loopback
            | (100, 64..=127, _)       // shared by carriers (RFC 6598)
            | (169, 254, _)            // link-local, with the metadata service of clouds
            | (172, 16..=31, _)        // private
            | (192, 0, 0 | 2)          // protocol assignments, documentation
            | (192, 31, 196)           // AS112, which answers reverse lookups of private addresses (RFC 7535)
            | (192, 52, 193)           // tunnels for multicast (RFC 7450)
            | (192, 88, 99)            // former 6to4 relays
            | (192, 168, _)            // private
            | (192, 175, 48)           // AS112 (RFC 7534)
            | (198, 18..=19, _)        // benchmarks
            | (198, 51, 100)           // documentation
            | (203, 0, 113)            // documentation
            | (224.., _, _) // multicast, reserved, broadcast
    )
}

/// Returns true if the address is a global unicast address (2000::/3) outside the special blocks below. So these
/// addresses are refused: loopback, unspecified, IPv4-mapped, IPv4-compatible, discard-only, segment routing, unique
/// local, link-local, site-local, multicast, and the translation prefixes 64:ff9b::/96 and 64:ff9b:1::/48. In a network
/// that reaches IPv4 only by NAT64, the host needs a resolver that returns IPv4 addresses.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, ..] = address.segments();
    matches!(a, 0x2000..=0x3fff)
        && !matches!(
            (a, b, c),
            (0x2001, 0..=0x1ff, _)       // protocol assignments, Teredo (embeds IPv4), ORCHID, AS112
                | (0x2001, 0xdb8, _)     // documentation
                | (0x2002, _, _)         // 6to4, embeds IPv4
                | (0x2620, 0x4f, 0x8000) // AS112
                | (0x3fff, 0..=0xfff, _) // documentation
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn public_addresses_are_allowed() {
        for address in ["1.1.1.1", "8.8.8.8", "23.45.67.89", "2606:4700::1111", "2a00:1450:4001:80b::200e"] {
            assert!(is_public(parsed(address)), "{address}");
        }
    }

    /// Checks the first and the last address of each block, and the public addresses directly before and after it.
    #[test]
    fn special_blocks_are_refused_from_the_first_to_the_last_address() {
        for (before, first, last, after) in [
            (None, "0.0.0.0", "0.255.255.255", Some("1.0.0.0")),
            (Some("9.255.255.255"), "10.0.0.0", "10.255.255.255", Some("11.0.0.0")),
            (Some("100.63.255.255"), "100.64.0.0", "100.127.255.255", Some("100.128.0.0")),
            (Some("126.255.255.255"), "127.0.0.0", "127.255.255.255", Some("128.0.0.0")),
            (Some("169.253.255.255"), "169.254.0.0", "169.254.255.255", Some("169.255.0.0")),
            (Some("172.15.255.255"), "172.16.0.0", "172.31.255.255", Some("172.32.0.0")),
            (Some("191.255.255.255"), "192.0.0.0", "192.0.0.255", Some("192.0.1.0")),
            (Some("192.0.1.255"), "192.0.2.0", "192.0.2.255", Some("192.0.3.0")),
            (Some("192.31.195.255"), "192.31.196.0", "192.31.196.255", Some("192.31.197.0")),
            (Some("192.52.192.255"), "192.52.193.0", "192.52.193.255", Some("192.52.194.0")),
            (Some("192.88.98.255"), "192.88.99.0", "192.88.99.255", Some("192.88.100.0")),
            (Some("192.167.255.255"), "192.168.0.0", "192.168.255.255", Some("192.169.0.0")),
            (Some("192.175.47.255"), "192.175.48.0", "192.175.48.255", Some("192.175.49.0")),
            (Some("198.17.255.255"), "198.18.0.0", "198.19.255.255", Some("198.20.0.0")),
            (Some("198.51.99.255"), "198.51.100.0", "198.51.100.255", Some("198.51.101.0")),
            (Some("203.0.112.255"), "203.0.113.0", "203.0.113.255", Some("203.0.114.0")),
            // Multicast, reserved, broadcast.
            (Some("223.255.255.255"), "224.0.0.0", "255.255.255.255", None),
            // Everything below global unicast.
            (None, "::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some("2000::")),
            (Some("2000:ffff::"), "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", Some("2001:200::")),
            (Some("2001:db7::"), "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", Some("2001:db9::")),
            (Some("2001:ffff::"), "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some("2003::")),
            (Some("2620:4f:7fff::"), "2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", Some("2620:4f:8001::")),
            (Some("3ffe:ffff::"), "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", Some("3fff:1000::")),
            (Some("3fff:ffff::"), "4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None),
        ] {
            for special in [first, last] {
                assert!(!is_public(parsed(special)), "{special}");
            }
            for public in before.iter().chain(&after) {
                assert!(is_public(parsed(public)), "{public}");
            }
        }
    }

    /// Tries addresses that an attacker would like to reach. All of these addresses are in special blocks.
    #[test]
    fn addresses_of_the_machine_and_its_network_are_refused_in_every_notation() {
        for address in [
            "127.0.0.1",
            "169.254.169.254",
            "100.100.100.200",
            "192.0.0.192",
            "255.255.255.255",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:1.1.1.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::10.0.0.1",
            "100::1",
            "100:0:0:1::1",
            "2001:0:7f00:1::1",
            "2001:2::1",
            "2001:20::1",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(parsed(address)), "{address}");
        }
    }
}
