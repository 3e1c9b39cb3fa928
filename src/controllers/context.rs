//! What reconciliations and checks of one kind share in one term: its objects, what they refer to, the checks that run, and
//! how its objects are woken, read and told.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt};
use kube::{
    Api,
    core::{DeserializeGuard, object::HasStatus},
    runtime::watcher,
};
use tokio::sync::{OnceCell, mpsc, watch};

use super::{
    checks::Checks,
    dependents::Dependents,
    glance::Glance,
    ground::Settings,
    kind::{Kind, Standing, Status},
    known::Known,
    lead::first_list,
    reconcile::Error,
    term::{Looked, Term},
};
use crate::{
    api::v1alpha1::condition::{LISTENING, READY, RECONCILING, SUSPENDED, VERIFIED},
    metrics::Object,
    runtime::{ApiError, Name, Who, bounded, lock, references::Cluster, secrets::Uses},
    verify::{breaker::Hold, budget::Allowance, gate::Account, mail_server::Event},
};

/// What reconciliations and checks of one kind share.
pub struct Context<K: Kind> {
    /// What all kinds share.
    pub term: Arc<Term>,
    /// What this kind alone knows of its objects.
    pub own: K,
    /// Where Secrets and `ConfigMaps` are read.
    pub references: Cluster,
    /// Which objects refer to which Secrets and `ConfigMaps`.
    pub uses: Uses,
    /// Which objects name which objects of other kinds, and are woken when those change.
    pub dependents: Dependents,
    /// The objects.
    pub known: Known<K::Object>,
    /// Checks that run, and reports that wait to be told.
    pub checks: Checks<K::Check, K::Report>,
    rebuilt: OnceCell<()>,
    /// Whether the API server knows no such kind.
    pub(super) missing: watch::Sender<bool>,
    failures: Mutex<HashMap<Name, u32>>,
    wakes: Vec<(Option<String>, mpsc::UnboundedSender<Name>)>,
}

impl<K: Kind> Context<K> {
    /// The context of a kind in a term that begins. `wakes` reach the controller of each namespace (none: of all).
    #[must_use]
    pub fn new(term: Arc<Term>, known: Known<K::Object>, wakes: Vec<(Option<String>, mpsc::UnboundedSender<Name>)>) -> Self {
        let (uses, mine) = (Uses::default(), Arc::clone(&term));
        Self {
            references: Cluster::noting(term.ground.client.clone(), uses.clone())
                .with_actors(Arc::clone(&term.roster))
                .with_tokens(Arc::clone(&term.ground.tokens))
                .with_keeper(term.ground.keeper(Arc::new(move |place| mine.rests(place))))
                .with_federated(term.settings().federated_account.clone()),
            term,
            own: K::default(),
            uses,
            dependents: Dependents::default(),
            known,
            checks: Checks::default(),
            rebuilt: OnceCell::new(),
            missing: watch::channel(false).0,
            failures: Mutex::default(),
            wakes,
        }
    }

    /// How the operator was set up.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        self.term.settings()
    }

    /// An object of this kind among those of all kinds.
    #[must_use]
    pub fn who(name: &Name) -> Who {
        Who::new(K::KIND, name.clone())
    }

    /// Ends once everything is known that a decision rests on.
    pub async fn ready(&self) {
        self.term.ready().await;
        // A kind that was not installed when the term began comes later than the others.
        self.rebuilt().await;
    }

    /// Ends once all objects of the kind are known, and taken up what their statuses tell.
    async fn rebuilt(&self) {
        let rebuild = async {
            self.known.listed().await;
            let objects = self.known.all();
            for object in &objects {
                self.remember(object).await;
            }
            self.term.ground.health.done(&first_list(K::KIND));
            tracing::info!(kind = K::KIND, objects = objects.len(), "all objects are known");
        };
        self.rebuilt.get_or_init(|| rebuild).await;
    }

    /// Takes up what the status of an object tells: a refused login, a mail that was sent.
    async fn remember(&self, object: &Glance<K::Object>) {
        let (told, memory) = (&object.status, &self.term.ground.memory);
        if let (Some(until), Some(credentials)) = (&told.credential_held_until, &told.credentials_observed) {
            let refusals = told.credential_refusals.unwrap_or_default();
            lock(&memory.breaker).restore(Hold { credentials: credentials.to_string(), until: until.0, refusals });
        }
        if !told.is_claimed() {
            return;
        }
        // Without it a budget would not know of the mail: it is worth every attempt.
        let name = Name::of(object);
        let object = loop {
            match self.read(&name).await {
                Ok(object) => break object.and_then(|object| object.0.ok()),
                Err(error) => tracing::warn!(object = %name, %error, "its claim could not be read; tried again"),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        if let Some(object) = object {
            K::remember(&object, memory);
        }
    }

    /// The object as it is now, or why it cannot be read; none if it is gone.
    ///
    /// # Errors
    /// Those of the API server.
    pub async fn read(&self, name: &Name) -> Result<Option<DeserializeGuard<K::Object>>, ApiError> {
        let api: Api<DeserializeGuard<K::Object>> = Api::namespaced(self.term.ground.client.clone(), &name.namespace);
        bounded(api.get_opt(&name.name)).await
    }

    /// Writes a status over the object that was seen, with the Events that go with it, and returns the object as it then is.
    /// Whoever rests on the object hears of it. Whether it is worth a write is for the kind to say.
    ///
    /// # Errors
    /// Those of the API server, a conflict among them, and [`Error::NotLeading`].
    pub async fn tell(
        &self,
        seen: &K::Object,
        status: &Status<K>,
        events: impl IntoIterator<Item = Event, IntoIter: Send> + Send,
    ) -> Result<K::Object, Error> {
        if !self.term.ground.fence.held() {
            return Err(Error::NotLeading);
        }
        let (teller, name) = (&self.term.teller, Name::of(seen));
        let conditions = K::standing(status).conditions;
        let mut written: K::Object = teller.apply(seen, status).await?;
        if written.status().is_some_and(|status| K::standing(status).conditions.len() > conditions.len()) {
            // A condition that is not ours any more, and was not written by an apply of ours: it would stay for ever.
            written = teller.overwrite(&written, &serde_json::json!({ "conditions": conditions })).await?;
        }
        for event in events {
            teller.event(&written, event.warning, &event.reason, &event.note).await;
        }
        self.known.looked_at(&name);
        if rests_on::<K>(seen.status()) != rests_on::<K>(Some(status)) {
            self.term.changed(&Self::who(&name));
        }
        Ok(written)
    }

    /// Whether more objects are fresh than are looked at at once without spreading their mails: a restored or rebuilt cluster.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        let most = self.settings().max_new_at_once;
        most > 0 && self.known.fresh() > most
    }

    /// `name` logs in to these accounts, and lets so much be sent: see [`Term::join`].
    pub fn join(&self, name: &Name, accounts: Vec<Account>, allowance: Option<Allowance<'_>>) {
        self.term.join(&Self::who(name), accounts, allowance);
    }

    /// What the watch of a scope brought is taken note of; `listed` holds the names of a list under way.
    pub(super) fn note(&self, event: &watcher::Event<Glance<K::Object>>, listed: &mut HashSet<Name>, scope: Option<&str>) {
        if matches!(event, watcher::Event::InitDone) {
            self.missing.send_replace(false);
        }
        let gone = self.known.note(event, listed, scope);
        let mut again = match event {
            watcher::Event::InitApply(object) | watcher::Event::Apply(object) => self.own.seen(object),
            _ => Vec::new(),
        };
        again.extend(gone.iter().flat_map(|name| self.own.gone(name)));
        for name in &gone {
            self.forget(name);
        }
        for who in &again {
            self.term.wake(who);
        }
    }

    /// `name` is gone, and everything that was kept for it.
    fn forget(&self, name: &Name) {
        self.checks.forget(name);
        self.uses.forget(name);
        self.dependents.forget(name);
        lock(&self.failures).remove(name);
        self.term.forget(&Self::who(name));
    }

    /// The wait after one more failure in a row: 1 s, 2 s, 4 s ... a minute, a little more or less for each object, so
    /// that they do not all come back at once.
    #[must_use]
    pub fn back_off(&self, name: &Name) -> Duration {
        let mut failures = lock(&self.failures);
        let count = failures.entry(name.clone()).or_default();
        *count = count.saturating_add(1);
        back_off(*count, self.term.ground.key.hash(&[name.namespace.as_bytes(), name.name.as_bytes()]).as_bytes()[0])
    }

    /// A reconciliation went well.
    pub fn went_well(&self, name: &Name) {
        lock(&self.failures).remove(name);
    }
}

/// What other objects may rest on: the generation that was looked at, whether it is judged yet, and whether it is ready, verified,
/// suspended and listens.
fn rests_on<K: Kind>(status: Option<&Status<K>>) -> Option<(Option<i64>, [Option<&str>; 5])> {
    let Standing { observed_generation: generation, conditions, .. } = K::standing(status?);
    let of = |kind| conditions.iter().find(|condition| condition.type_ == kind).map(|condition| condition.status.as_str());
    Some((generation, [of(RECONCILING), of(READY), of(VERIFIED), of(SUSPENDED), of(LISTENING)]))
}

/// The wait after `count` failures; `seed` moves it by up to a quarter.
fn back_off(count: u32, seed: u8) -> Duration {
    let seconds = 1_u64 << count.saturating_sub(1).min(6);
    let base = Duration::from_secs(seconds.min(60));
    base.mul_f64(0.75 + f64::from(seed % 16) / 32.0)
}

impl<K: Kind> Looked for Context<K> {
    fn kind(&self) -> &'static str {
        K::KIND
    }

    fn wake(&self, name: &Name) {
        let reaches = |scope: &Option<String>| scope.as_ref().is_none_or(|scope| *scope == name.namespace);
        if let Some((_, sender)) = self.wakes.iter().find(|(scope, _)| reaches(scope)) {
            // Where nobody listens the term is over.
            let _ = sender.send(name.clone());
        }
    }

    fn changed(&self, other: &Who) {
        for name in self.dependents.of(other) {
            self.wake(&name);
        }
    }

    fn users(&self, other: &Who) -> usize {
        self.own.users(other)
    }

    fn settled(&self) -> BoxFuture<'_, ()> {
        async {
            let mut missing = self.missing.subscribe();
            tokio::select! {
                () = self.rebuilt() => {}
                // It cannot fail: we hold the sender.
                _ = missing.wait_for(|missing| *missing) => {}
            }
        }
        .boxed()
    }

    fn end(&self, told: bool) -> BoxFuture<'_, ()> {
        self.checks.cancel_all();
        async move { if told { self.checks.empty().await } else { self.checks.quiet().await } }.boxed()
    }

    fn credentials(&self, each: &mut dyn FnMut(&str)) {
        self.known.all().iter().filter_map(|object| object.status.credentials_observed.as_deref()).for_each(each);
    }

    fn objects(&self, each: &mut dyn FnMut(Object<'_>)) {
        for object in self.known.all() {
            each(Object {
                kind: K::KIND,
                namespace: object.metadata.namespace.as_deref().unwrap_or_default(),
                name: object.metadata.name.as_deref().unwrap_or_default(),
                conditions: object.conditions().collect(),
                next_check: object.next_check(),
                not_after: object.not_after(),
                credential_ends: object.credential_ends(),
                last_success: object.last_success(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures::FutureExt;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
    use kube::runtime::reflector::{self, store::Writer};
    use serde_json::json;

    use super::*;
    use crate::{
        api::v1alpha1::{MailServer, MailServerStatus},
        controllers::{mail_server::MailServers, term::tests::lonely},
        runtime::stop::Stopper,
        verify::tokens::keep::{Owner, Place},
    };

    struct World {
        ctx: Arc<Context<MailServers>>,
        writer: Writer<Glance<MailServer>>,
        woken: mpsc::UnboundedReceiver<Name>,
        _stopper: Stopper,
    }

    fn world() -> World {
        let ((stopper, term), (store, writer)) = (lonely(), reflector::store());
        let (wakes, woken) = mpsc::unbounded_channel();
        let ctx = Arc::new(Context::new(Arc::new(term), Known::new(vec![store]), vec![(None, wakes)]));
        ctx.term.meet(&[Arc::<Context<MailServers>>::clone(&ctx) as Arc<dyn Looked>]);
        ctx.term.pause.set(BTreeMap::new());
        ctx.term.roster.set(Vec::new());
        ctx.term.roster.looked();
        World { ctx, writer, woken, _stopper: stopper }
    }

    #[tokio::test]
    async fn a_kind_that_is_not_installed_holds_up_no_other_and_is_waited_for_by_itself() {
        let World { ctx, mut writer, .. } = world();
        assert!(ctx.term.ready().now_or_never().is_none(), "neither listed nor known to be missing");
        ctx.missing.send_replace(true);
        ctx.term.ready().await;
        assert!(ctx.ready().now_or_never().is_none());
        for event in [watcher::Event::Init, watcher::Event::InitDone] {
            writer.apply_watcher_event(&event);
            ctx.note(&event, &mut HashSet::new(), None);
        }
        ctx.ready().await;
        assert!(!*ctx.missing.borrow());
    }

    #[tokio::test]
    async fn who_names_an_object_of_another_kind_is_woken_when_that_changes() {
        let World { ctx, mut woken, .. } = world();
        let (mine, other) = (Name::new("team", "mine"), Who::new("EmailProfile", Name::new("team", "inbox")));
        ctx.dependents.set(&mine, [other.clone()]);
        ctx.term.changed(&Who::new("EmailProfile", Name::new("team", "another")));
        assert!(woken.try_recv().is_err());
        ctx.term.changed(&other);
        assert_eq!(woken.try_recv().unwrap(), mine);
        ctx.forget(&mine);
        ctx.term.changed(&other);
        assert!(woken.try_recv().is_err());
    }

    #[tokio::test]
    async fn nothing_is_asked_for_an_object_before_it_was_looked_at_nor_while_it_is_halted_paused_or_gone() {
        // promise 4
        let World { ctx, _stopper: stopper, .. } = world();
        let name = Name::new("team", "mine");
        let owner = Owner { kind: "MailServer".to_owned(), name: name.name.clone(), uid: String::new() };
        let place = Place { namespace: name.namespace.clone(), name: "signed-in".to_owned(), owner };
        let (rests, looks) =
            (|| ctx.term.rests(&place), |halted| ctx.term.looked_at(&Context::<MailServers>::who(&name), halted));
        assert!(rests());
        looks(false);
        assert!(!rests());
        ctx.term.pause.set(BTreeMap::from([("team".to_owned(), None)]));
        assert!(rests());
        ctx.term.pause.set(BTreeMap::new());
        looks(true);
        assert!(rests());
        looks(false);
        ctx.forget(&name);
        assert!(rests());
        looks(false);
        assert!(!rests());
        stopper.stop();
        assert!(rests());
    }

    #[test]
    fn others_rest_on_what_was_judged_and_what_came_of_it_and_on_nothing_else() {
        let status = |generation: i64, verified: &str, reason: &str| -> MailServerStatus {
            let since = "2026-01-01T00:00:00Z";
            let condition =
                json!({"type": "Verified", "status": verified, "reason": reason, "message": "", "lastTransitionTime": since});
            serde_json::from_value(json!({"observedGeneration": generation, "conditions": [condition]})).unwrap()
        };
        let base = status(1, "True", "Succeeded");
        let same = |other: &MailServerStatus| rests_on::<MailServers>(Some(&base)) == rests_on::<MailServers>(Some(other));
        assert!(same(&status(1, "True", "Otherwise")));
        assert!(!same(&status(2, "True", "Succeeded")) && !same(&status(1, "False", "Succeeded")));
        assert!(rests_on::<MailServers>(None) != rests_on::<MailServers>(Some(&base)));
        // Whoever waits for the verdict on a changed spec hears of it, also where it is the same as before.
        let mut judged_anew = base.clone();
        judged_anew.conditions.extend(
            status(1, "True", "NewGeneration").conditions.into_iter().map(|c| Condition { type_: RECONCILING.to_owned(), ..c }),
        );
        assert!(!same(&judged_anew));
    }

    #[test]
    fn back_off_doubles_to_a_minute_and_differs_a_little_between_objects() {
        assert_eq!(back_off(1, 8), Duration::from_secs(1));
        assert_eq!(back_off(3, 8), Duration::from_secs(4));
        assert_eq!(back_off(99, 8), Duration::from_mins(1));
        for seed in 0..=255 {
            let wait = back_off(9, seed).as_secs();
            assert!((45..=75).contains(&wait), "{wait}");
        }
    }
}
