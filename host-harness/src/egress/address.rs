//! Layer 2: which addresses may be connected to. Special-purpose blocks after the IANA registries of RFC 6890.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether the address is one of the public internet.
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
            | (169, 254, _)            // link-local, the cloud's metadata among it
            | (172, 16..=31, _)        // private
            | (192, 0, 0 | 2)          // protocol assignments, documentation
            | (192, 88, 99)            // former 6to4 relays
            | (192, 168, _)            // private
            | (198, 18..=19, _)        // benchmarks
            | (198, 51, 100)           // documentation
            | (203, 0, 113)            // documentation
            | (224.., _, _) // multicast, reserved, broadcast
    )
}

/// Only global unicast, 2000::/3. That leaves out loopback, unspecified, mapped and compatible IPv4, the translation
/// prefixes 64:ff9b::/96 and 64:ff9b:1::/48, unique local, link-local, site-local and multicast. In a network that reaches
/// IPv4 by NAT64 alone, the host needs a resolver that answers with IPv4 addresses.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    matches!(a, 0x2000..=0x3fff)
        && !matches!(
            (a, b),
            (0x2001, 0..=0x1ff)        // protocol assignments, Teredo (embeds IPv4), ORCHID
                | (0x2001, 0xdb8)      // documentation
                | (0x2002, _)          // 6to4, embeds IPv4
                | (0x3fff, 0..=0xfff) // documentation
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_pass() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.0.1",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2606:4700::1111",
            "2a00:1450:4001:80b::200e",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn everything_special_is_dropped() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:1.1.1.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff:fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }
}
