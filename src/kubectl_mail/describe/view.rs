//! What a kind shows of itself, beside what all kinds have.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use mailverity::{
    api::v1alpha1::{OAuth2Status, StageResult, StageStatus, State, TlsStatus},
    mail::diagnosis::printable,
};

use crate::line::Line;

/// What is shown of one object.
#[derive(Default)]
pub struct View {
    /// Names and values, as `Endpoint`, `smtp.corp.example:587`.
    pub facts: Vec<(&'static str, String)>,
    /// What each actor, process or part found, under this title.
    pub found: Vec<(&'static str, Vec<Line>)>,
    /// Sessions with a server: what they were, and their stages.
    pub sessions: Vec<(String, Vec<StageStatus>)>,
    /// What was, and what is to come.
    pub moments: Vec<Moment>,
}

/// A moment of a timeline.
pub struct Moment {
    pub at: Timestamp,
    pub what: String,
}

impl View {
    /// A fact, where there is one.
    pub fn fact(&mut self, name: &'static str, value: Option<impl Into<String>>) {
        let value = value.map(Into::into).filter(|value: &String| !value.is_empty());
        self.facts.extend(value.map(|value| (name, value)));
    }

    /// A moment, where there is one.
    pub fn moment(&mut self, at: Option<&Time>, what: impl Into<String>) {
        self.moments.extend(at.map(|at| Moment { at: at.0, what: what.into() }));
    }

    /// What each of these found.
    pub fn lines(&mut self, title: &'static str, lines: impl IntoIterator<Item = impl Into<Line>>) {
        let lines: Vec<Line> = lines.into_iter().map(Into::into).collect();
        if !lines.is_empty() {
            self.found.push((title, lines));
        }
    }

    /// A session, where there was one.
    pub fn session(&mut self, title: String, stages: &[StageStatus]) {
        if !stages.is_empty() {
            self.sessions.push((title, stages.to_vec()));
        }
    }

    /// When credentials are tried again, and tokens end.
    pub fn credentials(&mut self, held: Option<&Time>, refusals: Option<i32>, oauth2: Option<&OAuth2Status>) {
        let refusals = refusals.filter(|count| *count > 0).map(|count| format!(" after {count} refused in a row"));
        self.moment(held, format!("the first login again{}", refusals.unwrap_or_default()));
        self.moment(oauth2.and_then(|oauth2| oauth2.token_expires_at.as_ref()), "the access token ends");
    }
}

/// Active, Suspended or Paused.
pub fn state(state: Option<State>) -> Option<String> {
    state.map(|state| format!("{state:?}"))
}

/// Which TLS was spoken, and what certificate was shown.
pub fn tls(tls: Option<&TlsStatus>) -> Option<String> {
    let tls = tls?;
    let parts = [("", &tls.version), ("certificate of ", &tls.subject), ("issued by ", &tls.issuer), ("until ", &tls.not_after)];
    let parts: Vec<String> = parts.iter().filter_map(|(word, value)| Some(format!("{word}{}", value.as_ref()?))).collect();
    Some(parts.join(", "))
}

/// A stage as `mailverity probe` prints it.
pub fn stage(stage: &StageStatus) -> String {
    let word = match stage.result {
        StageResult::Passed => "ok  ",
        StageResult::Failed => "FAIL",
        StageResult::Skipped => "skip",
    };
    let detail = printable(stage.detail.as_deref().unwrap_or_default(), 256);
    format!("  {word} {:<10} {:>8}  {detail}", stage.name, stage.duration).trim_end().to_owned()
}
