//! The cases, their names, and the targets of each.

use std::fmt;

use anyhow::{Result, bail};

/// One case. Its name is [`fmt::Display`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// Events through so many emitters with the memory store, against bare connections.
    Memory { emitters: usize, tls: bool, signed: bool },
    /// Events through so many emitters with the store on disk, against bare connections and the
    /// memory store.
    Durable { emitters: usize },
    /// Events accepted by the store on disk from so many callers, against one.
    Accept { callers: usize },
    /// Instructions that an event costs through so many emitters, and through bare connections.
    Instructions { emitters: usize },
    /// A file delivered by the command line, against the library.
    Deliver,
    /// The time until a store on disk in which much waits goes on.
    Recovery,
    /// The time until the emitters of an earlier process run again.
    Restore { emitters: usize },
    /// Events through emitters with a store on disk that has a long history, against an empty one.
    History,
    /// A page of one emitter's attempts in a long log, against a short one.
    Page,
    /// Resident memory of attached emitters that have nothing to do.
    Idle { emitters: usize },
    /// The time to attach emitters, against spawning as many empty actors.
    Attach { emitters: usize },
    /// One event to many emitters.
    Fanout { emitters: usize },
    /// Memory while large events wait at many emitters.
    Backlog { emitters: usize },
}

impl Case {
    /// Lists all cases, in the order in which they are measured.
    pub(crate) fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for emitters in [1, 8, 64, 1024] {
            for tls in [false, true] {
                for signed in [false, true] {
                    cases.push(Self::Memory { emitters, tls, signed });
                }
            }
        }
        cases.extend([Self::Durable { emitters: 64 }, Self::Durable { emitters: 1024 }]);
        cases.extend([Self::Accept { callers: 64 }, Self::Accept { callers: 256 }]);
        cases.extend([Self::Instructions { emitters: 64 }, Self::Deliver, Self::Recovery]);
        cases.extend([Self::Restore { emitters: 10_000 }, Self::History, Self::Page]);
        for emitters in [10_000, 100_000] {
            cases.extend([Self::Idle { emitters }, Self::Attach { emitters }]);
        }
        cases.extend([Self::Fanout { emitters: 10_000 }, Self::Backlog { emitters: 10_000 }]);
        cases
    }

    /// Lists the cases that match one of the patterns, or all when there is none.
    ///
    /// # Errors
    /// A pattern that matches no case.
    pub(crate) fn select(patterns: &[String]) -> Result<Vec<Self>> {
        let all = Self::all();
        let unmatched = |pattern: &&String| !all.iter().any(|case| case.matches(pattern));
        if let Some(pattern) = patterns.iter().find(unmatched) {
            bail!("no case matches {pattern:?}; --list prints their names");
        }
        let wanted =
            |case: &Self| patterns.is_empty() || patterns.iter().any(|it| case.matches(it));
        Ok(all.into_iter().filter(wanted).collect())
    }

    /// Matches a pattern: some parts of the name that follow one another, with `*` for anything:
    /// `memory/1` is not `memory/1024/…`, `signed` is not `…/unsigned`.
    fn matches(self, pattern: &str) -> bool {
        glob(
            format!("*/{}/*", pattern.trim_matches('/')).as_bytes(),
            format!("/{self}/").as_bytes(),
        )
    }

    /// The target of the case, if it has one: for the ratio in [`Case::Memory`] and
    /// [`Case::Attach`], else for the case's own number.
    pub(crate) fn wanted(self) -> Option<Wanted> {
        let wanted = |target, goal| Some(Wanted { target, goal });
        match self {
            Self::Memory { emitters: 64, tls: false, signed: false } => wanted(0.95, 1.1),
            Self::Memory { emitters: 64, tls: false, signed: true } => wanted(0.85, 1.0),
            Self::Memory { emitters: 64, tls: true, signed: false } => wanted(0.9, 1.0),
            Self::Memory { emitters: 1024, tls: false, signed: false } => wanted(0.9, 1.1),
            Self::Memory { emitters: 1024, tls: false, signed: true } => wanted(0.82, 1.0),
            Self::Memory { emitters: 1, tls: false, signed: false } => wanted(0.95, 1.0),
            Self::Durable { emitters: 64 } => wanted(0.7, 0.85),
            Self::Durable { emitters: 1024 } => wanted(0.55, 0.75),
            Self::Accept { callers: 64 } => wanted(20.0, 40.0),
            Self::Deliver => wanted(0.8, 0.95),
            Self::Recovery => wanted(300.0, 150.0),
            Self::History => wanted(0.97, 0.99),
            Self::Page => wanted(2.0, 1.2),
            Self::Idle { emitters: 100_000 } => wanted(8.8, 8.0),
            Self::Attach { emitters: 100_000 } => wanted(2.5, 1.5),
            Self::Fanout { .. } => wanted(1.5, 0.6),
            Self::Backlog { .. } => wanted(130.0, 115.0),
            _ => None,
        }
    }

    /// The target for the ratio to the memory store, and for the memory of a recovery in MiB.
    pub(crate) fn wanted_of_memory(self) -> Option<Wanted> {
        match self {
            Self::Durable { emitters: 64 } => Some(Wanted { target: 0.75, goal: 0.85 }),
            Self::Recovery => Some(Wanted { target: 80.0, goal: 80.0 }),
            _ => None,
        }
    }

    /// The target for a lone caller, in syncs.
    pub(crate) fn wanted_of_one(self) -> Option<Wanted> {
        matches!(self, Self::Accept { .. }).then_some(Wanted { target: 1.15, goal: 1.05 })
    }

    /// The target for the ratio of the events accepted from many callers to a bare loop of frames.
    pub(crate) fn wanted_of_frames(self) -> Option<Wanted> {
        (self == Self::Accept { callers: 64 }).then_some(Wanted { target: 0.6, goal: 0.85 })
    }

    /// The target for the ratio of CPU time an event.
    pub(crate) fn wanted_cpu(self) -> Option<Wanted> {
        (self == Self::Memory { emitters: 64, tls: false, signed: false })
            .then_some(Wanted { target: 1.1, goal: 0.9 })
    }
}

/// The target that a number is to reach now, and the goal behind it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) target: f64,
    pub(crate) goal: f64,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Memory { emitters, tls, signed } => {
                let wire = if tls { "tls" } else { "plain" };
                let keys = if signed { "signed" } else { "unsigned" };
                write!(f, "memory/{emitters}/{wire}/{keys}")
            }
            Self::Durable { emitters } => write!(f, "durable/{emitters}/plain/unsigned"),
            Self::Accept { callers } => write!(f, "accept/{callers}"),
            Self::Instructions { emitters } => write!(f, "instructions/{emitters}"),
            Self::Deliver => f.write_str("deliver"),
            Self::Recovery => f.write_str("recovery"),
            Self::Restore { emitters } => write!(f, "restore/{emitters}"),
            Self::History => f.write_str("history"),
            Self::Page => f.write_str("page"),
            Self::Idle { emitters } => write!(f, "idle/{emitters}"),
            Self::Attach { emitters } => write!(f, "attach/{emitters}"),
            Self::Fanout { emitters } => write!(f, "fanout/{emitters}"),
            Self::Backlog { emitters } => write!(f, "backlog/{emitters}"),
        }
    }
}

/// True when a text fits a pattern, in which `*` stands for any characters, also none.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|skipped| glob(rest, &text[skipped..])),
        ([one, pattern @ ..], [other, text @ ..]) => one == other && glob(pattern, text),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(pattern: &str) -> Vec<String> {
        let cases = Case::select(&[pattern.to_owned()]).unwrap_or_default();
        cases.iter().map(Case::to_string).collect()
    }

    #[test]
    fn a_whole_name_selects_its_case() {
        for case in Case::all() {
            assert_eq!(selected(&case.to_string()), [case.to_string()]);
        }
    }

    #[test]
    fn patterns_select_by_whole_parts() {
        assert_eq!(selected("memory").len(), 16);
        assert_eq!(selected("memory/1").len(), 4);
        assert_eq!(selected("memory/1*").len(), 8);
        assert_eq!(selected("unsigned").len(), 10);
        assert_eq!(selected("signed").len(), 8);
        assert_eq!(selected("plain/unsigned").len(), 6);
        assert_eq!(selected("accept"), ["accept/64", "accept/256"]);
        assert_eq!(selected("memory/*/unsigned").len(), 8);
        assert_eq!(selected("/memory/64/").len(), 4);
        assert_eq!(selected("*").len(), Case::all().len());
        assert_eq!(selected("attach"), ["attach/10000", "attach/100000"]);
    }

    #[test]
    fn no_pattern_selects_all_and_an_unmatched_one_is_an_error() {
        assert_eq!(Case::select(&[]).unwrap(), Case::all());
        let error = Case::select(&["memory".to_owned(), "disk".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("\"disk\""), "{error}");
    }

    #[test]
    fn the_names_are_those_that_others_rely_on() {
        let names: Vec<String> = Case::all().iter().map(Case::to_string).collect();
        assert_eq!(names[0], "memory/1/plain/unsigned");
        for name in ["memory/64/plain/unsigned", "memory/1024/tls/signed", "attach/100000"] {
            assert!(names.iter().any(|it| it == name), "{name}");
        }
    }
}
