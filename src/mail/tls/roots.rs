//! The public roots: certificate authorities from the files of the system, or of `SSL_CERT_FILE` and `SSL_CERT_DIR`. A renewed file is
//! read while the program runs: whoever asks for the roots has the files looked at, if that was some seconds ago. Nobody else does.

use std::{
    collections::{BTreeMap, HashSet},
    env, fs, io, mem,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustls::{RootCertStore, pki_types::TrustAnchor};
use rustls_native_certs::load_certs_from_paths;

/// How often the files are looked at, at most.
const EVERY: Duration = Duration::from_secs(5);

/// Why a file's certificates are not taken, where reading it did not fail.
const NONE: &str = "it holds no certificate in PEM";
const GONE: &str = "it is gone, and no other file holds a certificate";

/// The roots as the files have them now: the same `Arc` as long as they are the same.
pub(super) fn public_roots() -> Arc<RootCertStore> {
    static KNOWN: LazyLock<Mutex<(Known, Option<Instant>)>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let (known, looked) = &mut *known;
    if looked.is_none_or(|looked| looked.elapsed() >= EVERY) {
        for (file, fault) in known.look(&Places::system()) {
            tracing::warn!(
                file = %file.display(),
                fault,
                "a file of certificate authorities cannot be taken as it is: what it held before stays trusted; put whole certificates in PEM \
                 there, or name another in SSL_CERT_FILE or SSL_CERT_DIR (chart: extraCABundle)"
            );
        }
        *looked = Some(Instant::now());
    }
    Arc::clone(&known.roots)
}

/// Where certificates lie.
#[derive(Clone, Debug, Default)]
struct Places {
    /// A file that must be there.
    file: Option<PathBuf>,
    /// Folders of which every file is read, but not what is below.
    folders: Vec<PathBuf>,
}

impl Places {
    /// As `rustls_native_certs` has them: those of the variables, where either is set, else what is usual on the system.
    fn system() -> Self {
        let (file, folders) = (env::var_os("SSL_CERT_FILE"), env::var_os("SSL_CERT_DIR"));
        if file.is_none() && folders.is_none() {
            let usual = openssl_probe::probe();
            return Self { file: usual.cert_file, folders: usual.cert_dir };
        }
        let folders = folders.iter().flat_map(env::split_paths).filter(|folder| !folder.as_os_str().is_empty()).collect();
        Self { file: file.map(PathBuf::from), folders }
    }

    /// Every file there, each once. A file that must be there, or a folder, is listed also where it cannot be looked at.
    fn files(&self) -> Vec<(PathBuf, Result<Mark, String>)> {
        let mut files = Vec::new();
        for folder in &self.folders {
            match inside(folder) {
                Ok(inside) => files.extend(inside),
                Err(error) => files.push((folder.clone(), Err(error.to_string()))),
            }
        }
        files.sort_unstable_by(|(one, _), (two, _)| one.cmp(two));
        if let Some(file) = &self.file {
            let mark = fs::metadata(file).map(|metadata| Mark::of(&metadata));
            files.insert(0, (file.clone(), mark.map_err(|error| error.to_string())));
        }
        // Folders such as /etc/ssl/certs have several names for a file.
        let mut seen = HashSet::new();
        files.retain(|(_, mark)| mark.as_ref().map_or(true, |mark| seen.insert((mark.device, mark.inode))));
        files
    }
}

/// The files in a folder, behind symbolic links. A link that leads nowhere is none: the kubelet leaves one for a moment.
fn inside(folder: &Path) -> io::Result<Vec<(PathBuf, Result<Mark, String>)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => files.push((path, Ok(Mark::of(&metadata)))),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => files.push((path, Err(error.to_string()))),
        }
    }
    Ok(files)
}

/// What a look tells of a file. Another one means that it has to be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    /// Of its permissions and names, too: one that could not be read may be readable now.
    changed: (i64, i64),
}

impl Mark {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// A file, or a folder that cannot be looked into, as it was last.
#[derive(Debug)]
struct File {
    mark: Result<Mark, String>,
    /// What it holds; while it has a fault, what it held before as well.
    roots: Vec<TrustAnchor<'static>>,
    fault: Option<String>,
}

impl File {
    fn read(path: &Path, mark: Result<Mark, String>, must: bool, before: Option<&Self>) -> Self {
        let (mut roots, mut fault) = match &mark {
            Ok(_) => certificates(path),
            Err(error) => (Vec::new(), Some(error.clone())),
        };
        let held = before.map(|before| before.roots.as_slice()).unwrap_or_default();
        // Other things may lie in a folder, such as the same certificates in another form.
        if roots.is_empty() && (must || !held.is_empty()) {
            fault.get_or_insert_with(|| NONE.to_owned());
        }
        if fault.is_some() {
            add(&mut roots, held);
        }
        Self { mark, roots, fault }
    }

    /// Whether there is no need to read it again. A fault may pass without a trace, such as too many open files.
    fn is_as(&self, mark: &Result<Mark, String>) -> bool {
        self.fault.is_none() && self.mark == *mark
    }
}

fn certificates(path: &Path) -> (Vec<TrustAnchor<'static>>, Option<String>) {
    let read = load_certs_from_paths(Some(path), None);
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(read.certs);
    (store.roots, read.errors.first().map(ToString::to_string))
}

/// Adds those that are not there yet.
fn add(roots: &mut Vec<TrustAnchor<'static>>, more: &[TrustAnchor<'static>]) {
    let there = roots.len();
    for root in more {
        if !roots[..there].contains(root) {
            roots.push(root.clone());
        }
    }
}

/// All files as they were last, and what is trusted after them.
#[derive(Debug)]
struct Known {
    files: BTreeMap<PathBuf, File>,
    roots: Arc<RootCertStore>,
}

impl Default for Known {
    /// Nothing was looked at, and nothing is trusted.
    fn default() -> Self {
        Self { files: BTreeMap::new(), roots: Arc::new(RootCertStore::empty()) }
    }
}

impl Known {
    /// Reads what has changed. Returned are the faults that were not told before, each with its file.
    fn look(&mut self, places: &Places) -> Vec<(PathBuf, String)> {
        let mut before = mem::take(&mut self.files);
        let (mut changed, mut told) = (false, Vec::new());
        for (path, mark) in places.files() {
            let last = before.remove(&path);
            let file = match last {
                Some(same) if same.is_as(&mark) => same,
                last => {
                    changed = true;
                    let file = File::read(&path, mark, places.file.as_ref() == Some(&path), last.as_ref());
                    let known = last.is_some_and(|last| (&last.mark, &last.fault) == (&file.mark, &file.fault));
                    told.extend(file.fault.iter().filter(|_| !known).map(|fault| (path.clone(), fault.clone())));
                    file
                }
            };
            if file.mark.is_err() {
                // A folder, of which nobody can say what is in it now.
                self.files.extend(before.extract_if(.., |inside, _| inside.parent() == Some(&path)));
            }
            self.files.insert(path, file);
        }
        if changed || !before.is_empty() || self.roots.is_empty() {
            let kept = self.settle();
            let gone = before.into_iter().find(|(_, file)| !file.roots.is_empty());
            told.extend(gone.filter(|_| kept).map(|(path, _)| (path, GONE.to_owned())));
        }
        told
    }

    /// What is trusted from here on. Without any certificate that is what was trusted before, which is then told by `true`, or Mozilla's
    /// roots (an image from scratch without a bundle).
    fn settle(&mut self) -> bool {
        let mut roots = Vec::new();
        self.files.values().for_each(|file| add(&mut roots, &file.roots));
        let mut from = "the system";
        if roots.is_empty() {
            if !self.roots.is_empty() {
                return true;
            }
            roots.extend_from_slice(webpki_roots::TLS_SERVER_ROOTS);
            from = "the program itself";
        }
        if self.roots.roots != roots {
            tracing::info!(roots = roots.len(), from, "public certificate authorities are trusted");
            self.roots = Arc::new(RootCertStore { roots });
        }
        false
    }
}

#[cfg(test)]
mod tests;
