//! Looking at the cluster again and again, until something is so or nobody wants to wait longer. An API server that is away for a
//! while, as in an upgrade, is waited for: what was asked for goes on without it.

use std::time::Duration;

use mailverity::runtime::ApiError;
use tokio::time::{Instant, sleep_until};

/// Between two looks at a status.
const EVERY: Duration = Duration::from_millis(500);

/// Until when one looks, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    end: Instant,
    /// To the second look.
    first: Duration,
    /// How much longer it is to each that follows.
    factor: u32,
}

impl Patience {
    /// Looks every half second for so long.
    pub fn of(duration: Duration) -> Self {
        Self::until(Instant::now() + duration)
    }

    /// Looks every half second until then.
    pub fn until(end: Instant) -> Self {
        Self { end, first: EVERY, factor: 1 }
    }

    /// Looks again after `first`, and each time after twice as long, where a look costs the API server much.
    pub fn slowing(self, first: Duration) -> Self {
        Self { first, factor: 2, ..self }
    }

    /// What the first look saw that is enough, or what the last one saw where none is in time.
    ///
    /// # Errors
    /// At once where no other look would help: there is no such object, or no right. Else what the last look met, once time is over.
    pub async fn look<T>(
        self,
        mut once: impl AsyncFnMut() -> Result<T, ApiError>,
        mut is_enough: impl FnMut(&T) -> bool,
    ) -> Result<T, ApiError> {
        let (mut pause, mut told) = (self.first, false);
        loop {
            let seen = once().await;
            let over = Instant::now() >= self.end;
            match seen {
                Ok(seen) if over || is_enough(&seen) => return Ok(seen),
                Ok(_) => told = false,
                Err(error) if over || !may_pass(&error) => return Err(error),
                // Whoever has the address of the cluster wrong is not to wait for minutes without a word.
                Err(error) if !told => {
                    eprintln!("kubectl-mail: {error}; tried again");
                    told = true;
                }
                Err(_) => {}
            }
            sleep_until(self.end.min(Instant::now() + pause)).await;
            pause *= self.factor;
        }
    }
}

/// Whether another look may come to more: not without the object, nor as nobody, nor without the right.
fn may_pass(error: &ApiError) -> bool {
    !matches!(error.code(), Some(401 | 403 | 404))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16) -> ApiError {
        let status = serde_json::json!({"status": "Failure", "message": format!("it was {code}"), "code": code});
        kube::Error::Api(Box::new(serde_json::from_value(status).unwrap())).into()
    }

    /// Looks for 3 s: what the looks saw, and how long it took.
    async fn looked(seen: &[Result<u32, u16>]) -> (Result<u32, String>, Duration) {
        let (begun, mut looks) = (Instant::now(), seen.iter());
        let once = async || match looks.next() {
            Some(Ok(number)) => Ok(*number),
            Some(Err(0)) | None => Err(ApiError::TimedOut(Duration::from_secs(1))),
            Some(Err(code)) => Err(refused(*code)),
        };
        let ended = Patience::of(Duration::from_secs(3)).look(once, |number| *number > 1).await;
        (ended.map_err(|error| error.to_string()), begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_is_away_for_a_while_is_waited_for() {
        assert_eq!(looked(&[Ok(2)]).await, (Ok(2), Duration::ZERO));
        assert_eq!(looked(&[Ok(1), Err(503), Err(0), Err(429), Err(500), Ok(2)]).await, (Ok(2), Duration::from_millis(2500)));
        let (ended, took) = looked(&[Ok(1)]).await;
        assert_eq!((ended, took), (Err("the API server did not answer in 1 s".to_owned()), Duration::from_secs(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_other_look_would_change_ends_it_at_once() {
        for code in [401, 403, 404] {
            assert_eq!(looked(&[Ok(1), Err(code), Ok(2)]).await, (Err(format!("it was {code}")), Duration::from_millis(500)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_seen_last_is_told_where_nothing_was_enough() {
        let (begun, mut looks) = (Instant::now(), 0);
        let once = async || {
            looks += 1;
            Ok(looks)
        };
        let slow = Patience::of(Duration::from_secs(15)).slowing(Duration::from_secs(1));
        assert_eq!(slow.look(once, |_| false).await.unwrap(), 5, "after 0, 1, 3, 7 and 15 seconds");
        assert_eq!(begun.elapsed(), Duration::from_secs(15));
    }
}
