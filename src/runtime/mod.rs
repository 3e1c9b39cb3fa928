//! What a controller needs of a cluster: who leads, what may be read, what is written and how much at once. It knows no mail
//! protocol and no kind of ours; those are in [`crate::controllers`].

pub mod config;
pub mod destinations;
pub mod election;
pub mod identity;
pub mod kept;
pub mod key;
pub mod lease;
pub mod limits;
pub mod links;
pub mod patch;
pub mod pause;
pub mod references;
pub mod roster;
pub mod secrets;
pub mod stop;

use std::{
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The most time that one request to the API server may take; watches have their own bound.
pub const API_TIMEOUT: Duration = Duration::from_secs(10);

/// The field manager of everything that the operator writes.
pub const FIELD_MANAGER: &str = "mailverity-operator";

/// An object of one kind by namespace and name. A clone is the same in memory: much is kept by name, and of many objects.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<Parts>);

/// The parts of a [`Name`].
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Parts {
    /// The object's namespace.
    pub namespace: String,
    /// Its name in there.
    pub name: String,
}

impl Deref for Name {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Name {
    /// The object `name` in `namespace`.
    #[must_use]
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self(Arc::new(Parts { namespace: namespace.into(), name: name.into() }))
    }

    /// The name in an object's metadata; empty parts where it has none.
    #[must_use]
    pub fn of(object: &impl kube::ResourceExt) -> Self {
        Self::new(object.namespace().unwrap_or_default(), object.name_any())
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// An object of any kind: two kinds may have objects of one name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Who {
    /// Its kind, as manifests write it.
    pub kind: &'static str,
    /// Its name.
    pub name: Name,
}

impl Who {
    /// The object `name` of `kind`.
    #[must_use]
    pub fn new(kind: &'static str, name: Name) -> Self {
        Self { kind, name }
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// What a mutex guards, also after a panic elsewhere: every guarded value here is whole between statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request to the API server within [`API_TIMEOUT`].
///
/// # Errors
/// Those of the request, and [`ApiError::TimedOut`].
pub async fn bounded<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
    within(API_TIMEOUT, request).await
}

/// A request to the API server within `most`.
///
/// # Errors
/// Those of the request, and [`ApiError::TimedOut`].
pub async fn within<T>(most: Duration, request: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
    match tokio::time::timeout(most, request).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(ApiError::TimedOut(most)),
    }
}

/// Why a request to the API server came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// It refused, or could not be reached.
    #[error("{}", said(.0))]
    Failed(#[from] kube::Error),
    /// No answer in this time.
    #[error("the API server did not answer in {} s", .0.as_secs())]
    TimedOut(Duration),
}

impl ApiError {
    /// The HTTP status of the answer, where there was one.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Failed(kube::Error::Api(status)) => Some(status.code),
            _ => None,
        }
    }

    /// There is no such object.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.code() == Some(404)
    }

    /// The resourceVersion was not the latest, the uid not the object's, or the object exists already.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// RBAC does not grant it.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.code() == Some(403)
    }
}

/// The API server's own message, or the cause behind an error that only says "service error".
fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        // A body that could not be read may be a Secret's: serde's message can quote it.
        kube::Error::SerdeError(_) => "the API server's answer could not be read".to_owned(),
        kube::Error::Service(cause) => {
            let mut deepest: &dyn std::error::Error = cause.as_ref();
            while let Some(next) = deepest.source() {
                deepest = next;
            }
            format!("the API server cannot be reached: {deepest}")
        }
        other => other.to_string(),
    }
}
