//! Journals and attempt logs for Bugle: memory.
