//! An object as the watch keeps it: what wakes it, what metrics show and what a check must know while it runs. The rest is
//! read when it is needed, so that a thousand idle objects cost little; and no object is too malformed for this.

use std::{borrow::Cow, collections::BTreeSet, marker::PhantomData};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use crate::{
    api::{
        Reason,
        v1alpha1::{ListenerStatus, ObjectRef, condition as c},
    },
    runtime::Name,
};

/// The annotations that are looked at: a change of another wakes nobody.
const OURS: &str = "mailverity.dev/";

/// Condition types by number, which takes less room than their names.
const TYPES: [&str; 22] = [
    c::READY,
    c::ACCEPTED,
    c::VERIFIED,
    c::RESOLVED_REFS,
    c::CREDENTIALS_READY,
    c::REACHABLE,
    c::TLS_VALID,
    c::AUTHENTICATED,
    c::DELIVERY_TESTED,
    c::SUSPENDED,
    c::CERTIFICATE_EXPIRING,
    c::CREDENTIAL_HELD,
    c::DEGRADED,
    c::RECONCILING,
    c::STALLED,
    c::SENDER_ALIGNED,
    c::ROUND_TRIP_HEALTHY,
    c::LISTENING,
    c::MX_RECORDS_VALID,
    c::FROM_REWRITTEN,
    c::CREDENTIAL_EXPIRING,
    c::BASIC_AUTH_RETIRING,
];
const STATUSES: [&str; 3] = ["True", "False", "Unknown"];

/// What is kept of an object of type `O`.
#[derive(Clone, Debug, Deserialize)]
#[serde(bound = "")]
pub struct Glance<O> {
    /// Names, versions and our own annotations.
    #[serde(deserialize_with = "slim")]
    pub metadata: ObjectMeta,
    #[serde(default, deserialize_with = "lenient")]
    spec: Spec,
    /// What its status tells.
    #[serde(default, deserialize_with = "lenient")]
    pub status: Told,
    #[serde(skip)]
    of: PhantomData<fn() -> O>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Spec {
    #[serde(default, deserialize_with = "lenient")]
    address: Option<Box<str>>,
    #[serde(default, deserialize_with = "lenient")]
    suspend: bool,
    #[serde(default, deserialize_with = "lenient")]
    verification: Sending,
    #[serde(default, deserialize_with = "lenient")]
    outgoing: Outgoing,
    #[serde(default, rename = "serverRef", deserialize_with = "lenient")]
    server: Option<Box<ObjectRef>>,
    #[serde(default, deserialize_with = "lenient")]
    receive: Receive,
    #[serde(default, deserialize_with = "lenient")]
    domains: Box<[Box<str>]>,
}

/// The server that an object sends by, where it names one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sending {
    #[serde(default, deserialize_with = "lenient")]
    sender_ref: Option<Box<ObjectRef>>,
}

/// The server that an object's owner sends by.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outgoing {
    #[serde(default, deserialize_with = "lenient")]
    server_ref: Option<Box<ObjectRef>>,
}

/// Where answers come to.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receive {
    #[serde(default, deserialize_with = "lenient")]
    receiver_ref: Option<Box<ObjectRef>>,
    #[serde(default, deserialize_with = "lenient")]
    profile_ref: Option<Box<ObjectRef>>,
}

/// What is kept of a status.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    #[serde(default, deserialize_with = "lenient")]
    observed_generation: Option<i64>,
    #[serde(default, deserialize_with = "conditions")]
    conditions: Conditions,
    #[serde(default, rename = "nextCheckTime", alias = "nextRunTime", alias = "nextProbeTime", deserialize_with = "lenient")]
    next_check: Option<Time>,
    /// Until when the mails of a run are looked for.
    #[serde(default, rename = "verification", deserialize_with = "deadline")]
    looks_until: Option<i64>,
    #[serde(default, rename = "tls", deserialize_with = "not_after")]
    not_after: Option<i64>,
    #[serde(default, rename = "oauth2", deserialize_with = "credential_ends")]
    credential_ends: Option<i64>,
    /// Of a kind whose checks send one mail.
    #[serde(default, deserialize_with = "is_there")]
    claim: bool,
    /// Of a kind whose checks send several.
    #[serde(default, deserialize_with = "holds_any")]
    claims: bool,
    /// Of a kind that sends one mail and waits for the answer.
    #[serde(default, deserialize_with = "is_there")]
    in_flight: bool,
    #[serde(default, rename = "lastSuccessTime", deserialize_with = "lenient")]
    last_success: Option<Time>,
    /// The keyed hash of the credentials that were used last.
    #[serde(default, deserialize_with = "lenient")]
    pub credentials_observed: Option<Box<str>>,
    /// Until when they are held.
    #[serde(default, deserialize_with = "lenient")]
    pub credential_held_until: Option<Time>,
    /// The receivers that take mail for it.
    #[serde(default, deserialize_with = "lenient")]
    pub listeners: Box<[ListenerStatus]>,
    /// How often in a row they were refused.
    #[serde(default, deserialize_with = "lenient")]
    pub credential_refusals: Option<u32>,
}

/// What is kept of a status's conditions.
#[derive(Clone, Debug, Default)]
struct Conditions {
    /// Type and status, by number.
    list: Box<[(u8, u8)]>,
    /// Whether another object that it names does not work, which is all that it waits for.
    waits: bool,
}

impl Told {
    /// Whether it holds a claim: a mail may have left.
    #[must_use]
    pub fn is_claimed(&self) -> bool {
        self.claim || self.claims || self.in_flight
    }
}

impl<O> Glance<O> {
    /// Whether `spec.suspend` is true.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.spec.suspend
    }

    /// The address of a mailbox.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.spec.address.as_deref()
    }

    /// The domains that mail is taken for.
    #[must_use]
    pub fn domains(&self) -> &[Box<str>] {
        &self.spec.domains
    }

    /// The servers that it names.
    #[must_use]
    pub fn servers(&self) -> BTreeSet<Name> {
        let own = self.metadata.namespace.as_deref().unwrap_or_default();
        let named = [&self.spec.verification.sender_ref, &self.spec.outgoing.server_ref, &self.spec.server].into_iter().flatten();
        named.map(|named| Name::new(named.namespace.as_deref().unwrap_or(own), &named.name)).collect()
    }

    /// The `MailReceiver` that answers come to.
    #[must_use]
    pub fn receiver(&self) -> Option<Name> {
        self.named(self.spec.receive.receiver_ref.as_deref()?)
    }

    /// The `EmailProfile` whose mailbox answers come to.
    #[must_use]
    pub fn profile(&self) -> Option<Name> {
        self.named(self.spec.receive.profile_ref.as_deref()?)
    }

    fn named(&self, named: &ObjectRef) -> Option<Name> {
        let own = self.metadata.namespace.as_deref()?;
        Some(Name::new(named.namespace.as_deref().unwrap_or(own), &named.name))
    }

    /// Whether no operator has ever looked at it: no status, or the schema's default of -1.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.status.observed_generation.is_none_or(|generation| generation == -1)
    }

    /// Its conditions: type and status.
    pub fn conditions(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.status.conditions.list.iter().map(|(type_, status)| (TYPES[usize::from(*type_)], STATUSES[usize::from(*status)]))
    }

    /// When its next check is due, in seconds since 1970. None while no check would run: it is suspended, paused or in a window,
    /// its credentials are held, what it names cannot be had, or it waits for another object. One that was never judged is due since
    /// it was made.
    #[must_use]
    pub fn next_check(&self) -> Option<i64> {
        let rests = self.conditions().any(|(type_, status)| match type_ {
            c::SUSPENDED | c::CREDENTIAL_HELD => status == "True",
            c::ACCEPTED | c::RESOLVED_REFS | c::CREDENTIALS_READY => status != "True",
            _ => false,
        });
        if rests || self.is_suspended() || self.status.conditions.waits {
            return None;
        }
        // What a run looks for may take longer than until its turn has come.
        let planned = self.status.next_check.as_ref().map(|next| next.0.as_second()).max(self.status.looks_until);
        let unjudged = [(c::VERIFIED, "Unknown"), (c::ROUND_TRIP_HEALTHY, "Unknown")];
        if planned.is_none() && (self.is_fresh() || self.conditions().any(|told| unjudged.contains(&told))) {
            return self.metadata.creation_timestamp.as_ref().map(|made| made.0.as_second());
        }
        planned
    }

    /// When a right answer last came in time, in seconds since 1970.
    #[must_use]
    pub fn last_success(&self) -> Option<i64> {
        self.status.last_success.as_ref().map(|time| time.0.as_second())
    }

    /// The end of its server's certificate, in seconds since 1970.
    #[must_use]
    pub fn not_after(&self) -> Option<i64> {
        self.status.not_after
    }

    /// The end of what its application proves itself by, likewise.
    #[must_use]
    pub fn credential_ends(&self) -> Option<i64> {
        self.status.credential_ends
    }
}

impl<O: Resource<DynamicType = ()>> Resource for Glance<O> {
    type DynamicType = ();
    type Scope = O::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        O::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        O::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        O::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        O::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

fn slim<'de, D: Deserializer<'de>>(from: D) -> Result<ObjectMeta, D::Error> {
    let meta = ObjectMeta::deserialize(from)?;
    let mut annotations = meta.annotations.unwrap_or_default();
    annotations.retain(|key, _| key.starts_with(OURS));
    Ok(ObjectMeta {
        name: meta.name,
        namespace: meta.namespace,
        uid: meta.uid,
        resource_version: meta.resource_version,
        generation: meta.generation,
        creation_timestamp: meta.creation_timestamp,
        deletion_timestamp: meta.deletion_timestamp,
        annotations: (!annotations.is_empty()).then_some(annotations),
        ..ObjectMeta::default()
    })
}

/// A value, or none where it is of another shape than it should be.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(from: D) -> Result<T, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

fn conditions<'de, D: Deserializer<'de>>(from: D) -> Result<Conditions, D::Error> {
    #[derive(Deserialize)]
    struct Condition {
        #[serde(rename = "type")]
        type_: String,
        status: String,
        #[serde(default)]
        reason: String,
    }
    let number = |known: &[&str], word: &str| known.iter().position(|known| *known == word).and_then(|at| u8::try_from(at).ok());
    let all: Vec<Condition> = lenient(from)?;
    let list = all.iter().filter_map(|c| Some((number(&TYPES, &c.type_)?, number(&STATUSES, &c.status)?))).collect();
    let waits = all.iter().any(|known| known.type_ == c::READY && known.reason == Reason::DependencyNotReady.as_str());
    Ok(Conditions { list, waits })
}

fn deadline<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    #[derive(Default, Deserialize)]
    struct Verification {
        deadline: Option<Timestamp>,
    }
    Ok(lenient::<D, Verification>(from)?.deadline.map(Timestamp::as_second))
}

fn not_after<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    #[derive(Default, Deserialize)]
    struct Tls {
        #[serde(rename = "notAfter")]
        not_after: Option<Timestamp>,
    }
    Ok(lenient::<D, Tls>(from)?.not_after.map(Timestamp::as_second))
}

fn credential_ends<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    #[derive(Default, Deserialize)]
    struct OAuth2 {
        #[serde(rename = "credentialExpiresAt")]
        credential_expires_at: Option<Timestamp>,
    }
    Ok(lenient::<D, OAuth2>(from)?.credential_expires_at.map(Timestamp::as_second))
}

fn is_there<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(Option::<serde::de::IgnoredAny>::deserialize(from)?.is_some())
}

fn holds_any<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(!lenient::<D, Vec<serde::de::IgnoredAny>>(from)?.is_empty())
}

#[cfg(test)]
mod tests;
