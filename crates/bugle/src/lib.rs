//! Supervised webhook emitters: one dependency, no server, nothing lost.
