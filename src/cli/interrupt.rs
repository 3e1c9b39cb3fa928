//! Ctrl-C, and what `kill` sends: what is under way ends in order. Whoever asks twice does not want to wait.

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::Exit;

/// Whether somebody wants an end.
#[derive(Clone)]
pub struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Listens from now on, in a task of the current runtime. The second signal ends the program at once.
    ///
    /// # Errors
    /// Where signals cannot be listened to.
    pub fn listen() -> std::io::Result<Self> {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let (told, heard) = watch::channel(false);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if told.send_replace(true) {
                    std::process::exit(Exit::Unverified as i32);
                }
            }
        });
        Ok(Self(heard))
    }

    /// One that is never heard.
    #[must_use]
    pub fn never() -> Self {
        Self(watch::channel(false).1)
    }

    /// Whether it was heard.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is heard.
    pub async fn heard(&self) {
        // An error means that nobody listens any more.
        if self.0.clone().wait_for(|heard| *heard).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
