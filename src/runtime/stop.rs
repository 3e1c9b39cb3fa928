//! One signal that ends what runs: the whole process, or a term as leader. Cheap to clone, told once, heard for ever.

use tokio::sync::watch;

/// Hears whether to stop.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// Says stop. Dropping it says so too, so that nothing outlives what it belongs to.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

impl Stop {
    /// A signal and its two ends.
    #[must_use]
    pub fn new() -> (Stopper, Self) {
        let (sender, receiver) = watch::channel(false);
        (Stopper(sender), Self(receiver))
    }

    /// Whether it was said.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Ends when it is said.
    pub async fn stopped(&self) {
        // An error means that the other end is gone, which says stop as well.
        let _ = self.0.clone().wait_for(|stopped| *stopped).await;
    }
}

impl Stopper {
    /// Says stop.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_listens_hears_it_also_later() {
        let (stopper, stop) = Stop::new();
        assert!(!stop.is_stopped());
        stopper.stop();
        stop.stopped().await;
        assert!(stop.clone().is_stopped());
    }

    #[tokio::test]
    async fn dropping_the_stopper_says_stop() {
        let (stopper, stop) = Stop::new();
        drop(stopper);
        stop.stopped().await;
        assert!(stop.is_stopped());
    }
}
