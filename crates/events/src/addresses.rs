//! To which addresses a webhook may go.
//!
//! Owns the table of addresses that are not the public internet, and the resolver that hands only checked addresses to
//! the HTTP client. The client connects to exactly what the resolver returned, so between check and connection there
//! is no second look-up whose answer could differ (DNS rebinding). Leaves to `webhook.rs` what a refusal means.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// What one webhook may connect to.
#[derive(Clone, Debug)]
pub(crate) struct AddressPolicy {
    /// Private networks that the operator named.
    pub(crate) allowed: Vec<IpNet>,
    /// The URL is `http://`: then nothing but the allowed networks, so that no event crosses the internet in clear.
    pub(crate) plain: bool,
}

/// Why an address was refused, in words that hold no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) &'static str);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Refused {}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

/// No receiver of one webhook can be there: refused even where the operator allowed everything.
const NEVER_V4: [(Ipv4Net, &str); 3] = [
    (v4(0, 0, 0, 0, 8), "the unspecified address"),
    (v4(224, 0, 0, 0, 4), "a multicast address"),
    (v4(255, 255, 255, 255, 32), "the broadcast address"),
];

/// IANA's special-purpose addresses (RFC 6890 and its registry) that are not the public internet.
const RESERVED_V4: [(Ipv4Net, &str); 13] = [
    (v4(127, 0, 0, 0, 8), "a loopback address"),
    (v4(10, 0, 0, 0, 8), "a private address"),
    (v4(172, 16, 0, 0, 12), "a private address"),
    (v4(192, 168, 0, 0, 16), "a private address"),
    (v4(100, 64, 0, 0, 10), "an address shared by a carrier (RFC 6598)"),
    (v4(169, 254, 0, 0, 16), "a link-local address"),
    (v4(192, 0, 0, 0, 24), "an address reserved for protocols"),
    (v4(192, 0, 2, 0, 24), "an address for documentation"),
    (v4(198, 51, 100, 0, 24), "an address for documentation"),
    (v4(203, 0, 113, 0, 24), "an address for documentation"),
    (v4(192, 88, 99, 0, 24), "a 6to4 relay"),
    (v4(198, 18, 0, 0, 15), "an address for benchmarks"),
    (v4(240, 0, 0, 0, 4), "a reserved address"),
];

/// Public IPv6 is 2000::/3 without these. The words for what lies outside it come first.
const RESERVED_V6: [(Ipv6Net, &str); 10] = [
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), "a loopback address"),
    (v6(0xfe80, 0, 0, 10), "a link-local address"),
    (v6(0xfc00, 0, 0, 7), "a private address (RFC 4193)"),
    (v6(0xfec0, 0, 0, 10), "a site-local address"),
    (v6(0x64, 0xff9b, 1, 48), "a local NAT64 address"),
    // Both carry an IPv4 address inside, which a gateway would unpack after the check. Both are long deprecated.
    (v6(0x2002, 0, 0, 16), "a 6to4 address"),
    (v6(0x2001, 0, 0, 32), "a Teredo address"),
    (v6(0x2001, 0, 0, 23), "an address reserved for protocols"),
    (v6(0x2001, 0xdb8, 0, 32), "an address for documentation"),
    (v6(0x3fff, 0, 0, 20), "an address for documentation"),
];

const PUBLIC_V6: Ipv6Net = v6(0x2000, 0, 0, 3);
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 96);

impl AddressPolicy {
    /// Whether one address may be connected to.
    pub(crate) fn check(&self, address: IpAddr) -> Result<(), Refused> {
        // ::ffff:127.0.0.1 connects to 127.0.0.1: it is judged, and allowed, as that.
        let address = address.to_canonical();
        if let Some(reason) = never(address) {
            return Err(Refused(reason));
        }
        if self.allowed.iter().any(|network| network.contains(&address)) {
            return Ok(());
        }
        match reserved(address) {
            Some(reason) => Err(Refused(reason)),
            None if self.plain => Err(Refused("a public address, and http:// is for allowed private networks alone")),
            None => Ok(()),
        }
    }
}

fn never(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => look_up_v4(&NEVER_V4, address),
        IpAddr::V6(address) if address.is_unspecified() => Some("the unspecified address"),
        IpAddr::V6(address) if address.is_multicast() => Some("a multicast address"),
        IpAddr::V6(_) => None,
    }
}

fn reserved(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => look_up_v4(&RESERVED_V4, address),
        // Where a network has IPv6 alone, public IPv4 is reached through this prefix: what is inside decides.
        IpAddr::V6(address) if NAT64.contains(&address) => {
            let [.., a, b, c, d] = address.octets();
            let inside = Ipv4Addr::new(a, b, c, d);
            look_up_v4(&NEVER_V4, inside).or_else(|| look_up_v4(&RESERVED_V4, inside))
        }
        IpAddr::V6(address) => RESERVED_V6
            .iter()
            .find(|(network, _)| network.contains(&address))
            .map(|(_, reason)| *reason)
            .or_else(|| (!PUBLIC_V6.contains(&address)).then_some("a reserved address")),
    }
}

fn look_up_v4(table: &[(Ipv4Net, &'static str)], address: Ipv4Addr) -> Option<&'static str> {
    table.iter().find(|(network, _)| network.contains(&address)).map(|(_, reason)| *reason)
}

/// Resolves with `inner` and returns only addresses that the policy lets pass.
#[derive(Debug)]
pub(crate) struct CheckedResolver<R> {
    pub(crate) inner: R,
    pub(crate) policy: AddressPolicy,
}

impl<R: Resolver> Resolver for CheckedResolver<R> {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut checked = self.empty();
        let mut refused = None;
        let found = self.inner.resolve(uri, config, timeout).map_err(|error| match error {
            // The system's resolver tells of a name that it does not know as an error of input and output.
            ureq::Error::Io(_) => ureq::Error::HostNotFound,
            other => other,
        })?;
        for address in &found {
            match self.policy.check(address.ip()) {
                Ok(()) => checked.push(*address),
                Err(reason) => refused = Some(reason),
            }
        }
        match refused {
            // A name with a public and a private address: the public one is as good as without the other.
            _ if !checked.is_empty() => Ok(checked),
            Some(reason) => Err(ureq::Error::Other(Box::new(reason))),
            None => Err(ureq::Error::HostNotFound),
        }
    }
}

#[cfg(test)]
mod tests;
