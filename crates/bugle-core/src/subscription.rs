//! Which events an emitter wants.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::check_event_name;
use crate::{EventName, IdError};

/// A non-empty set of event names and patterns. In a pattern `*` stands for one token, and `>` at
/// the end for one or more, as in NATS subjects: `member.*`, `invoice.>`, `>`.
///
/// ```
/// use bugle_core::{EventName, Subscription};
///
/// let wanted = Subscription::new(["invoice.paid", "member.*"])?;
/// assert!(wanted.matches(&EventName::new("member.created")?));
/// assert!(!wanted.matches(&EventName::new("invoice.sent")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Subscription {
    names: BTreeSet<Box<str>>,
}

/// Why a list of names is not a subscription.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// The list is empty.
    #[error("a subscription names at least one event: give a name, or the pattern '>' for all")]
    Empty,
    /// One of the names is neither an event's name nor a pattern.
    #[error(transparent)]
    Name(#[from] IdError),
}

impl Subscription {
    /// Checks names and patterns; one that stands twice counts once.
    ///
    /// # Errors
    /// [`SubscriptionError`] when there is none, or one is not valid.
    pub fn new<I>(names: I) -> Result<Self, SubscriptionError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut set = BTreeSet::new();
        for name in names {
            let name = name.as_ref();
            check_pattern(name)
                .map_err(|rule| IdError::new("event name or pattern", name, rule))?;
            set.insert(Box::from(name));
        }
        if set.is_empty() {
            return Err(SubscriptionError::Empty);
        }
        Ok(Self { names: set })
    }

    /// The names and patterns, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }

    /// Whether an event of this name is wanted.
    pub fn matches(&self, name: &EventName) -> bool {
        self.names.iter().any(|pattern| pattern_matches(pattern, name.as_str()))
    }
}

impl fmt::Display for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.names().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

impl TryFrom<Vec<String>> for Subscription {
    type Error = SubscriptionError;
    fn try_from(names: Vec<String>) -> Result<Self, Self::Error> {
        Self::new(names)
    }
}

impl From<Subscription> for Vec<String> {
    fn from(subscription: Subscription) -> Self {
        subscription.names().map(str::to_owned).collect()
    }
}

/// Whether a name of a subscription is a pattern.
pub(crate) fn is_pattern(name: &str) -> bool {
    name.split('.').any(|token| token == "*" || token == ">")
}

fn check_pattern(text: &str) -> Result<(), &'static str> {
    if text.len() > 256 {
        return Err("an event name has 1 to 256 bytes");
    }
    let tokens: Vec<&str> = text.split('.').collect();
    for (index, token) in tokens.iter().enumerate() {
        match *token {
            "*" => {}
            ">" if index + 1 == tokens.len() => {}
            ">" => return Err("'>' stands for the rest of a name, so it is the last token"),
            token if token.contains(['*', '>']) => {
                return Err("'*' and '>' stand alone between the dots");
            }
            token => check_event_name(token)?,
        }
    }
    Ok(())
}

fn pattern_matches(pattern: &str, name: &str) -> bool {
    let mut wanted = pattern.split('.');
    let mut tokens = name.split('.');
    loop {
        match (wanted.next(), tokens.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(want), Some(token)) if want == token => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_nats_subjects_do() {
        let table = [
            ("a.b", "a.b", true),
            ("a.b", "a.b.c", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("*.b", "a.b", true),
            ("*", "a.b", false),
            (">", "a.b", true),
            ("a.>", "a", false),
            ("a.>", "a.b.c", true),
            ("a.*.>", "a.b", false),
            ("a.*.>", "a.b.c", true),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(pattern_matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn names_and_patterns_are_checked() {
        let none: [&str; 0] = [];
        assert_eq!(Subscription::new(none), Err(SubscriptionError::Empty));
        for bad in ["", "a..b", "a.>.b", "a*", "a.b>", "**", "a b"] {
            assert!(Subscription::new([bad]).is_err(), "{bad}");
        }
        let twice = Subscription::new(["a", "a", "b.*"]).map(|wanted| wanted.names().count());
        assert_eq!(twice, Ok(2));
    }
}
