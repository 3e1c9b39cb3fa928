//! The receiver's certificate on disk, as cert-manager or a mounted Secret renews it.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crate::{
    cli::Error,
    mail::tls::{MinVersion, ServerIdentity},
};

/// How often the files are looked at: reading their times costs nothing, and a certificate is renewed days before it ends.
const LOOK: Duration = Duration::from_secs(1);

/// The pair of files.
pub(super) struct Files {
    chain: PathBuf,
    key: PathBuf,
    seen: Option<(SystemTime, SystemTime)>,
}

impl Files {
    pub fn new(chain: &Path, key: &Path) -> Self {
        Self { chain: chain.to_owned(), key: key.to_owned(), seen: None }
    }

    /// Reads the pair.
    pub fn read(&mut self) -> Result<ServerIdentity, Error> {
        self.seen = self.times();
        let (chain, key) = (self.chain.display(), self.key.display());
        let bytes = std::fs::read(&self.chain).map_err(Error::about(format!("--tls-cert {chain}")))?;
        let secret = std::fs::read(&self.key).map_err(Error::about(format!("--tls-key {key}")))?;
        ServerIdentity::from_pem(&bytes, &secret, MinVersion::default(), SystemTime::now())
            .map_err(|unfit| Error::Usage(format!("--tls-cert {chain} (tls.crt), --tls-key {key} (tls.key): {unfit}")))
    }

    fn times(&self) -> Option<(SystemTime, SystemTime)> {
        let time = |path: &Path| std::fs::metadata(path).and_then(|about| about.modified()).ok();
        time(&self.chain).zip(time(&self.key))
    }
}

/// Waits until there is another pair that is good; of a bad one it says what is wrong, once. For ever where there are no files.
pub(super) async fn changed(files: &mut Option<Files>) -> ServerIdentity {
    let Some(files) = files else { return std::future::pending().await };
    loop {
        tokio::time::sleep(LOOK).await;
        if files.times() == files.seen {
            continue;
        }
        match files.read() {
            Ok(identity) => {
                let until = identity.status.not_after.as_deref().unwrap_or_default();
                eprintln!("mailverity: the new certificate is in use; it ends at {until}");
                return identity;
            }
            Err(error) => eprintln!("mailverity: the old certificate stays in use: {error}"),
        }
    }
}
