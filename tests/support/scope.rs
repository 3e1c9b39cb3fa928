//! What the operators of the tests work for: each for the namespace of its test, or for a whole cluster with
//! `MAILVERITY_TEST_SCOPE=Cluster`. Each test has a control plane of its own then: an operator would take the objects of all other
//! tests for its own.

use std::{
    collections::HashMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex, Weak},
};

use super::plane::Plane;

/// Whether operators work for a whole cluster.
pub fn is_cluster() -> bool {
    std::env::var("MAILVERITY_TEST_SCOPE").is_ok_and(|scope| scope == "Cluster")
}

/// The control plane of one test, whose audit log is added to that of the run when the test ends.
pub struct Own {
    plane: Plane,
}

impl Own {
    /// Its folder.
    pub fn dir(&self) -> PathBuf {
        self.plane.dir.clone()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        static ONE: Mutex<()> = Mutex::new(());
        let run = std::env::var("MAILVERITY_TEST_CONTROLPLANE").unwrap();
        let asked = fs::read(self.plane.dir.join("audit.log")).unwrap_or_default();
        let _one = ONE.lock();
        let log = fs::OpenOptions::new().append(true).create(true).open(Path::new(&run).join("audit.log"));
        log.and_then(|mut log| log.write_all(&asked)).unwrap();
    }
}

/// The control plane of the test that asks. All namespaces of a test are in one.
pub async fn own() -> Arc<Own> {
    type Slot = Arc<tokio::sync::Mutex<Weak<Own>>>;
    static ALL: LazyLock<Mutex<HashMap<String, Slot>>> = LazyLock::new(Mutex::default);
    // The test harness names the threads of tests after them.
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let slot = Arc::clone(ALL.lock().unwrap().entry(test).or_default());
    let mut slot = slot.lock().await;
    if let Some(own) = slot.upgrade() {
        return own;
    }
    let own = Arc::new(Own { plane: Plane::up("own").await });
    *slot = Arc::downgrade(&own);
    own
}
