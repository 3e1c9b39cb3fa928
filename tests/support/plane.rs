//! A control plane that one test has for itself.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::cluster::{root, signal};

/// A control plane of a test's own.
pub struct Plane {
    pub dir: PathBuf,
}

impl Plane {
    /// Starts one, all of whose requests by service accounts are in its audit log.
    pub async fn up(test: &str) -> Self {
        // Beneath the run's own, so that it is ended with it where no test lives to end it.
        let run = std::env::var("MAILVERITY_TEST_CONTROLPLANE").expect("run `make test`, which starts an API server");
        let dir = Path::new(&run).join("planes").join(format!("{test}-{}", uuid::Uuid::new_v4().simple()));
        let plane = Self { dir: dir.clone() };
        let up = tokio::task::spawn_blocking(move || {
            Command::new(script("up.sh")).arg(dir).env("AUDIT", "1").env("WHOLE", "1").stdout(Stdio::null()).status().unwrap()
        });
        assert!(up.await.unwrap().success(), "no control plane");
        plane
    }

    /// kill -9 of the API server; etcd stays.
    pub fn away(&self) {
        let pid = std::fs::read_to_string(self.dir.join("apiserver.pid")).unwrap();
        assert!(signal("KILL", pid.trim()));
    }

    /// The API server is there again, as it was.
    pub fn back(&self) {
        Command::new("setsid").arg("--fork").arg(self.dir.join("apiserver.start")).status().unwrap();
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        Command::new(script("down.sh")).arg(&self.dir).status().ok();
        std::fs::remove_dir_all(&self.dir).ok();
    }
}

fn script(name: &str) -> PathBuf {
    root().join("tests/controlplane").join(name)
}
