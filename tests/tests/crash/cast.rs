//! The emitters of the service that is killed, and their events.

use std::fmt;
use std::str::FromStr;

use bugle::{Order, Subscription};
use bugle_core::EventName;

/// An emitter, and its part in the test.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Role {
    pub(crate) id: &'static str,
    pub(crate) names: &'static [&'static str],
    pub(crate) order: Order,
}

const fn strict(id: &'static str, names: &'static [&'static str]) -> Role {
    Role { id, names, order: Order::Strict }
}

/// Delivers some events at the second attempt, and gives up on others.
pub(crate) const FLAKY: &str = "flaky";

/// The number of attempts that it makes before it gives an event up.
pub(crate) const ATTEMPTS: u32 = 3;

/// Is paused and restarted all the time.
pub(crate) const MOODY: &str = "moody";

/// Is detached and attached all the time.
pub(crate) const NOMAD: &str = "nomad";

/// The number of deliveries that the emitter with a window has in flight.
pub(crate) const WINDOW: u16 = 4;

pub(crate) const CAST: [Role; 6] = [
    strict("steady", &["a", "b.*"]),
    strict("audit", &[">"]),
    Role { id: "keyed", names: &["k.*"], order: Order::PerKey { window: WINDOW } },
    strict(FLAKY, &["a", "k.x"]),
    strict(MOODY, &["b.*", "a"]),
    strict(NOMAD, &["a", "k.*"]),
];

pub(crate) const NAMES: [&str; 6] = ["a", "b.x", "b.y", "k.x", "k.y", "c"];

impl Role {
    pub(crate) fn wants(&self, name: &str) -> bool {
        let subscription = Subscription::new(self.names).unwrap();
        subscription.matches(&EventName::new(name).unwrap())
    }

    pub(crate) fn window(&self) -> usize {
        if self.order == Order::Strict { 1 } else { usize::from(WINDOW) }
    }
}

/// An event's request id: the life in which it was emitted, its caller, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    pub(crate) life: u32,
    pub(crate) caller: u32,
    pub(crate) number: u32,
}

impl Id {
    fn hash(self) -> u32 {
        let mixed = [self.life, self.caller, self.number]
            .iter()
            .fold(7_u32, |hash, part| (hash ^ part).wrapping_mul(0x9e37_79b1).rotate_left(13));
        mixed ^ (mixed >> 16)
    }

    /// True when the flaky receiver never accepts it.
    pub(crate) fn is_poison(self) -> bool {
        self.hash().is_multiple_of(17)
    }

    /// True when the flaky receiver refuses it the first time.
    pub(crate) fn is_difficult(self) -> bool {
        self.hash() % 5 == 1
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.life, self.caller, self.number)
    }
}

impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<u32> = text.split('-').filter_map(|part| part.parse().ok()).collect();
        match *parts.as_slice() {
            [life, caller, number] => Ok(Self { life, caller, number }),
            _ => Err(format!("{text} is none of our request ids")),
        }
    }
}
