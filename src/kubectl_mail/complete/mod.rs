//! Completion as kubectl has plugins do it: it runs `kubectl_complete-mail` with the words so far, which asks us. Names come from the
//! cluster. Next: `place`, where in a command line the cursor is; `names`, what the cluster has.

mod names;
mod place;

use std::ffi::OsString;

use clap::{Arg, Command, CommandFactory};

use self::{names::Names, place::Place};
use super::{Cli, Error, Exit, Kind, list, out};

/// What may follow: what the shell itself offers, which is files (a directive of cobra, which kubectl understands).
const FILES: u8 = 0;
/// Nothing that is a file.
const NO_FILES: u8 = 4;
/// The same, and no blank is put behind it.
const GOES_ON: u8 = 4 | 2;

/// What a word may become, each with a description, which may be empty.
type Candidates = Vec<(String, String)>;

/// The program that kubectl looks for.
const PROGRAM: &str = "#!/bin/sh
# kubectl runs this to complete `kubectl mail`.
exec kubectl-mail __complete \"$@\"
";

/// Prints that program.
pub fn program() -> Result<Exit, Error> {
    out::text(PROGRAM)?;
    Ok(Exit::Good)
}

/// The words that are to be completed, if that is what we were started for.
pub fn words(line: impl Iterator<Item = OsString>) -> Option<Vec<String>> {
    let mut line = line.skip(1).map(|word| word.to_string_lossy().into_owned());
    (line.next()? == "__complete").then(|| line.collect())
}

/// Prints what the last word may become.
pub async fn run(words: &[String]) -> Exit {
    let mut root = Cli::command();
    root.build();
    let (word, before) = words.split_last().map_or(("", &[][..]), |(word, before)| (word.as_str(), before));
    let place = Place::find(&root, before);
    let (candidates, directive) = candidates(&place, word).await;
    for (candidate, description) in candidates.into_iter().filter(|(candidate, _)| candidate.starts_with(word)) {
        println!("{}", format!("{candidate}\t{description}").trim_end());
    }
    println!(":{directive}");
    Exit::Good
}

async fn candidates(place: &Place<'_>, word: &str) -> (Candidates, u8) {
    if let Some(flag) = place.flag {
        return values(flag, place, word).await;
    }
    if word.starts_with('-') {
        return (flags(place.command), NO_FILES);
    }
    if place.command.has_subcommands() {
        return (subcommands(place.command), NO_FILES);
    }
    match place.positional() {
        Some(argument) => values(argument, place, word).await,
        None => (Vec::new(), NO_FILES),
    }
}

fn told(help: Option<&clap::builder::StyledStr>) -> String {
    help.map(ToString::to_string).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

fn subcommands(command: &Command) -> Candidates {
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    shown.map(|command| (command.get_name().to_owned(), told(command.get_about()))).collect()
}

fn flags(command: &Command) -> Candidates {
    let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
    shown.filter_map(|argument| Some((format!("--{}", argument.get_long()?), told(argument.get_help())))).collect()
}

/// What a flag or an argument may have as its value: known by the name that the help gives to it.
async fn values(argument: &Arg, place: &Place<'_>, word: &str) -> (Candidates, u8) {
    let known = argument.get_possible_values();
    if !known.is_empty() {
        let shown = known.iter().filter(|value| !value.is_hide_set());
        return (shown.map(|value| (value.get_name().to_owned(), told(value.get_help()))).collect(), NO_FILES);
    }
    let plain = |names: Vec<&'static str>| names.into_iter().map(|name| (name.to_owned(), String::new())).collect();
    let names = Names::new(place);
    let name = argument.get_value_names().and_then(|names| names.first()).map(clap::builder::Str::as_str).unwrap_or_default();
    let found = match name {
        "COLUMN" => plain(list::columns()),
        "COLUMN=TEXT" => return (list::columns().into_iter().map(|name| (format!("{name}="), String::new())).collect(), GOES_ON),
        "KIND" => plain(kinds()),
        "KIND[/NAME]" if !word.contains('/') => plain(kinds()),
        "NAMESPACE" => names.namespaces().await,
        "[KIND/]NAME" | "KIND/NAME" | "KIND[/NAME]" => names.targets(word).await,
        "[ms/]NAME" | "MAILSERVER" => names.of(Kind::MailServer, "").await,
        "EMAILPROFILE" => names.of(Kind::EmailProfile, "").await,
        "FILE" => return (Vec::new(), FILES),
        "ACTOR" => names.of(Kind::Actor, "").await,
        _ => Vec::new(),
    };
    (found, NO_FILES)
}

fn kinds() -> Vec<&'static str> {
    Kind::NAMESPACED.into_iter().chain([Kind::Actor]).map(Kind::singular).collect()
}
