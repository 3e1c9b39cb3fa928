//! What a check found, as the status keeps it: endpoint, capabilities, certificate, stages, vantage points. Everything
//! that a server said is cut to the bounds of the schema here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Check, View, Views, inputs::endpoints, judge::is_open, status::claim_of};
use crate::{
    api::v1alpha1::{ActorStatus, Capabilities, CheckPhase, EndpointStatus, LastCheck, MailServerSpec, MailServerStatus},
    mail::Diagnosis,
    verify::{
        Report,
        conditions::{MESSAGE, cut},
        halt::whole_seconds,
        report::{human, list, oauth2_status, stage_status, text, tls_status},
    },
};

/// Where the spec says that the server is. What was found at another endpoint says nothing of this one.
pub(super) fn endpoint(status: &mut MailServerStatus, spec: &MailServerSpec) {
    let Some(primary) = endpoints(spec).ok().and_then(|all| all.into_iter().next()) else { return };
    let address = cut(&primary.to_string(), 300).to_owned();
    let known = status.endpoint.take().filter(|known| known.address == address).unwrap_or_default();
    status.endpoint = Some(EndpointStatus { address, port: i32::from(primary.port), security: primary.security, ..known });
}

/// Takes up what a check found; `with_tokens`: its account logs in by access tokens.
pub(super) fn found(status: &mut MailServerStatus, check: &Check, report: &Report, views: &Views, with_tokens: bool) {
    if status.inputs_observed.as_ref() != Some(&check.inputs) {
        status.capabilities = None;
        status.tls = None;
        if let Some(endpoint) = &mut status.endpoint {
            (endpoint.active, endpoint.addresses, endpoint.helo) = (None, Vec::new(), None);
        }
    }
    if let Some(endpoint) = &mut status.endpoint {
        if report.failure.is_none() {
            endpoint.active = Some(cut(&report.endpoint, 300).to_owned());
        }
        if !report.addresses.is_empty() {
            endpoint.addresses = list(&report.addresses, 16, 64);
        }
        endpoint.helo = text(report.helo.as_deref(), 300).or(endpoint.helo.take());
    }
    status.capabilities = report.capabilities.as_ref().map(capabilities).or(status.capabilities.take());
    status.tls = report.tls.as_ref().map(tls_status).or(status.tls.take());
    if report.tls_hello {
        status.tls_hello_generation = Some(check.generation);
    }
    status.oauth2 = oauth2_status(report, status.oauth2.take()).filter(|_| with_tokens);
    status.last_check = Some(last_check(check, report));
    status.actors = views.0.iter().take(32).map(|view| actor(check, view)).collect();
    settle(status, check, report);
}

/// A claim whose mail left stays, as the time of the last mail; one whose mail never left its final dot is dropped.
fn settle(status: &mut MailServerStatus, check: &Check, report: &Report) {
    let sent = report.delivery.as_ref().is_some_and(|delivery| delivery.dot_sent);
    let ours = status.claim.as_ref().is_some_and(|claim| claim.id == check.id);
    if sent && !ours {
        // The status that was read is older than the claim.
        status.claim = Some(claim_of(check));
    } else if ours && !sent {
        status.claim = None;
    }
}

fn last_check(check: &Check, report: &Report) -> LastCheck {
    LastCheck {
        id: cut(&check.id, 64).to_owned(),
        phase: CheckPhase::Finished,
        started_at: Some(Time(whole_seconds(check.started))),
        duration: Some(cut(&human(report.duration), 16).to_owned()),
        level: report.level,
        result: Some(result(report, "Unknown").to_owned()),
        stages: report.stages.iter().take(16).map(stage_status).collect(),
    }
}

fn actor(check: &Check, View { actor, zone, report }: &View) -> ActorStatus {
    let failure = report.failure.as_ref();
    ActorStatus {
        name: cut(actor, 253).to_owned(),
        zone: text(zone.as_deref(), 63),
        state: result(report, "Pending").to_owned(),
        reason: Some(failure.map_or("Succeeded", |failure| failure.reason.as_str()).to_owned()),
        message: text(Some(&report.message()), MESSAGE),
        hint: text(failure.map(Diagnosis::hint).as_deref(), MESSAGE),
        source_ip: text(report.source_ip.as_deref(), 64),
        observed_ip: text(report.observed_ip.as_deref(), 64),
        last_check_time: Some(Time(whole_seconds(check.started))),
    }
}

fn result<'a>(report: &Report, open: &'a str) -> &'a str {
    match &report.failure {
        None => "Verified",
        Some(failure) if is_open(failure) => open,
        Some(_) => "Unverified",
    }
}

fn capabilities(found: &Capabilities) -> Capabilities {
    Capabilities {
        banner: text(found.banner.as_deref(), 256),
        extensions: list(&found.extensions, 32, 64),
        auth_mechanisms: list(&found.auth_mechanisms, 16, 32),
        max_size: found.max_size.filter(|size| *size >= 0),
    }
}
