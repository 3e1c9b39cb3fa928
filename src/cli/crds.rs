//! `mailverity crds`: the `CustomResourceDefinition`s, to standard output or as the files in `crds/`.

use std::{fs, io::Write, path::PathBuf};

use clap::Args;

use super::{Error, Exit};
use crate::api::crd;

const HEADER: &str = "# Made from src/api by `make generate`; changes belong there.\n";

/// Print the CustomResourceDefinitions, for `kubectl apply -f -`.
#[derive(Debug, Args)]
pub struct Crds {
    /// Write one file per kind into this folder instead.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Crds {
    pub(super) fn run(self) -> Result<Exit, Error> {
        let files = files()?;
        let Some(folder) = self.out else {
            let all: Vec<_> = files.into_iter().map(|(_, text)| text).collect();
            std::io::stdout().write_all(all.join("---\n").as_bytes()).map_err(Error::about("standard output"))?;
            return Ok(Exit::Good);
        };
        fs::create_dir_all(&folder).map_err(Error::about(folder.display()))?;
        for (name, text) in files {
            let path = folder.join(name);
            fs::write(&path, text).map_err(Error::about(path.display()))?;
        }
        Ok(Exit::Good)
    }
}

/// Each file of `crds/`: its name and its content.
///
/// # Errors
/// None in practice; see [`crd::all`].
pub fn files() -> Result<Vec<(String, String)>, Error> {
    let crds = crd::all()?.into_iter().map(|crd| {
        let plural = crd["spec"]["names"]["plural"].as_str().unwrap_or_default();
        Ok((format!("{}_{plural}.yaml", crd::GROUP), format!("{HEADER}{}", serde_yaml::to_string(&crd)?)))
    });
    crds.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_in_crds_are_those_that_the_types_make() {
        for (name, text) in files().unwrap() {
            let kept = fs::read_to_string(format!("{}/crds/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap_or_default();
            assert!(kept == text, "crds/{name} is out of date: run `make generate`");
        }
    }
}
