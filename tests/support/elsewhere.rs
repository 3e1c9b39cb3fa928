//! Another place in the network: a network namespace with one cable to this machine, whose ways can be cut and healed.
//!
//! What is cut loses its packets without a word, as behind a firewall: the neighbour table of the namespace sends them to an
//! address that nobody has.

use std::{
    process::Command,
    sync::atomic::{AtomicU8, Ordering},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Whom lost packets are sent to.
const NOBODY: &str = "02:00:00:00:00:99";

/// A network namespace; it and all of its connections end with this.
pub struct Elsewhere {
    /// Its name, for `ip netns exec`.
    pub name: String,
    cable: String,
    net: String,
    relays: Vec<JoinHandle<()>>,
}

/// A way from there to a port of this machine.
#[derive(Clone, Debug)]
pub struct Way {
    /// The address that it has, there and here.
    pub address: String,
    /// The port.
    pub port: u16,
}

impl Elsewhere {
    pub fn new() -> Self {
        static COUNT: AtomicU8 = AtomicU8::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        // Names of interfaces have 15 characters at most.
        let (name, cable) = (format!("mv{process}-{number}"), format!("mv{}n{number}", process % 100_000));
        let net = format!("10.{}.{}", 200 + process % 50, number);
        let there = format!("{cable}t");
        ip(&["netns", "add", &name]);
        ip(&["link", "add", &cable, "type", "veth", "peer", "name", &there, "netns", &name]);
        ip(&["addr", "add", &format!("{net}.1/24"), "dev", &cable]);
        ip(&["link", "set", &cable, "up"]);
        ip(&["-n", &name, "addr", "add", &format!("{net}.2/24"), "dev", &there]);
        ip(&["-n", &name, "link", "set", &there, "up"]);
        ip(&["-n", &name, "link", "set", "lo", "up"]);
        Self { name, cable, net, relays: Vec::new() }
    }

    /// Makes a way to a port of loopback here, with an address of its own that ends in `.host`.
    pub async fn way(&mut self, host: u8, port: u16) -> Way {
        let address = format!("{}.{host}", self.net);
        if host != 1 {
            ip(&["addr", "add", &format!("{address}/32"), "dev", &self.cable]);
        }
        let listener = TcpListener::bind((address.as_str(), 0)).await.unwrap();
        let way = Way { address, port: listener.local_addr().unwrap().port() };
        self.relays.push(tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut to = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
                    from.set_nodelay(true).ok()?;
                    to.set_nodelay(true).ok()?;
                    copy_bidirectional(&mut from, &mut to).await.ok()
                });
            }
        }));
        way
    }

    /// From now on packets that way are lost.
    pub fn cut(&self, way: &Way) {
        let there = format!("{}t", self.cable);
        ip(&["-n", &self.name, "neigh", "replace", &way.address, "lladdr", NOBODY, "dev", &there, "nud", "permanent"]);
    }

    /// The way is open again.
    pub fn heal(&self, way: &Way) {
        let there = format!("{}t", self.cable);
        ip(&["-n", &self.name, "neigh", "del", &way.address, "dev", &there]);
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.relays.iter().for_each(JoinHandle::abort);
        // The cable goes with it.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

fn ip(args: &[&str]) {
    let output = Command::new("ip").args(args).output().expect("`ip` of Debian's iproute2, which scripts/packages.sh brings");
    assert!(output.status.success(), "ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
}
