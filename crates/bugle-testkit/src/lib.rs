//! What tests of webhook emitters stand on: a scripted receiver, a scripted transport, conformance suites.
