//! An index from an event's name to the subscriptions that match it, without asking each of them.

use std::hash::Hash;

use indexmap::IndexMap;
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::subscription::is_pattern;
use crate::{EventName, Subscription};

/// The values that want one name. Most names are wanted by one: a table for each of those would
/// take most of the index's memory.
#[derive(Debug, Clone, Default)]
enum Wanting<K, V> {
    #[default]
    Nobody,
    One(K, V),
    Many(Box<IndexMap<K, V, FxBuildHasher>>),
}

impl<K: Hash + Eq, V> Wanting<K, V> {
    /// Inserts a value; true when the key is new here.
    fn insert(&mut self, key: K, value: V) -> bool {
        match std::mem::take(self) {
            Self::Nobody => {
                *self = Self::One(key, value);
                true
            }
            Self::One(only, _) if only == key => {
                *self = Self::One(key, value);
                false
            }
            Self::One(first, its_value) => {
                let both = [(first, its_value), (key, value)];
                *self = Self::Many(Box::new(both.into_iter().collect()));
                true
            }
            Self::Many(mut map) => {
                let is_new = map.insert(key, value).is_none();
                *self = Self::Many(map);
                is_new
            }
        }
    }

    /// Removes a key; true when it was here.
    fn remove(&mut self, key: &K) -> bool {
        match self {
            Self::One(only, _) if only == key => {
                *self = Self::Nobody;
                true
            }
            Self::Nobody | Self::One(..) => false,
            Self::Many(map) => {
                let was_there = map.swap_remove(key).is_some();
                if map.len() == 1
                    && let Some((last, its_value)) = map.pop()
                {
                    *self = Self::One(last, its_value);
                }
                was_there
            }
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Nobody)
    }

    fn for_each(&self, found: &mut impl FnMut(&K, &V)) {
        match self {
            Self::Nobody => {}
            Self::One(key, value) => found(key, value),
            Self::Many(map) => map.iter().for_each(|(key, value)| found(key, value)),
        }
    }
}

/// Finds the values whose subscription matches a name: full names by a hash, patterns by a walk
/// down a tree of tokens. A name costs the same whether ten or ten thousand other names are known.
#[derive(Debug, Clone)]
pub struct NameIndex<K, V> {
    names: FxHashMap<EventNameKey, Wanting<K, V>>,
    patterns: Node<K, V>,
    pattern_count: usize,
}

type EventNameKey = Box<str>;

#[derive(Debug, Clone)]
struct Node<K, V> {
    tokens: FxHashMap<Box<str>, Node<K, V>>,
    any: Option<Box<Node<K, V>>>,
    here: Wanting<K, V>,
    rest: Wanting<K, V>,
}

impl<K, V> Default for Node<K, V> {
    fn default() -> Self {
        Self {
            tokens: FxHashMap::default(),
            any: None,
            here: Wanting::Nobody,
            rest: Wanting::Nobody,
        }
    }
}

impl<K, V> Default for NameIndex<K, V> {
    fn default() -> Self {
        Self { names: FxHashMap::default(), patterns: Node::default(), pattern_count: 0 }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> NameIndex<K, V> {
    /// Enters a value under every name and pattern of its subscription. The key takes it out again.
    pub fn insert(&mut self, subscription: &Subscription, key: &K, value: &V) {
        for name in subscription.names() {
            if is_pattern(name) {
                let is_new = self.patterns.insert(name.split('.'), key.clone(), value.clone());
                self.pattern_count += usize::from(is_new);
            } else if let Some(wanting) = self.names.get_mut(name) {
                wanting.insert(key.clone(), value.clone());
            } else {
                self.names.insert(Box::from(name), Wanting::One(key.clone(), value.clone()));
            }
        }
    }

    /// Takes a key's value out again, if it is there.
    pub fn remove(&mut self, subscription: &Subscription, key: &K) {
        for name in subscription.names() {
            if is_pattern(name) {
                let was_there = self.patterns.remove(name.split('.'), key);
                self.pattern_count -= usize::from(was_there);
            } else if let Some(wanting) = self.names.get_mut(name) {
                wanting.remove(key);
                if wanting.is_empty() {
                    self.names.remove(name);
                }
            }
        }
    }

    /// Calls with each value whose subscription matches. A value whose subscription matches in
    /// several ways may be met several times.
    pub fn for_each(&self, name: &EventName, mut found: impl FnMut(&K, &V)) {
        if let Some(wanting) = self.names.get(name.as_str()) {
            wanting.for_each(&mut found);
        }
        if self.pattern_count > 0 {
            self.patterns.for_each(name.as_str(), &mut found);
        }
    }
}

impl<K: Hash + Eq, V> Node<K, V> {
    /// Inserts a value; true when the key is new here.
    fn insert<'a>(&mut self, mut tokens: impl Iterator<Item = &'a str>, key: K, value: V) -> bool {
        match tokens.next() {
            None => self.here.insert(key, value),
            Some(">") => self.rest.insert(key, value),
            Some("*") => self.any.get_or_insert_default().insert(tokens, key, value),
            Some(token) => {
                self.tokens.entry(Box::from(token)).or_default().insert(tokens, key, value)
            }
        }
    }

    /// Removes a key; true when it was here.
    fn remove<'a>(&mut self, mut tokens: impl Iterator<Item = &'a str>, key: &K) -> bool {
        match tokens.next() {
            None => self.here.remove(key),
            Some(">") => self.rest.remove(key),
            Some("*") => {
                let Some(node) = &mut self.any else { return false };
                let was_there = node.remove(tokens, key);
                if node.is_empty() {
                    self.any = None;
                }
                was_there
            }
            Some(token) => {
                let Some(node) = self.tokens.get_mut(token) else { return false };
                let was_there = node.remove(tokens, key);
                if node.is_empty() {
                    self.tokens.remove(token);
                }
                was_there
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.any.is_none() && self.here.is_empty() && self.rest.is_empty()
    }

    fn for_each(&self, rest: &str, found: &mut impl FnMut(&K, &V)) {
        self.rest.for_each(found);
        let (token, rest) = match rest.split_once('.') {
            Some((token, rest)) => (token, Some(rest)),
            None => (rest, None),
        };
        for node in [self.tokens.get(token), self.any.as_deref()].into_iter().flatten() {
            match rest {
                Some(rest) => node.for_each(rest, found),
                None => node.here.for_each(found),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn names() -> impl Strategy<Value = String> {
        "[abc](\\.[abc]){0,3}"
    }

    fn patterns() -> impl Strategy<Value = String> {
        prop_oneof![names(), "([abc*]\\.){0,3}[abc*>]"]
    }

    proptest! {
        /// The index finds just those whose subscription matches, whatever was put in and taken
        /// out before.
        #[test]
        fn it_finds_what_the_subscriptions_match(
            sets in prop::collection::vec(prop::collection::vec(patterns(), 1..4), 1..12),
            removed in prop::collection::vec(0..3, 12),
            name in names(),
        ) {
            let mut index = NameIndex::default();
            let mut expected = BTreeSet::new();
            let name = EventName::new(name)?;
            let subscriptions: Vec<Subscription> =
                sets.iter().map(Subscription::new).collect::<Result<_, _>>()?;
            for (key, subscription) in subscriptions.iter().enumerate() {
                index.insert(subscription, &key, &key);
                // Entering it twice is entering it once.
                index.insert(subscription, &key, &key);
            }
            for (key, subscription) in subscriptions.iter().enumerate() {
                // So is taking it out twice.
                for _ in 0..removed[key] {
                    index.remove(subscription, &key);
                }
                if removed[key] == 0 && subscription.matches(&name) {
                    expected.insert(key);
                }
            }
            let mut found = BTreeSet::new();
            index.for_each(&name, |key, _| { found.insert(*key); });
            prop_assert_eq!(found, expected);
        }
    }
}
