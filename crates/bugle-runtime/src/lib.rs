//! The supervision tree of Bugle: a root supervisor, one actor per emitter.
