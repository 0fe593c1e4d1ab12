//! The benchmark of Bugle, which measures it and its ceiling in one run.
