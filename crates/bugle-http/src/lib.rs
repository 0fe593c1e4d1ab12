//! Webhook delivery over hyper and rustls, for Bugle.
