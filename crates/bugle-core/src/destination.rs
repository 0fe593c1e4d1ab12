//! The addresses that may be connected to.
//!
//! Whoever may set an emitter's URL could make this service send requests into its own network. So
//! an address is refused unless it is public: one that IANA's registries call globally reachable.
//!
//! - IPv4: <https://www.iana.org/assignments/iana-ipv4-special-registry>
//! - IPv6: <https://www.iana.org/assignments/iana-ipv6-special-registry>, and outside of it what
//!   <https://www.iana.org/assignments/ipv6-address-space> gives to global unicast.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

/// Decides which addresses may be connected to: by default, public ones alone.
///
/// It refuses loopback, private, link-local, shared, multicast, broadcast, reserved, documentation,
/// benchmarking and cloud metadata addresses, and IPv6 addresses that wrap such an IPv4 address. It
/// is asked about every address that is about to be connected to, after the name was resolved, so
/// that a name that changes its mind gains nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DestinationPolicy {
    pub(crate) allowed: Vec<IpNet>,
    pub(crate) all: bool,
}

/// An address that may not be connected to. Its text names it, and says why it is refused, and
/// which setting allows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Blocked {
    /// The address that was refused.
    pub address: IpAddr,
    /// The kind of address that it is, as `a loopback address`.
    pub kind: &'static str,
    /// The IPv4 address in it that is of this kind, where it wraps one.
    pub wraps: Option<Ipv4Addr>,
}

impl DestinationPolicy {
    /// Allows the addresses in these networks too.
    ///
    /// An IPv4 network allows its addresses also in their IPv4-mapped form (`::ffff:10.0.0.1`),
    /// which connects to the very same host. In every other wrapping the way there is a gateway's
    /// choice, so these are allowed by an IPv6 network alone (`64:ff9b::a00:0/104`).
    #[must_use]
    pub fn allow(mut self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        self.allowed.extend(networks.into_iter().map(unmapped));
        self
    }

    /// Allows every address.
    #[must_use]
    pub fn allow_private(mut self) -> Self {
        self.all = true;
        self
    }

    /// Checks one address.
    ///
    /// # Errors
    /// [`Blocked`] when it is not public and was not allowed.
    pub fn check(&self, address: IpAddr) -> Result<(), Blocked> {
        if self.all {
            return Ok(());
        }
        let canonical = address.to_canonical();
        if self.allowed.iter().any(|network| network.contains(&canonical)) {
            return Ok(());
        }
        let found = match address {
            IpAddr::V4(address) => kind_of_v4(address).map(|kind| (kind, None)),
            IpAddr::V6(address) => kind_of_v6(address),
        };
        found.map_or(Ok(()), |(kind, wraps)| Err(Blocked { address, kind, wraps }))
    }

    /// Checks the host of a URL if it is an address, in whatever spelling: `0x7f.1` and
    /// `2130706433` are 127.0.0.1. A name passes: its addresses are checked when it is resolved.
    ///
    /// # Errors
    /// [`Blocked`], as [`DestinationPolicy::check`].
    pub fn check_url(&self, url: &Url) -> Result<(), Blocked> {
        match url.host() {
            Some(Host::Ipv4(address)) => self.check(address.into()),
            Some(Host::Ipv6(address)) => self.check(address.into()),
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, kind, wraps } = self;
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        write!(f, "{address} ")?;
        match wraps {
            Some(inner) => write!(f, "wraps {inner}, {kind}")?,
            None => write!(f, "is {kind}")?,
        }
        write!(
            f,
            ", and webhooks go to public addresses; \
             allow_destinations([\"{address}/{prefix}\".parse()?]) allows it, \
             allow_private_destinations() allows all"
        )
    }
}

impl std::error::Error for Blocked {}

const METADATA: &str = "a cloud's metadata address";
const PRIVATE: &str = "a private address";
const DOCUMENTATION: &str = "a documentation address";
const LINK_LOCAL: &str = "a link-local address";
const LOOPBACK: &str = "a loopback address";
const MULTICAST: &str = "a multicast address";
const RESERVED: &str = "a reserved address";
const UNSPECIFIED: &str = "the unspecified address";

/// The networks of IPv4 that are not public. The first that has an address tells its kind.
const REFUSED_V4: [(Ipv4Net, &str); 20] = [
    (v4([169, 254, 169, 254], 32), METADATA),
    (v4([100, 100, 100, 200], 32), METADATA), // Alibaba Cloud
    (v4([168, 63, 129, 16], 32), METADATA),   // Azure; a public address otherwise
    (v4([0, 0, 0, 0], 32), UNSPECIFIED),
    (v4([0, 0, 0, 0], 8), "an address of this network"), // RFC 791
    (v4([10, 0, 0, 0], 8), PRIVATE),                     // RFC 1918
    (v4([100, 64, 0, 0], 10), "a shared (carrier-grade NAT) address"), // RFC 6598
    (v4([127, 0, 0, 0], 8), LOOPBACK),                   // RFC 1122
    (v4([169, 254, 0, 0], 16), LINK_LOCAL),              // RFC 3927
    (v4([172, 16, 0, 0], 12), PRIVATE),                  // RFC 1918
    (v4([192, 0, 0, 0], 24), "an address for protocol assignments"), // RFC 6890
    (v4([192, 0, 2, 0], 24), DOCUMENTATION),             // RFC 5737
    (v4([192, 88, 99, 0], 24), "a 6to4 relay address (deprecated)"), // RFC 7526
    (v4([192, 168, 0, 0], 16), PRIVATE),                 // RFC 1918
    (v4([198, 18, 0, 0], 15), "a benchmarking address"), // RFC 2544
    (v4([198, 51, 100, 0], 24), DOCUMENTATION),          // RFC 5737
    (v4([203, 0, 113, 0], 24), DOCUMENTATION),           // RFC 5737
    (v4([224, 0, 0, 0], 4), MULTICAST),                  // RFC 5771
    (v4([255, 255, 255, 255], 32), "the broadcast address"), // RFC 919
    (v4([240, 0, 0, 0], 4), RESERVED),                   // RFC 1112
];

/// The networks of IPv6 that are not public, whatever they wrap. The first that has an address
/// tells its kind.
const REFUSED_V6: [(Ipv6Net, &str); 20] = [
    (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128), METADATA), // AWS
    (v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128), METADATA),  // Google Cloud
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), UNSPECIFIED),           // RFC 4291
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), LOOPBACK),              // RFC 4291
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 96), "an IPv4-compatible address (deprecated)"), // RFC 4291
    (v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96), "an IPv4-translated address"), // RFC 2765
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), "a local NAT64 address"), // RFC 8215
    (v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64), "a discard-only address"), // RFC 6666
    (v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64), "a dummy address"),  // RFC 9780
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), "a Teredo address"), // RFC 4380
    (v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48), "a benchmarking address"), // RFC 5180
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), "an address for protocol assignments"), // RFC 2928
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), DOCUMENTATION), // RFC 3849
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), DOCUMENTATION),     // RFC 9637
    (v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16), "a segment-routing identifier"), // RFC 9602
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), "a private (unique local) address"), // RFC 4193
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), LINK_LOCAL),        // RFC 4291
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), "a site-local address (deprecated)"), // RFC 3879
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), MULTICAST),          // RFC 4291
    (v6([0x200, 0, 0, 0, 0, 0, 0, 0], 7), "an NSAP-mapped address (deprecated)"), // RFC 4048
];

const MAPPED: Ipv6Net = v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96);
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16);
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

const fn v4(octets: [u8; 4], prefix: u8) -> Ipv4Net {
    let [a, b, c, d] = octets;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(segments: [u16; 8], prefix: u8) -> Ipv6Net {
    let [a, b, c, d, e, f, g, h] = segments;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)
}

/// The kind of an address that is not public.
fn kind_of_v4(address: Ipv4Addr) -> Option<&'static str> {
    REFUSED_V4.iter().find(|(network, _)| network.contains(&address)).map(|(_, kind)| *kind)
}

/// The kind of an address that is not public, or that wraps an IPv4 address that is not.
fn kind_of_v6(address: Ipv6Addr) -> Option<(&'static str, Option<Ipv4Addr>)> {
    if let Some((_, kind)) = REFUSED_V6.iter().find(|(network, _)| network.contains(&address)) {
        return Some((kind, None));
    }
    for inner in wrapped(address).into_iter().flatten() {
        if let Some(kind) = kind_of_v4(inner) {
            return Some((kind, Some(inner)));
        }
    }
    let public = [MAPPED, NAT64, GLOBAL_UNICAST].iter().any(|network| network.contains(&address));
    if public { None } else { Some((RESERVED, None)) }
}

/// The IPv4 addresses that an address leads to, of those wrappings that are public themselves.
fn wrapped(address: Ipv6Addr) -> [Option<Ipv4Addr>; 3] {
    let [_, b, c, _, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    let behind = MAPPED.contains(&address) || NAT64.contains(&address); // RFC 4291, RFC 6052
    let six_to_four = SIX_TO_FOUR.contains(&address); // RFC 3056
    let isatap = matches!(e, 0 | 0x200) && f == 0x5efe; // RFC 5214; the 2 is the "universal" bit
    [behind.then(|| v4(g, h)), six_to_four.then(|| v4(b, c)), isatap.then(|| v4(g, h))]
}

/// The IPv4 network that an IPv4-mapped one is.
fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let (true, Some(prefix), Some(address)) = (
        MAPPED.contains(&mapped),
        mapped.prefix_len().checked_sub(96),
        mapped.addr().to_ipv4_mapped(),
    ) else {
        return network;
    };
    Ipv4Net::new(address, prefix).map_or(network, IpNet::V4)
}
