//! What is asked of profiles in the cluster's tests, longer: two hundred kills of each sort, five hundred objects.

#[path = "../cluster/profiles/crashes.rs"]
mod crashes;
#[path = "../cluster/profiles/kills.rs"]
mod kills;
#[path = "../cluster/profiles/scale.rs"]
mod scale;
#[path = "../cluster/profiles/setting.rs"]
#[allow(dead_code, unused_imports)] // the cluster's tests use all of it
pub mod setting;
