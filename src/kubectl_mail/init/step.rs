//! What else is to be done for a manifest, as comments above it: the Secrets that it names, then what to run. No value of a Secret is asked
//! for, and none is printed.

use super::{Connect, Draft};

/// Something that has to be there before the object works, by the name of its Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// An account with its password.
    Password(String),
    /// An application's client secret.
    ClientSecret(String),
    /// An application's certificate, and the key to it.
    Certificate(String),
    /// The JSON key of a Google service account.
    ServiceAccountKey(String),
    /// A ServiceAccount that vouches for the application; no Secret.
    WorkloadIdentity,
    /// A refresh token that was had by other ways than `kubectl mail login`.
    RefreshToken(String),
}

/// What a person has to do once the object is there, by the name of the Secret that the refresh token comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// Consent in a browser; the plugin writes the Secret.
    Consent(String),
    /// Enter a code on a page; the operator makes the Secret.
    Code(String),
}

/// The comments for a draft, with the namespace and the cluster that were named in each command. The manifest itself has the namespace.
pub(super) fn comments(draft: &Draft, connect: &Connect) -> String {
    let cluster = connect.cluster();
    let place = connect.named().map(|namespace| format!(" -n {namespace}")).unwrap_or_default() + &cluster;
    let steps: String = draft.steps.iter().map(|step| step.comment(&place)).collect();
    let check = format!("# Then: mailverity check -f THIS.yaml && kubectl{cluster} apply -f THIS.yaml\n");
    let target = format!("{}/{}", draft.kind.singular(), draft.name);
    let last = match &draft.sign_in {
        None => format!("# And: kubectl mail{place} wait {target}\n"),
        Some(SignIn::Consent(secret)) => {
            let why =
                format!("# And, for a person to consent in a browser, by which the refresh token comes to Secret {secret}:\n");
            why + &format!("#   kubectl mail{place} login {target}\n")
        }
        Some(SignIn::Code(secret)) => {
            let why = "# And, for a person to sign in with a code; the operator, started with --token-secrets, makes";
            format!("{why} Secret {secret}:\n#   kubectl mail{place} login {target}\n")
        }
    };
    steps + &check + &last
}

impl Step {
    fn comment(&self, place: &str) -> String {
        let generic = "create secret generic";
        let (what, command) = match self {
            Self::Password(name) => (
                "The account, with its password in a file, so that no history has it, and no newline at its end (printf %s)",
                format!("{generic} {name} --from-literal=username=... --from-file=password=..."),
            ),
            Self::ClientSecret(name) => (
                "The application's client secret, in a file, so that no history has it, and no newline at its end (printf %s)",
                format!("{generic} {name} --from-file=clientSecret=..."),
            ),
            Self::Certificate(name) => {
                ("The application's certificate, and the key to it", format!("create secret tls {name} --cert=... --key=..."))
            }
            Self::ServiceAccountKey(name) => {
                ("The service account's JSON key", format!("{generic} {name} --from-file=key.json=..."))
            }
            Self::WorkloadIdentity => (
                "The ServiceAccount that the provider trusts, by the name that the operator was given by --federated-service-account",
                "create serviceaccount mailverity-mail".to_owned(),
            ),
            Self::RefreshToken(name) => (
                "The refresh token, in a file, so that no history has it, and no newline at its end (printf %s)",
                format!("{generic} {name} --from-file=refresh_token=..."),
            ),
        };
        format!("# {what}:\n#   kubectl{place} {command}\n")
    }
}
