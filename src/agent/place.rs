//! Where an agent stands: what it tells of itself.

use if_addrs::{IfAddr, Interface};

use super::Settings;
use crate::{api::v1alpha1::TASK_PROTOCOL, verify::task::Presence};

/// What this process tells of itself now: interfaces come and go.
pub fn presence(settings: &Settings) -> Presence {
    Presence {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: Some(TASK_PROTOCOL),
        pod: settings.host.clone(),
        node: settings.node.clone(),
        // What cannot be listed is left out: it is told to help people, and nothing rests on it.
        interfaces: interfaces(&if_addrs::get_if_addrs().unwrap_or_default()),
    }
}

fn interfaces(all: &[Interface]) -> Vec<String> {
    let others = all.iter().filter(|interface| !interface.is_loopback());
    let mut lines: Vec<_> = others
        .map(|interface| {
            let length = match &interface.addr {
                IfAddr::V4(address) => address.prefixlen,
                IfAddr::V6(address) => address.prefixlen,
            };
            format!("{} {}/{length}", interface.name, interface.ip())
        })
        .collect();
    lines.sort();
    lines.dedup();
    lines
}
