//! Files, folders and standard input.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{
    Document, Finding, Severity,
    read::{MOST_BYTES, Place, read},
};

/// Reads every manifest that `names` stand for: files, folders (their `.yaml`, `.yml` and `.json` files, with `recursive`
/// those of folders below too), `-` for standard input. What cannot be read becomes a finding of severity error.
#[must_use]
pub fn load(names: &[PathBuf], recursive: bool) -> (Vec<Document>, Vec<Finding>) {
    let (mut documents, mut findings) = (Vec::new(), Vec::new());
    for name in names {
        for file in files(name, recursive, &mut findings) {
            let shown = file.display().to_string();
            match text(&file) {
                Ok(text) => {
                    let (read, wrong) = read(&shown, &text);
                    documents.extend(read);
                    findings.extend(wrong);
                }
                Err(error) => findings.push(cannot(&shown, &error)),
            }
        }
    }
    (documents, findings)
}

fn cannot(file: &str, error: &io::Error) -> Finding {
    let place = Place { file: file.into(), line: 0, column: 0 };
    Finding::new(Severity::Error, &place, "", format!("cannot be read: {error}"))
}

fn files(name: &Path, recursive: bool, findings: &mut Vec<Finding>) -> Vec<PathBuf> {
    if !name.is_dir() {
        return vec![name.to_owned()];
    }
    let mut found = Vec::new();
    let mut folders = vec![name.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                findings.push(cannot(&folder.display().to_string(), &error));
                continue;
            }
        };
        for entry in entries.flatten() {
            let path = entry.path();
            // A link to a folder is not followed: it may lead back to where we came from.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if recursive {
                    folders.push(path);
                }
            } else if path
                .extension()
                .is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end.eq_ignore_ascii_case(known)))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    if found.is_empty() {
        let place = Place { file: name.display().to_string().into(), line: 0, column: 0 };
        let hint = if recursive { "" } else { "; -R looks in the folders below too" };
        findings.push(Finding::new(Severity::Error, &place, "", format!("holds no .yaml, .yml or .json file{hint}")));
    }
    found
}

fn text(file: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let most = MOST_BYTES as u64 + 1;
    if file == Path::new("-") {
        io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    } else {
        fs::File::open(file)?.take(most).read_to_end(&mut bytes)?;
    }
    if bytes.len() > MOST_BYTES {
        return Err(io::Error::other(format!("is over {} MiB", MOST_BYTES >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("is no UTF-8 text"))
}
