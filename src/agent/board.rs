//! The tasks of the namespace as the watch tells of them: which are open, and who works on which. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use kube::{ResourceExt, runtime::watcher::Event};
use tokio::sync::watch;

use super::orders::Seen;
use crate::api::v1alpha1::{ActorTask, TASK_PROTOCOL};

/// The most tasks at the same time.
pub const MOST: usize = 32;

/// Whether a task may be claimed by an agent of `actor`.
pub fn is_open(task: &ActorTask, actor: &str) -> bool {
    task.spec.actor == actor
        && (1..=TASK_PROTOCOL).contains(&task.spec.protocol)
        && task.status.is_none()
        && task.metadata.deletion_timestamp.is_none()
}

/// The tasks of the namespace.
#[derive(Default)]
pub struct Board {
    known: BTreeMap<String, ActorTask>,
    /// By UID: those that were begun, also those that ended. None is begun twice, as what is known of it may be old.
    begun: BTreeMap<String, Begun>,
    /// Those that a new list has named so far.
    listed: Option<BTreeSet<String>>,
}

struct Begun {
    name: String,
    tell: watch::Sender<Seen>,
    ended: bool,
}

impl Board {
    /// Takes what the watch says; whoever works on a task hears of it. A task that cannot be read is none.
    pub fn hear(&mut self, event: Event<(String, Option<ActorTask>)>) {
        match event {
            Event::Init => self.listed = Some(BTreeSet::new()),
            Event::InitApply((name, task)) => {
                if let Some(listed) = &mut self.listed {
                    listed.insert(name.clone());
                }
                self.put(name, task);
            }
            Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                let gone: Vec<_> = self.known.keys().filter(|name| !listed.contains(*name)).cloned().collect();
                for name in &gone {
                    self.remove(name);
                }
            }
            Event::Apply((name, task)) => self.put(name, task),
            Event::Delete((name, _)) => self.remove(&name),
        }
    }

    fn put(&mut self, name: String, task: Option<ActorTask>) {
        let Some(task) = task else { return };
        let uid = task.uid().unwrap_or_default();
        if self.known.get(&name).is_some_and(|known| known.uid() != task.uid()) {
            // It was deleted and made anew while nobody watched.
            self.remove(&name);
        }
        if let Some(begun) = self.begun.get(&uid) {
            begun.tell.send_replace(Seen::Task(Box::new(task.clone())));
        }
        self.known.insert(name, task);
    }

    fn remove(&mut self, name: &str) {
        self.known.remove(name);
        self.begun.retain(|_, begun| {
            if begun.name == name {
                begun.tell.send_replace(Seen::Gone);
            }
            begun.name != name
        });
    }

    /// The tasks that may be begun now by an agent of `actor`, each with what will be seen of it; they are begun from here on.
    pub fn begin(&mut self, actor: &str) -> Vec<(ActorTask, watch::Receiver<Seen>)> {
        let places = MOST.saturating_sub(self.begun.values().filter(|begun| !begun.ended).count());
        let open = self.known.values().filter(|task| is_open(task, actor));
        let new = open.filter(|task| task.uid().is_some_and(|uid| !self.begun.contains_key(&uid)));
        let new: Vec<ActorTask> = new.take(places).cloned().collect();
        new.into_iter()
            .map(|task| {
                let (tell, seen) = watch::channel(Seen::Task(Box::new(task.clone())));
                let begun = Begun { name: task.name_any(), tell, ended: false };
                self.begun.insert(task.uid().unwrap_or_default(), begun);
                (task, seen)
            })
            .collect()
    }

    /// The work on the task with this UID has ended.
    pub fn ended(&mut self, uid: &str) {
        if let Some(begun) = self.begun.get_mut(uid) {
            begun.ended = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1alpha1::{ActorTaskSpec, ActorTaskStatus};

    fn task(name: &str, uid: &str) -> ActorTask {
        let spec = ActorTaskSpec { protocol: 1, actor: "dmz".to_owned(), ..ActorTaskSpec::default() };
        let mut task = ActorTask::new(name, spec);
        task.metadata.uid = Some(uid.to_owned());
        task
    }

    fn apply(task: &ActorTask) -> Event<(String, Option<ActorTask>)> {
        Event::Apply((task.name_any(), Some(task.clone())))
    }

    #[test]
    fn a_task_of_another_actor_a_higher_protocol_another_agent_or_without_need_is_left_alone() {
        let open = task("a", "1");
        assert!(is_open(&open, "dmz"));
        assert!(!is_open(&open, "lab"));
        let changed = |change: fn(&mut ActorTask)| {
            let mut task = task("a", "1");
            change(&mut task);
            is_open(&task, "dmz")
        };
        assert!(!changed(|task| task.spec.protocol = 2));
        assert!(!changed(|task| task.spec.protocol = 0));
        assert!(!changed(|task| task.status = Some(ActorTaskStatus::default())));
    }

    #[test]
    fn a_task_is_begun_once_also_where_what_is_known_of_it_is_old() {
        let mut board = Board::default();
        board.hear(apply(&task("a", "1")));
        assert_eq!(board.begin("dmz").len(), 1);
        board.ended("1");
        board.hear(apply(&task("a", "1")));
        assert!(board.begin("dmz").is_empty());
        board.hear(apply(&task("a", "2")));
        assert_eq!(board.begin("dmz").len(), 1, "a new task of that name is another");
    }

    #[test]
    fn who_works_on_a_task_hears_of_its_changes_and_its_end() {
        let mut board = Board::default();
        board.hear(apply(&task("a", "1")));
        let (_, seen) = board.begin("dmz").remove(0);
        let mut noted = task("a", "1");
        noted.spec.noted = Some(true);
        board.hear(apply(&noted));
        assert!(matches!(&*seen.borrow(), Seen::Task(task) if task.spec.noted == Some(true)));
        board.hear(Event::Delete(("a".to_owned(), None)));
        assert!(matches!(&*seen.borrow(), Seen::Gone));
    }

    #[test]
    fn what_a_new_list_does_not_name_is_gone() {
        let mut board = Board::default();
        for name in ["a", "b"] {
            board.hear(apply(&task(name, name)));
        }
        let begun = board.begin("dmz");
        board.hear(Event::Init);
        board.hear(Event::InitApply(("b".to_owned(), Some(task("b", "b")))));
        board.hear(Event::InitDone);
        assert!(matches!(&*begun[0].1.borrow(), Seen::Gone));
        assert!(matches!(&*begun[1].1.borrow(), Seen::Task(_)));
    }

    #[test]
    fn no_more_tasks_run_at_once_than_there_are_places() {
        let mut board = Board::default();
        for number in 0..40 {
            board.hear(apply(&task(&format!("t{number:02}"), &number.to_string())));
        }
        assert_eq!(board.begin("dmz").len(), MOST);
        assert!(board.begin("dmz").is_empty());
        board.ended("0");
        assert_eq!(board.begin("dmz").len(), 1);
    }
}
