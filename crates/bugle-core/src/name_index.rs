//! From an event's name to those who want it, without asking each of them.

use std::hash::Hash;

use indexmap::IndexMap;
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::subscription::is_pattern;
use crate::{EventName, Subscription};

type Wanting<K, V> = IndexMap<K, V, FxBuildHasher>;

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
            here: Wanting::default(),
            rest: Wanting::default(),
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
                let wanting = self.names.entry(Box::from(name)).or_default();
                wanting.insert(key.clone(), value.clone());
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
                wanting.swap_remove(key);
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
            for (key, value) in wanting {
                found(key, value);
            }
        }
        if self.pattern_count > 0 {
            self.patterns.for_each(name.as_str(), &mut found);
        }
    }
}

impl<K: Hash + Eq, V> Node<K, V> {
    /// Whether the key is new there.
    fn insert<'a>(&mut self, mut tokens: impl Iterator<Item = &'a str>, key: K, value: V) -> bool {
        match tokens.next() {
            None => self.here.insert(key, value).is_none(),
            Some(">") => self.rest.insert(key, value).is_none(),
            Some("*") => self.any.get_or_insert_default().insert(tokens, key, value),
            Some(token) => {
                self.tokens.entry(Box::from(token)).or_default().insert(tokens, key, value)
            }
        }
    }

    /// Whether the key was there.
    fn remove<'a>(&mut self, mut tokens: impl Iterator<Item = &'a str>, key: &K) -> bool {
        match tokens.next() {
            None => self.here.swap_remove(key).is_some(),
            Some(">") => self.rest.swap_remove(key).is_some(),
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
        for (key, value) in &self.rest {
            found(key, value);
        }
        let (token, rest) = match rest.split_once('.') {
            Some((token, rest)) => (token, Some(rest)),
            None => (rest, None),
        };
        for node in [self.tokens.get(token), self.any.as_deref()].into_iter().flatten() {
            match rest {
                Some(rest) => node.for_each(rest, found),
                None => node.here.iter().for_each(|(key, value)| found(key, value)),
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
