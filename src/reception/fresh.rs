//! One look at the API server for all that wait for it: what a watch has not brought yet is asked for, at most once a second,
//! however many ask.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::{sync::Mutex, time::Instant};

/// The least time between two looks, where the last ones were of use.
const EVERY: Duration = Duration::from_secs(1);
/// The same where they were not: mail to ids that nobody knows must not keep an API server busy. Below what a mail may wait here.
const RARELY: Duration = Duration::from_secs(8);

/// Looks that are shared.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    last: Mutex<Last>,
    /// Looks in a row that were of no use.
    in_vain: AtomicU32,
}

#[derive(Debug, Default)]
struct Last {
    /// When a look last began.
    begun: Option<Instant>,
    /// When the last that ended had begun, and whether it went well.
    ended: Option<(Instant, bool)>,
}

impl Fresh {
    /// Ends after a look that began after this was asked. Says whether it went well.
    pub async fn look<F: Future<Output = bool>>(&self, look: impl FnOnce() -> F) -> bool {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some((_, went_well)) = last.ended.filter(|(begun, _)| *begun >= asked) {
            return went_well;
        }
        if let Some(begun) = last.begun {
            let doubled = EVERY.saturating_mul(1 << self.in_vain.load(Ordering::Relaxed).min(8));
            tokio::time::sleep_until(begun + doubled.min(RARELY)).await;
        }
        let begun = Instant::now();
        last.begun = Some(begun);
        let went_well = look().await;
        last.ended = Some((begun, went_well));
        went_well
    }

    /// What a look was good for.
    pub fn came_to(&self, something: bool) {
        if something {
            self.in_vain.store(0, Ordering::Relaxed);
        } else {
            self.in_vain.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_share_a_look_that_began_after_they_asked() {
        let (fresh, looks) = (Arc::new(Fresh::default()), Arc::new(AtomicU32::new(0)));
        let ask = || {
            let (fresh, looks) = (Arc::clone(&fresh), Arc::clone(&looks));
            tokio::spawn(async move {
                let look = || async {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    looks.fetch_add(1, Relaxed) > 0
                };
                fresh.look(look).await
            })
        };
        let first = ask();
        tokio::time::sleep(Duration::from_millis(50)).await;
        // The first look may have missed what these saw.
        let (begun, others) = (Instant::now(), (0..100).map(|_| ask()).collect::<Vec<_>>());
        assert!(!first.await.unwrap());
        for other in others {
            assert!(other.await.unwrap());
        }
        assert_eq!(looks.load(Relaxed), 2);
        assert!(begun.elapsed() >= Duration::from_millis(1040), "at most one a second");
    }
}
