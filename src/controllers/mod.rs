//! The wiring of each kind to the cluster, a folder a kind, all built alike: `mod` has the streams, `reconcile` goes the
//! way observe → decide → act → tell. What is decided is in [`crate::verify`], what kinds share in [`crate::runtime`].

pub mod mail_server;
