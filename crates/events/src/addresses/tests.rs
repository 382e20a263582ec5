use super::*;

fn policy(allowed: &[&str], plain: bool) -> AddressPolicy {
    AddressPolicy { allowed: allowed.iter().map(|text| text.parse().unwrap()).collect(), plain }
}

fn check(policy: &AddressPolicy, address: &str) -> Result<(), Refused> {
    policy.check(address.parse().unwrap_or_else(|_| panic!("{address}")))
}

/// Each network's ends, and what kind it is told to be.
const REFUSED: &[(&str, &str)] = &[
    ("0.0.0.0", "unspecified"),
    ("0.255.255.255", "unspecified"),
    ("10.0.0.0", "private"),
    ("10.255.255.255", "private"),
    ("100.64.0.0", "6598"),
    ("100.127.255.255", "6598"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.255", "loopback"),
    ("169.254.0.0", "link-local"),
    ("169.254.169.254", "link-local"),
    ("169.254.255.255", "link-local"),
    ("172.16.0.0", "private"),
    ("172.31.255.255", "private"),
    ("192.0.0.1", "protocols"),
    ("192.0.0.170", "protocols"),
    ("192.0.2.1", "documentation"),
    ("192.88.99.1", "6to4"),
    ("192.168.0.0", "private"),
    ("192.168.255.255", "private"),
    ("198.18.0.0", "benchmarks"),
    ("198.19.255.255", "benchmarks"),
    ("198.51.100.7", "documentation"),
    ("203.0.113.7", "documentation"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.254", "reserved"),
    ("255.255.255.255", "broadcast"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::2", "reserved"),
    ("::127.0.0.1", "reserved"),
    ("::ffff:127.0.0.1", "loopback"),
    ("::ffff:10.1.2.3", "private"),
    ("::ffff:169.254.169.254", "link-local"),
    ("::ffff:0.0.0.0", "unspecified"),
    ("::ffff:0:127.0.0.1", "reserved"),
    ("64:ff9b::127.0.0.1", "loopback"),
    ("64:ff9b::10.0.0.1", "private"),
    ("64:ff9b::169.254.169.254", "link-local"),
    ("64:ff9b::0.0.0.0", "unspecified"),
    ("64:ff9b:1::8.8.8.8", "NAT64"),
    ("100::1", "reserved"),
    ("2001::1", "Teredo"),
    ("2001:0:7f00:1::", "Teredo"),
    ("2001:2::1", "protocols"),
    ("2001:10::1", "protocols"),
    ("2001:1ff:ffff::1", "protocols"),
    ("2001:db8::1", "documentation"),
    ("2002:7f00:1::1", "6to4"),
    ("2002:808:808::1", "6to4"),
    ("3fff::1", "documentation"),
    ("5f00::1", "reserved"),
    ("fc00::1", "4193"),
    ("fdff:ffff::1", "4193"),
    ("fd00:ec2::254", "4193"),
    ("fe80::1", "link-local"),
    ("febf::1", "link-local"),
    ("fec0::1", "site-local"),
    ("ff02::1", "multicast"),
    ("ffff::1", "multicast"),
];

/// The neighbours of those networks: the public internet begins where they end.
const PUBLIC: &[&str] = &[
    "1.0.0.0",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.0.3.0",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "203.0.114.0",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2000::1",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2606:4700::1111",
    "2a00::1",
    "3ffe::1",
];

#[test]
fn by_default_the_public_internet_alone() {
    let default = policy(&[], false);
    for (address, kind) in REFUSED {
        let reason = check(&default, address).expect_err(address);
        assert!(reason.0.contains(kind), "{address} is told to be {reason}");
    }
    for address in PUBLIC {
        assert_eq!(check(&default, address), Ok(()), "{address}");
    }
}

#[test]
fn an_allowed_network_opens_itself_and_nothing_else() {
    let house = policy(&["10.20.0.0/16", "fd12::/16"], false);
    for address in ["10.20.0.1", "10.20.255.255", "::ffff:10.20.0.1", "fd12::1", "8.8.8.8"] {
        assert_eq!(check(&house, address), Ok(()), "{address}");
    }
    for address in ["10.21.0.1", "127.0.0.1", "169.254.169.254", "fd13::1", "64:ff9b::10.20.0.1", "2002:a14:1::1"] {
        assert!(check(&house, address).is_err(), "{address}");
    }
}

#[test]
fn plain_http_goes_to_allowed_networks_alone() {
    let house = policy(&["10.20.0.0/16"], true);
    assert_eq!(check(&house, "10.20.0.1"), Ok(()));
    for address in PUBLIC {
        assert!(check(&house, address).is_err(), "{address}");
    }
}

#[test]
fn where_no_receiver_can_be_nothing_is_allowed() {
    let everything = policy(&["0.0.0.0/0", "::/0"], false);
    for (address, kind) in REFUSED {
        let never = ["unspecified", "multicast", "broadcast"].contains(kind) && !address.starts_with("64:");
        assert_eq!(check(&everything, address).is_err(), never, "{address}");
    }
}
