//! The names by which clients reach the fake's own pages. A request with another name in its `Host` header is refused.
//!
//! Without this check, a web site could let its own name point to this machine (DNS rebinding). The pages of that site
//! could then read and change the fake's state.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::http::uri::Authority;

/// The names that a `Host` header may contain, besides those of TikTok Shop's hosts.
#[derive(Clone, Debug)]
pub(crate) struct HostNames {
    listen: IpAddr,
    /// The names in lower case, without a port.
    names: Vec<String>,
    /// The address of the fake in links, without a slash at the end: `http://127.0.0.1:4010`.
    base: String,
}

impl HostNames {
    /// Each of `names` is a host name with or without a port. Links contain the first of these names.
    ///
    /// # Errors
    /// One of `names` is malformed: it is not a host name with or without a port.
    pub(crate) fn new(listen: IpAddr, port: u16, names: &[String]) -> Result<Self, String> {
        let mut parsed = Vec::new();
        for name in names {
            let authority =
                name.parse::<Authority>().ok().filter(|authority| match name.strip_prefix(authority.host()) {
                    Some("") => true,
                    Some(rest) => {
                        rest.strip_prefix(':').and_then(|port| port.parse::<u16>().ok()).is_some_and(|port| port != 0)
                    }
                    None => false,
                });
            parsed.push(authority.ok_or_else(|| format!("{name:?} is not a host name with an optional port"))?);
        }
        let base = match parsed.first() {
            Some(authority) => format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(port)),
            None => on_this_machine(SocketAddr::new(listen, port)).to_string(),
        };
        let names = parsed.iter().map(|authority| authority.host().to_ascii_lowercase()).collect();
        Ok(Self { listen, names, base: format!("http://{base}") })
    }

    /// Returns the address of the fake in links, without a slash at the end.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Tells whether the fake listens on loopback only.
    pub(crate) fn is_loopback_only(&self) -> bool {
        self.listen.is_loopback()
    }

    /// Tells whether `host` names the fake. `host` must be in lower case and have no port. `host` may be any loopback
    /// address. If the fake listens on an address other than loopback, `host` may be any IP address. This is safe,
    /// because a web site can let only a name point to another machine, not an IP address.
    pub(crate) fn contain(&self, host: &str) -> bool {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host == "localhost"
            || self.names.iter().any(|name| name == host)
            || address.is_ok_and(|address| address.is_loopback() || !self.is_loopback_only())
    }
}

/// Returns the address at which a client on this machine reaches a server that listens on `address`. A server that
/// listens on all addresses (`0.0.0.0` or `::`) is reached on loopback.
pub(crate) fn on_this_machine(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(listen: impl Into<IpAddr>, names: &[&str]) -> HostNames {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        HostNames::new(listen.into(), 4010, &names).unwrap()
    }

    #[test]
    fn on_loopback_only_loopback_and_chosen_names_are_accepted() {
        let hosts = on(Ipv4Addr::LOCALHOST, &["Fake.test"]);
        for (host, accepted) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("127.0.0.2", true),
            ("[::1]", true),
            ("fake.test", true),
            ("10.1.2.3", false),
            ("evil.example", false),
        ] {
            assert_eq!(hosts.contain(host), accepted, "{host}");
        }
    }

    #[test]
    fn beyond_loopback_every_ip_address_is_accepted_and_no_other_name() {
        let hosts = on(Ipv4Addr::UNSPECIFIED, &[]);
        for (host, accepted) in [("10.1.2.3", true), ("[fd00::1]", true), ("localhost", true), ("evil.example", false)]
        {
            assert_eq!(hosts.contain(host), accepted, "{host}");
        }
    }

    #[test]
    fn links_use_the_first_name_or_an_address_that_a_browser_can_open() {
        for (hosts, base) in [
            (on(Ipv4Addr::LOCALHOST, &[]), "http://127.0.0.1:4010"),
            (on(Ipv4Addr::UNSPECIFIED, &[]), "http://127.0.0.1:4010"),
            (on(Ipv6Addr::UNSPECIFIED, &[]), "http://[::1]:4010"),
            (on(Ipv6Addr::LOCALHOST, &[]), "http://[::1]:4010"),
            (on(Ipv4Addr::new(127, 0, 0, 2), &[]), "http://127.0.0.2:4010"),
            (on(Ipv4Addr::new(10, 1, 2, 3), &[]), "http://10.1.2.3:4010"),
            (on(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1), &[]), "http://[fd00::1]:4010"),
            (on(Ipv4Addr::UNSPECIFIED, &["localhost:8080", "fake"]), "http://localhost:8080"),
            (on(Ipv4Addr::UNSPECIFIED, &["fake"]), "http://fake:4010"),
        ] {
            assert_eq!(hosts.base(), base);
        }
    }

    #[test]
    fn a_name_with_anything_but_a_port_is_refused() {
        for name in ["", "http://fake", "fake/", "a b", "user@fake", "fake:", "fake:0", "fake:99999"] {
            let error = HostNames::new(Ipv4Addr::LOCALHOST.into(), 1, &[name.to_owned()]).unwrap_err();
            assert_eq!(error, format!("{name:?} is not a host name with an optional port"));
        }
    }
}
