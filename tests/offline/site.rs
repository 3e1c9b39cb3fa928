//! The pages as a whole: what links to what, and the book that `make site` makes of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use regex::Regex;

use super::pages::pages;

/// The targets of the links of a page that stay in the repository: a path, and an anchor that may be empty.
fn links(text: &str) -> Vec<(String, String)> {
    let prose: String = text.split("\n```").step_by(2).collect();
    let all = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let here = all.captures_iter(&prose).map(|found| found[1].to_owned()).filter(|link| !link.contains("://"));
    here.map(|link| {
        link.split_once('#').map_or((link.clone(), String::new()), |(path, place)| (path.to_owned(), place.to_owned()))
    })
    .collect()
}

/// What the titles of a page are linked by, at GitHub and in the book alike.
fn anchors(text: &str) -> BTreeSet<String> {
    let prose: String = text.split("\n```").step_by(2).collect();
    let titles =
        prose.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim().to_lowercase());
    titles.map(|title| title.replace(' ', "-").chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()).collect()
}

/// A path without `..`.
fn plain(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let anchors: BTreeMap<_, _> = pages.iter().map(|(path, text)| (plain(path), anchors(text))).collect();
    let mut seen = 0;
    for (path, text) in &pages {
        for (file, place) in links(text) {
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(&file) };
            assert!(target.exists(), "{}: {file}", path.display());
            let known = || anchors.get(&plain(&target)).is_some_and(|known| known.contains(&place));
            assert!(place.is_empty() || known(), "{}: {file}#{place}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 150, "only {seen} links were found");
}

#[test]
fn every_page_is_in_the_book_once() {
    let docs = plain(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")));
    let summary = docs.join("SUMMARY.md");
    let pages = pages();
    let (_, text) = pages.iter().find(|(path, _)| plain(path) == summary).unwrap();
    let mut listed: Vec<_> = links(text).into_iter().map(|(file, _)| plain(&docs.join(file))).collect();
    listed.sort();
    // Pages beside docs/ are in it as well where a reader of the book wants them; of those in docs/ none may be missing.
    let within: Vec<_> = listed.iter().filter(|path| path.starts_with(&docs)).cloned().collect();
    let mut there: Vec<_> =
        pages.iter().map(|(path, _)| plain(path)).filter(|path| path.starts_with(&docs) && *path != summary).collect();
    there.sort();
    assert_eq!(within, there);
}

#[test]
fn every_page_begins_with_its_title() {
    for (path, text) in pages() {
        let first = text.lines().find(|line| !line.starts_with("<!--")).unwrap_or_default();
        assert!(first.starts_with("# "), "{}: {first}", path.display());
    }
}
