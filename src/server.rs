//! What monitoring asks over HTTP: `/metrics`, `/livez` and `/readyz`, which says what is pending.

use std::{
    borrow::Cow,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

use crate::{
    metrics::Metrics,
    runtime::{lock, stop::Stop},
};

/// A process whose heart did not beat for this long is stuck, and better started anew.
const STUCK: Duration = Duration::from_mins(1);

/// What the process is up to, as the probes tell it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Health(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    beat: Instant,
    pending: Vec<(Cow<'static, str>, String)>,
    role: String,
}

impl Default for Health {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Inner { beat: Instant::now(), pending: Vec::new(), role: "starting".to_owned() })))
    }
}

impl Health {
    /// The main loop is at work.
    pub fn beat(&self) {
        lock(&self.0).beat = Instant::now();
    }

    /// `what` is waited for; `why` in one line.
    pub fn pending(&self, what: impl Into<Cow<'static, str>>, why: impl Into<String>) {
        let (mut inner, what) = (lock(&self.0), what.into());
        inner.pending.retain(|(known, _)| *known != what);
        inner.pending.push((what, why.into()));
    }

    /// `what` is there.
    pub fn done(&self, what: &str) {
        lock(&self.0).pending.retain(|(known, _)| known != what);
    }

    /// The role in the election, for people.
    pub fn role(&self, role: impl Into<String>) {
        lock(&self.0).role = role.into();
    }

    fn alive(&self) -> Result<String, String> {
        let silent = lock(&self.0).beat.elapsed();
        if silent < STUCK { Ok("ok\n".to_owned()) } else { Err(format!("stuck for {} s\n", silent.as_secs())) }
    }

    fn ready(&self) -> Result<String, String> {
        let inner = lock(&self.0);
        let role = format!("role: {}\n", inner.role);
        if inner.pending.is_empty() {
            return Ok(format!("ok\n{role}"));
        }
        let lines = inner.pending.iter().map(|(what, why)| format!("waiting for {what}: {why}\n"));
        Err(lines.chain([role]).collect())
    }
}

/// Answers on `address` until `stop`.
///
/// # Errors
/// Where the address cannot be listened on.
pub async fn listen(address: SocketAddr, health: Health, metrics: Metrics, stop: Stop) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let router = Router::new()
        .route("/metrics", get(|State((_, metrics)): State<(Health, Metrics)>| async move { text(metrics.encode()) }))
        .route("/livez", get(|State((health, _)): State<(Health, Metrics)>| async move { verdict(health.alive()) }))
        .route("/readyz", get(|State((health, _)): State<(Health, Metrics)>| async move { verdict(health.ready()) }))
        .with_state((health, metrics));
    tokio::spawn(async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(async move { stop.stopped().await }).await;
        if let Err(error) = served {
            tracing::error!(%error, "the metrics endpoint ended");
        }
    });
    Ok(bound)
}

fn verdict(result: Result<String, String>) -> Response {
    match result {
        Ok(text) => (StatusCode::OK, text).into_response(),
        Err(text) => (StatusCode::SERVICE_UNAVAILABLE, text).into_response(),
    }
}

fn text(encoded: Result<String, std::fmt::Error>) -> Response {
    match encoded {
        Ok(body) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], body).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_says_what_is_pending_and_the_role() {
        let health = Health::default();
        health.pending("CRDs", "mailservers.mailverity.dev is not installed");
        health.pending("CRDs", "still not installed");
        assert_eq!(health.ready().unwrap_err(), "waiting for CRDs: still not installed\nrole: starting\n");
        health.done("CRDs");
        health.role("follower of mailverity-0");
        assert_eq!(health.ready().unwrap(), "ok\nrole: follower of mailverity-0\n");
    }

    #[test]
    fn a_process_whose_heart_stopped_is_not_alive() {
        let health = Health::default();
        assert!(health.alive().is_ok());
        lock(&health.0).beat = Instant::now().checked_sub(Duration::from_secs(61)).unwrap();
        assert!(health.alive().unwrap_err().starts_with("stuck"));
        health.beat();
        assert!(health.alive().is_ok());
    }
}
