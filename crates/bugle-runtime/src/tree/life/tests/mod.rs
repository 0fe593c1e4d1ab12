//! The table of lives, and random lives in a small world.

mod table;
mod world;
