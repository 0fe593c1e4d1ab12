//! The service's side of the ledger: the lines that it printed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::cast::Id;

/// An event whose emit was begun.
#[derive(Debug, Clone)]
pub(crate) struct Emitted {
    pub(crate) name: String,
    pub(crate) key: u32,
    /// Its sequence number, if its emit returned.
    pub(crate) sequence: Option<u64>,
    /// The stay of the nomad in which it was emitted from beginning to end, if there is one.
    pub(crate) stay: Option<u32>,
}

/// Everything that the service printed in all lives.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) emitted: HashMap<Id, Emitted>,
    /// Events that were refused, and so must not be anywhere.
    pub(crate) refused: BTreeSet<Id>,
    /// Dead letters by emitter and event, with their attempts.
    pub(crate) dead: BTreeMap<(String, Id), u32>,
    /// Lives that ended by a shutdown.
    pub(crate) ended_well: Vec<u32>,
    /// The number of times that the nomad has left.
    pub(crate) stays: u32,
    sequences: HashMap<u64, Id>,
    last_sequence: u64,
}

impl Book {
    pub(crate) fn enter(&mut self, life: u32, ended_well: bool, lines: &[String]) {
        if ended_well {
            self.ended_well.push(life);
        }
        let before = self.last_sequence;
        // It is attached at the start; a detach that was begun may or may not have been made.
        let mut is_staying = true;
        let mut listed = BTreeSet::new();
        for line in lines {
            let Some(line) = line.strip_prefix("> ") else { continue };
            let words: Vec<&str> = line.split(' ').collect();
            match *words.as_slice() {
                ["ready"] | ["unwritten", ..] => {}
                ["emit", id, name, key] => {
                    let stay = is_staying.then_some(self.stays);
                    let (name, key) = (name.to_owned(), key.parse().unwrap());
                    let emitted = Emitted { name, key, sequence: None, stay };
                    assert!(self.emitted.insert(id.parse().unwrap(), emitted).is_none());
                }
                ["accepted", id, sequence] => {
                    let (id, sequence) = (id.parse().unwrap(), sequence.parse().unwrap());
                    assert!(sequence > before, "{id} has the place of an earlier life");
                    self.last_sequence = self.last_sequence.max(sequence);
                    let other = self.sequences.insert(sequence, id);
                    assert_eq!(other, None, "{id} has the place of another");
                    let emitted = self.emitted.get_mut(&id).unwrap();
                    emitted.sequence = Some(sequence);
                    if !is_staying || emitted.stay != Some(self.stays) {
                        emitted.stay = None;
                    }
                }
                ["refused", "attach", ..] => {}
                ["refused", id, ..] => {
                    self.refused.insert(id.parse().unwrap()).then_some(()).unwrap()
                }
                ["detach"] => {
                    is_staying = false;
                    self.stays += 1;
                }
                ["attached"] => is_staying = true,
                ["dead", emitter, id, attempts] => {
                    let letter = (emitter.to_owned(), id.parse().unwrap());
                    assert!(listed.insert(letter.clone()), "{id} is {emitter}'s dead letter twice");
                    self.dead.insert(letter, attempts.parse().unwrap());
                }
                _ => panic!("life {life} said: {line}"),
            }
        }
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.sequences.len() as u64
    }

    pub(crate) fn event(&self, id: Id) -> &Emitted {
        self.emitted.get(&id).unwrap_or_else(|| panic!("{id} arrived and was never emitted"))
    }
}
