//! Where in a command line the cursor is. Pure: it knows the commands, and no cluster.

use clap::{Arg, ArgAction, Command};

/// Where the next word goes.
pub struct Place<'a> {
    /// The command that it belongs to.
    pub command: &'a Command,
    /// The flag whose value it is.
    pub flag: Option<&'a Arg>,
    /// The number of arguments before it.
    arguments: usize,
    /// What was said of the cluster: flags by their long names, and their values.
    said: Vec<(&'a str, String)>,
}

impl<'a> Place<'a> {
    /// The place behind these words.
    pub fn find(root: &'a Command, words: &[String]) -> Self {
        let mut place = Self { command: root, flag: None, arguments: 0, said: Vec::new() };
        for word in words {
            place.pass(word);
        }
        place
    }

    /// The argument that the next word is.
    pub fn positional(&self) -> Option<&'a Arg> {
        let mut all = self.command.get_positionals();
        let last = self.command.get_positionals().last().filter(|last| matches!(last.get_action(), ArgAction::Append));
        all.nth(self.arguments).or(last)
    }

    /// The value that a flag was given, by its long name.
    pub fn said(&self, long: &str) -> Option<&str> {
        self.said.iter().rev().find(|(name, _)| *name == long).map(|(_, value)| value.as_str())
    }

    fn pass(&mut self, word: &str) {
        if let Some(flag) = self.flag.take() {
            self.said.extend(flag.get_long().map(|long| (long, word.to_owned())));
            return;
        }
        let Some(name) = word.strip_prefix('-') else {
            match self.command.find_subcommand(word) {
                Some(command) if self.command.has_subcommands() => self.command = command,
                _ => self.arguments += 1,
            }
            return;
        };
        let (name, value) = name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value)));
        let is = |flag: &&Arg| match name.strip_prefix('-') {
            Some(long) => flag.get_long() == Some(long),
            None => flag.get_short().is_some_and(|short| name == short.to_string()),
        };
        let Some(flag) = self.command.get_arguments().find(is) else { return };
        // A value that may be left out goes with =.
        let takes = flag.get_action().takes_values() && !flag.is_require_equals_set();
        match value {
            Some(value) => self.said.extend(flag.get_long().map(|long| (long, value.to_owned()))),
            None => self.flag = Some(flag).filter(|_| takes),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::Cli;

    /// The command, the flag whose value is next or the argument that is next, and the namespace.
    fn place(line: &str) -> (String, String, String) {
        let mut root = Cli::command();
        root.build();
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let place = Place::find(&root, &words);
        let next = place.flag.or_else(|| place.positional()).map(|next| next.get_id().to_string());
        (place.command.get_name().to_owned(), next.unwrap_or_default(), place.said("namespace").unwrap_or_default().to_owned())
    }

    fn is(line: &str, command: &str, next: &str, namespace: &str) {
        assert_eq!(place(line), (command.to_owned(), next.to_owned(), namespace.to_owned()), "{line}");
    }

    #[test]
    fn the_next_word_belongs_to_a_flag_or_is_an_argument() {
        is("", "kubectl-mail", "", "");
        is("list", "list", "kinds", "");
        is("ls ms emp", "list", "kinds", "");
        is("list --sort", "list", "sort", "");
        is("list --sort name -n mail", "list", "kinds", "mail");
        is("describe --namespace=mail", "describe", "targets", "mail");
        is("-n mail verify", "verify", "names", "mail");
        is("verify --wait", "verify", "names", "");
        is("verify -n", "verify", "namespace", "");
        is("send relay --to", "send", "to", "");
        is("send relay", "send", "", "");
        is("probe --actor", "probe", "actor", "");
        is("probe --level Connect", "probe", "url", "");
        is("init ms --host smtp.a", "mailserver", "", "");
        is("list --unknown", "list", "kinds", "");
    }
}
