//! Subscriptions: the names and patterns of the events that an emitter wants.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{EMPTY_TOKEN, MAX_BYTES, check_event_name};
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
///
/// assert_eq!(Subscription::new("invoice.paid")?.to_string(), "invoice.paid");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Subscription {
    /// The names and patterns, sorted, each once. A tree of one name takes 192 bytes, which each
    /// emitter would have.
    names: Box<[Box<str>]>,
}

/// The reason why a list of names is not a subscription.
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

impl SubscriptionError {
    /// A name for the kind of error that stays the same from version to version, as
    /// `emptySubscription`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "emptySubscription",
            Self::Name(error) => error.code(),
        }
    }
}

impl Subscription {
    /// Checks names and patterns; one that stands twice counts once.
    ///
    /// # Errors
    /// [`SubscriptionError`] when there is none, or one is not valid.
    pub fn new(names: impl EventNames) -> Result<Self, SubscriptionError> {
        let (mut set, mut wrong) = (Vec::<Box<str>>::with_capacity(1), None);
        names.each(&mut |name| match check_pattern(name) {
            Ok(()) => set.push(Box::from(name)),
            Err(_) if wrong.is_some() => {}
            Err(rule) => wrong = Some(IdError::new("event name or pattern", name, rule)),
        });
        match wrong {
            Some(error) => Err(error.into()),
            None if set.is_empty() => Err(SubscriptionError::Empty),
            None => {
                set.sort_unstable();
                set.dedup();
                Ok(Self { names: set.into() })
            }
        }
    }

    /// The names and patterns, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }

    /// True when an event of this name is wanted.
    pub fn matches(&self, name: &EventName) -> bool {
        self.names.iter().any(|pattern| pattern_matches(pattern, name.as_str()))
    }
}

/// Names the events that somebody wants, wherever a call takes that: one name or pattern as a text
/// or an [`EventName`]; several of them as an array, a slice, a `Vec` or a set; or a whole
/// [`Subscription`].
///
/// ```
/// use bugle_core::Subscription;
///
/// let (one, several) = ("invoice.paid", vec!["invoice.paid".to_owned(), "member.*".to_owned()]);
/// assert_eq!(Subscription::new(one)?.names().count(), 1);
/// assert_eq!(Subscription::new(&several)?.names().count(), 2);
/// # Ok::<(), bugle_core::SubscriptionError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` names no events",
    note = "give one name or pattern, an array, a slice or a `Vec` of them, or a `Subscription`"
)]
pub trait EventNames {
    /// Hands each name and each pattern to `take`, unchecked and in any order.
    fn each(&self, take: &mut dyn FnMut(&str));
}

macro_rules! one_name {
    ($($text:ty),+) => {$(
        impl EventNames for $text {
            fn each(&self, take: &mut dyn FnMut(&str)) {
                take(self.as_ref());
            }
        }
    )+};
}

macro_rules! several_names {
    ($([$($generic:tt)*] $several:ty),+) => {$(
        impl<T: EventNames, $($generic)*> EventNames for $several {
            fn each(&self, take: &mut dyn FnMut(&str)) {
                self.iter().for_each(|names| names.each(take));
            }
        }
    )+};
}

one_name!(str, String, Box<str>, Arc<str>, Cow<'_, str>, EventName);
several_names!([] [T], [const N: usize] [T; N], [] Vec<T>, [] BTreeSet<T>, [S] HashSet<T, S>);

impl<T: EventNames + ?Sized> EventNames for &T {
    fn each(&self, take: &mut dyn FnMut(&str)) {
        (**self).each(take);
    }
}

impl EventNames for Subscription {
    fn each(&self, take: &mut dyn FnMut(&str)) {
        self.names().for_each(take);
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

/// True when a name of a subscription is a pattern.
pub(crate) fn is_pattern(name: &str) -> bool {
    name.split('.').any(|token| token == "*" || token == ">")
}

fn check_pattern(text: &str) -> Result<(), &'static str> {
    let tokens: Vec<&str> = text.split('.').collect();
    if !tokens.iter().any(|token| token.contains(['*', '>'])) {
        return check_event_name(text);
    }
    if text.len() > MAX_BYTES {
        return Err("it is longer than 256 bytes; shorten it");
    }
    for (index, token) in tokens.iter().enumerate() {
        match *token {
            "" => return Err(EMPTY_TOKEN),
            "*" => {}
            ">" if index + 1 == tokens.len() => {}
            ">" => return Err("'>' stands for the rest of a name; write it as the last token"),
            token if token.contains(['*', '>']) => {
                return Err(
                    "'*' stands for one whole token, and '>' for the rest; write them alone \
                     between the dots, as member.* or invoice.>",
                );
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

    #[test]
    fn a_name_several_and_a_pattern_are_taken_alike() -> Result<(), Box<dyn std::error::Error>> {
        fn taken(names: impl EventNames) -> String {
            Subscription::new(names).map_or_else(|error| error.to_string(), |it| it.to_string())
        }
        let (one, name) = ("a.b".to_owned(), EventName::new("a.b")?);
        let array = &["a.b", "c.>"];
        for text in [
            taken("a.b"),
            taken(&one),
            taken(one.clone()),
            taken(&name),
            taken(name.clone()),
            taken(Cow::Borrowed("a.b")),
            taken([&name]),
            taken(Subscription::new("a.b")?),
        ] {
            assert_eq!(text, "a.b");
        }
        let several = vec!["c.>".to_owned(), "a.b".to_owned()];
        for text in [
            taken(["a.b", "c.>"]),
            taken(array),
            taken(["a.b", "c.>"].as_slice()),
            taken(&several),
            taken(several.as_slice()),
            taken(several.iter().collect::<HashSet<_>>()),
            taken(several.clone()),
            taken(&Subscription::new(several)?),
            taken([Subscription::new("a.b")?, Subscription::new("c.>")?]),
        ] {
            assert_eq!(text, "a.b, c.>");
        }
        Ok(())
    }
}
