//! The command line of Bugle: deliver, listen, demo, sign, verify, keygen.
