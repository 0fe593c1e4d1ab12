//! Which destinations are refused: addresses, and the spellings of addresses in URLs.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bugle_core::{Blocked, DestinationPolicy, EmitterConfig};
use ipnet::IpNet;
use proptest::prelude::*;
use url::Url;

/// Refused addresses, and a word of what each is.
const REFUSED: &[(&str, &str)] = &[
    // IPv4: the first and the last of each network, and well-known ones.
    ("0.0.0.0", "unspecified"),
    ("0.0.0.1", "this network"),
    ("0.255.255.255", "this network"),
    ("10.0.0.0", "private"),
    ("10.1.2.3", "private"),
    ("10.255.255.255", "private"),
    ("100.64.0.0", "shared"),
    ("100.127.255.255", "shared"),
    ("100.100.100.200", "metadata"),
    ("127.0.0.0", "loopback"),
    ("127.0.0.1", "loopback"),
    ("127.0.0.53", "loopback"),
    ("127.255.255.255", "loopback"),
    ("168.63.129.16", "metadata"),
    ("169.254.0.0", "link-local"),
    ("169.254.169.253", "link-local"),
    ("169.254.169.254", "metadata"),
    ("169.254.170.2", "link-local"),
    ("169.254.255.255", "link-local"),
    ("172.16.0.0", "private"),
    ("172.17.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.0.0.0", "protocol assignments"),
    ("192.0.0.8", "protocol assignments"),
    ("192.0.0.170", "protocol assignments"),
    ("192.0.0.192", "protocol assignments"),
    ("192.0.0.255", "protocol assignments"),
    ("192.0.2.0", "documentation"),
    ("192.0.2.255", "documentation"),
    ("192.88.99.1", "6to4 relay"),
    ("192.168.0.0", "private"),
    ("192.168.1.1", "private"),
    ("192.168.255.255", "private"),
    ("198.18.0.0", "benchmarking"),
    ("198.19.255.255", "benchmarking"),
    ("198.51.100.7", "documentation"),
    ("203.0.113.255", "documentation"),
    ("224.0.0.0", "multicast"),
    ("224.0.0.251", "multicast"),
    ("239.255.255.255", "multicast"),
    ("240.0.0.0", "reserved"),
    ("254.1.2.3", "reserved"),
    ("255.255.255.254", "reserved"),
    ("255.255.255.255", "broadcast"),
    // IPv6.
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::2", "IPv4-compatible"),
    ("fc00::", "unique local"),
    ("fd00::1", "unique local"),
    ("fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "unique local"),
    ("fd00:ec2::254", "metadata"),
    ("fd20:ce::254", "metadata"),
    ("fe80::", "link-local"),
    ("fe80::1", "link-local"),
    ("febf:ffff::1", "link-local"),
    ("fec0::1", "site-local"),
    ("feff:ffff::1", "site-local"),
    ("fe00::1", "reserved"),
    ("ff00::", "multicast"),
    ("ff02::1", "multicast"),
    ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast"),
    ("100::", "discard"),
    ("100::ffff:ffff:ffff:ffff", "discard"),
    ("100:0:0:1::1", "dummy"),
    ("100:0:0:2::1", "reserved"),
    ("200::1", "NSAP"),
    ("400::1", "reserved"),
    ("1fff:ffff::1", "reserved"),
    ("4000::1", "reserved"),
    ("5f00::1", "segment-routing"),
    ("8000::1", "reserved"),
    ("f000::1", "reserved"),
    ("2001::1", "Teredo"),
    ("2001:1::1", "protocol assignments"),
    ("2001:2::1", "benchmarking"),
    ("2001:10::1", "protocol assignments"),
    ("2001:20::1", "protocol assignments"),
    ("2001:1ff:ffff::1", "protocol assignments"),
    ("2001:db8::1", "documentation"),
    ("2001:db8:ffff:ffff::1", "documentation"),
    ("3fff::1", "documentation"),
    ("3fff:fff:ffff::1", "documentation"),
    // IPv6 that wraps IPv4: mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP.
    ("::ffff:127.0.0.1", "wraps 127.0.0.1, a loopback"),
    ("::ffff:7f00:1", "wraps 127.0.0.1, a loopback"),
    ("::ffff:0.0.0.0", "wraps 0.0.0.0, the unspecified"),
    ("::ffff:10.0.0.1", "wraps 10.0.0.1, a private"),
    ("::ffff:169.254.169.254", "wraps 169.254.169.254, a cloud's metadata"),
    ("::ffff:100.64.0.1", "shared"),
    ("::ffff:255.255.255.255", "broadcast"),
    ("::127.0.0.1", "IPv4-compatible"),
    ("::8.8.8.8", "IPv4-compatible"),
    ("::ffff:0:127.0.0.1", "IPv4-translated"),
    ("::ffff:0:8.8.8.8", "IPv4-translated"),
    ("64:ff9b::127.0.0.1", "wraps 127.0.0.1, a loopback"),
    ("64:ff9b::a9fe:a9fe", "wraps 169.254.169.254, a cloud's metadata"),
    ("64:ff9b::192.168.1.1", "wraps 192.168.1.1, a private"),
    ("64:ff9b::0:0:1:7f00:1", "reserved"),
    ("64:ff9b:1::127.0.0.1", "local NAT64"),
    ("64:ff9b:1::8.8.8.8", "local NAT64"),
    ("64:ff9b:1:fffe::a00:1", "local NAT64"),
    ("64:ff9b:2::8.8.8.8", "reserved"),
    ("2002:7f00:1::", "wraps 127.0.0.1, a loopback"),
    ("2002:7f00:1::1", "wraps 127.0.0.1, a loopback"),
    ("2002:a00:1:1:2:3:4:5", "wraps 10.0.0.1, a private"),
    ("2002:a9fe:a9fe::", "wraps 169.254.169.254"),
    ("2002:c0a8:101::c0a8:101", "wraps 192.168.1.1, a private"),
    // The client of a Teredo address is written with all its bits turned: 127.0.0.1.
    ("2001:0:4136:e378:8000:63bf:80ff:fffe", "Teredo"),
    ("2001:0:a00:1:8000:63bf:f7f7:f7f7", "Teredo"),
    ("2606:4700::5efe:10.0.0.1", "wraps 10.0.0.1, a private"),
    ("2606:4700::200:5efe:127.0.0.1", "wraps 127.0.0.1, a loopback"),
    ("fe80::5efe:8.8.8.8", "link-local"),
    ("2002:808:808::5efe:192.168.0.1", "wraps 192.168.0.1, a private"),
];

/// Public addresses: neighbours of the refused networks, and well-known ones.
const PUBLIC: &[&str] = &[
    "1.0.0.0",
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "93.184.215.14",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.3.0",
    "192.31.196.1",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "198.51.101.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "2000::1",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2001:db7:ffff::1",
    "2001:db9::1",
    "2003::1",
    "2606:4700:4700::1111",
    "2620:fe::fe",
    "2a00:1450:4001:830::200e",
    "3ffe:ffff::1",
    "3fff:1000::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
    "2606:4700::5efe:8.8.8.8",
    "2606:4700::5eff:10.0.0.1",
];

/// Hosts of URLs that are refused addresses in disguise.
const REFUSED_HOSTS: &[(&str, &str)] = &[
    ("127.0.0.1", "127.0.0.1"),
    ("127.1", "127.0.0.1"),
    ("127.0.1", "127.0.0.1"),
    ("0x7f.1", "127.0.0.1"),
    ("0x7f.0.0.0x1", "127.0.0.1"),
    ("0x7f000001", "127.0.0.1"),
    ("0X7F000001", "127.0.0.1"),
    ("2130706433", "127.0.0.1"),
    ("0177.0.0.1", "127.0.0.1"),
    ("0177.0.0.01", "127.0.0.1"),
    ("017700000001", "127.0.0.1"),
    ("127.0.0.1.", "127.0.0.1"),
    ("%31%32%37.0.0.1", "127.0.0.1"),
    ("127%2e0%2e0%2e1", "127.0.0.1"),
    ("１２７.０.０.１", "127.0.0.1"),
    ("①②⑦.⓪.⓪.①", "127.0.0.1"),
    ("127。0。0。1", "127.0.0.1"),
    ("0", "0.0.0.0"),
    ("0.0", "0.0.0.0"),
    ("0x0", "0.0.0.0"),
    ("10.1", "10.0.0.1"),
    ("012.1", "10.0.0.1"),
    ("192.168.257", "192.168.1.1"),
    ("3232235777", "192.168.1.1"),
    ("0xa9fea9fe", "169.254.169.254"),
    ("2852039166", "169.254.169.254"),
    ("0251.0376.0251.0376", "169.254.169.254"),
    ("4294967295", "255.255.255.255"),
    ("[::]", "::"),
    ("[::1]", "::1"),
    ("[0:0:0:0:0:0:0:1]", "::1"),
    ("[0000:0000:0000:0000:0000:0000:0000:0001]", "::1"),
    ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1"),
    ("[::FFFF:7F00:0001]", "::ffff:127.0.0.1"),
    ("[0:0:0:0:0:ffff:127.0.0.1]", "::ffff:127.0.0.1"),
    ("[::127.0.0.1]", "::7f00:1"),
    ("[64:ff9b::127.0.0.1]", "64:ff9b::7f00:1"),
    ("[2002:7f00:0001::]", "2002:7f00:1::"),
    ("[fd00:ec2::254]", "fd00:ec2::254"),
    ("[fe80::1]", "fe80::1"),
];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} is an address"))
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn allowing(networks: &[&str]) -> DestinationPolicy {
    DestinationPolicy::default().allow(networks.iter().map(|text| net(text)))
}

#[test]
fn what_is_not_public_is_refused() {
    let policy = DestinationPolicy::default();
    for (text, words) in REFUSED {
        let address = ip(text);
        let blocked = policy.check(address).expect_err(text);
        assert_eq!(blocked.address, address);
        let shown = blocked.to_string();
        assert!(shown.contains(words), "{text}: {shown}");
        // The advice of the text helps.
        let network = shown.split('"').nth(1).unwrap();
        assert!(
            shown.contains(&format!("allow_destinations([\"{network}\".parse()?])")),
            "{shown}"
        );
        assert!(shown.contains("allow_private_destinations()"), "{shown}");
        assert_eq!(allowing(&[network]).check(address), Ok(()), "{shown}");
        assert_eq!(policy.clone().allow_private().check(address), Ok(()));
    }
}

#[test]
fn what_is_public_passes() {
    for text in PUBLIC {
        assert_eq!(DestinationPolicy::default().check(ip(text)), Ok(()), "{text}");
    }
}

#[test]
fn the_tables_are_long_enough() {
    assert!(REFUSED.len() >= 100);
    assert!(REFUSED.len() + REFUSED_HOSTS.len() >= 140);
    assert!(PUBLIC.len() >= 40);
}

#[test]
fn odd_spellings_in_urls() {
    let policy = DestinationPolicy::default();
    for (host, address) in REFUSED_HOSTS {
        for url in [format!("http://{host}/hooks"), format!("https://{host}:8443")] {
            // As an emitter's configuration reads it.
            let url = EmitterConfig::new(&url).unwrap_or_else(|error| panic!("{url}: {error}")).url;
            let blocked = policy.check_url(&url).expect_err(host);
            assert_eq!(blocked.address, ip(address), "{host}");
        }
    }
    for host in ["example.com", "localhost", "8.8.8.8", "0x08080808", "[2606:4700:4700::1111]"] {
        let url = Url::parse(&format!("https://{host}")).unwrap();
        assert_eq!(policy.check_url(&url), Ok(()), "{host}");
    }
}

#[test]
fn allowed_networks() {
    // Networks, an address, and whether it may be connected to.
    let table: &[(&[&str], &str, bool)] = &[
        (&["10.0.0.0/8"], "10.1.2.3", true),
        (&["10.0.0.0/8"], "11.0.0.1", true),
        (&["10.0.0.0/8"], "127.0.0.1", false),
        (&["10.1.0.0/16"], "10.2.0.1", false),
        (&["10.1.2.3/32", "::1/128"], "::1", true),
        (&["127.0.0.0/8"], "::1", false),
        (&["::1/128"], "127.0.0.1", false),
        (&["0.0.0.0/0"], "169.254.169.254", true),
        (&["0.0.0.0/0"], "fd00::1", false),
        (&["::/0"], "fd00::1", true),
        (&["::/0"], "127.0.0.1", false),
        (&["::/0"], "::ffff:127.0.0.1", false),
        // The mapped form is the same address; other wrappings are not.
        (&["10.0.0.0/8"], "::ffff:10.1.2.3", true),
        (&["10.0.0.0/8"], "::10.1.2.3", false),
        (&["10.0.0.0/8"], "::ffff:0:10.1.2.3", false),
        (&["10.0.0.0/8"], "64:ff9b::10.1.2.3", false),
        (&["10.0.0.0/8"], "2002:a01:203::1", false),
        (&["10.0.0.0/8"], "2606:4700::5efe:10.1.2.3", false),
        (&["64:ff9b::a00:0/104"], "64:ff9b::10.1.2.3", true),
        (&["64:ff9b::a00:0/104"], "64:ff9b::192.168.1.1", false),
        (&["::ffff:10.0.0.0/104"], "10.1.2.3", true),
        (&["::ffff:10.0.0.0/104"], "::ffff:10.1.2.3", true),
        (&["::ffff:10.0.0.0/104"], "192.168.1.1", false),
        (&["::ffff:10.1.2.3/128"], "10.1.2.3", true),
    ];
    for (networks, text, allowed) in table {
        let found = allowing(networks).check(ip(text));
        assert_eq!(found.is_ok(), *allowed, "{networks:?} {text}: {found:?}");
    }
    let both = allowing(&["10.0.0.0/8"]).allow([net("127.0.0.0/8")]);
    assert_eq!(both.check(ip("10.0.0.1")).and(both.check(ip("127.0.0.1"))), Ok(()));
}

/// The very tokens that a refusal shows are compiled here.
#[test]
fn what_a_refusal_advises_compiles() -> Result<(), Box<dyn std::error::Error>> {
    macro_rules! advised {
        ($config:expr, $($call:tt)+) => {
            ($config.$($call)+, stringify!($($call)+))
        };
    }
    let address = ip("127.0.0.1");
    let config = || EmitterConfig::new("http://127.0.0.1/");
    let refusal = config()?.destinations.check(address).unwrap_err().to_string();
    for (config, code) in [
        advised!(config()?, allow_destinations(["127.0.0.1/32".parse()?])),
        advised!(config()?, allow_private_destinations()),
    ] {
        assert!(refusal.contains(code), "{refusal} has not {code}");
        assert_eq!(config.destinations.check(address), Ok(()));
    }
    Ok(())
}

#[test]
fn a_refusal_reads_well() {
    let shown = |text: &str| {
        let blocked: Blocked = DestinationPolicy::default().check(ip(text)).unwrap_err();
        blocked.to_string()
    };
    assert_eq!(
        shown("127.0.0.1"),
        "127.0.0.1 is a loopback address, and webhooks go to public addresses; \
         allow_destinations([\"127.0.0.1/32\".parse()?]) allows it, \
         allow_private_destinations() allows all"
    );
    assert_eq!(
        shown("::ffff:10.0.0.1"),
        "::ffff:10.0.0.1 wraps 10.0.0.1, a private address, and webhooks go to public addresses; \
         allow_destinations([\"::ffff:10.0.0.1/128\".parse()?]) allows it, \
         allow_private_destinations() allows all"
    );
}

proptest! {
    #[test]
    fn no_wrapping_hides_an_address(bits: u32, rest: u64) {
        let inner = Ipv4Addr::from(bits);
        let refused = DestinationPolicy::default().check(inner.into()).is_err();
        let check = |bits: u128| DestinationPolicy::default().check(Ipv6Addr::from(bits).into());
        let (v4, tail) = (u128::from(bits), u128::from(rest));
        // These are as public as what they wrap.
        for wrapping in [
            0xffff << 32 | v4,
            0x0064_ff9b << 96 | v4,
            0x2002 << 112 | v4 << 80 | tail & 0xffff,
            0x2606_4700_u128 << 96 | 0x5efe << 32 | v4,
            0x2606_4700_u128 << 96 | 0x0200_5efe << 32 | v4,
        ] {
            prop_assert_eq!(check(wrapping).is_err(), refused, "{}", Ipv6Addr::from(wrapping));
        }
        // And these never are.
        for wrapping in [
            v4,
            0xffff << 48 | v4,
            0x0064_ff9b_0001 << 80 | v4,
            0x2001_u128 << 112 | v4 << 64 | tail,
            0x2001_u128 << 112 | tail << 32 | v4 ^ 0xffff_ffff,
        ] {
            prop_assert!(check(wrapping).is_err(), "{}", Ipv6Addr::from(wrapping));
        }
    }

    #[test]
    fn outside_of_global_unicast_all_is_refused(bits: u128) {
        let global = bits >> 125 == 0b001;
        let address = IpAddr::V6(Ipv6Addr::from(bits));
        prop_assert!(global || DestinationPolicy::default().check(address).is_err());
    }
}
