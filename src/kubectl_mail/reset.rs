//! `kubectl mail reset`: clears settings, which ends all mail by them.

use clap::Args;
use kube::api::{DeleteParams, Preconditions};
use mailverity::runtime::bounded;

use super::{Connect, Error, Exit, Target, ask, describe, links};

/// Clear the settings of an object: it is deleted, after a question, and nothing is sent or checked by it any more.
///
/// It says who uses it. Secrets stay, and so does what a GitOps tool has in Git, which would bring it back.
///
/// Exit codes: 0 deleted; 1 not, as you said no; 2 nobody to ask and no --yes, no such object, or bad usage.
#[derive(Args, Debug)]
pub struct Reset {
    /// The object, as KIND/NAME.
    #[arg(value_name = "KIND/NAME", value_parser = named)]
    target: Target,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
}

/// Its kind has to be said: a kind that was meant by nobody is not to be deleted.
fn named(text: &str) -> Result<Target, String> {
    if !text.contains('/') {
        return Err(format!("of which kind? Say one, such as ms/{text} or emp/{text}"));
    }
    Target::namespaced(text)
}

impl Reset {
    pub async fn run(self, connect: &Connect) -> Result<Exit, Error> {
        let (client, namespace) = connect.client().await?;
        let Self { target, yes } = self;
        let object = target.get(&client, &namespace).await?;
        let around = describe::around(&client, &object).await;
        let title = target.title(&namespace);
        let users: Vec<String> = links::users(&object, &around).iter().map(|link| link.told(&namespace)).collect();
        if !users.is_empty() {
            eprintln!("{title} is used by {}, which will wait for it.", users.join(", "));
        }
        if !yes {
            if !ask::can() {
                return Err("there is nobody to ask: say --yes".into());
            }
            if !ask::yes(&format!("Delete {title}?"))? {
                println!("{title}: not deleted");
                return Ok(Exit::Unverified);
            }
        }
        // The one that was shown, and no other that has its name since.
        let preconditions = Some(Preconditions { uid: object.raw.metadata.uid.clone(), resource_version: None });
        let params = DeleteParams { preconditions, ..DeleteParams::default() };
        bounded(target.kind.api(&client, Some(&namespace)).delete(&target.name, &params)).await?;
        println!("{title}: deleted");
        Ok(Exit::Good)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_deleted_is_named_by_its_kind() {
        assert_eq!(named("ms/relay").unwrap().to_string(), "mailserver/relay");
        assert_eq!(named("relay").unwrap_err(), "of which kind? Say one, such as ms/relay or emp/relay");
        assert!(named("actor/dmz").is_err());
    }
}
