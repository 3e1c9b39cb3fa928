//! Files that change while the program runs.

use std::os::unix::fs::symlink;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

use super::*;

/// The certificate of an authority of this name, in PEM.
fn authority(name: &str) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

/// A folder of this test's own, as `SSL_CERT_DIR` names it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = env::temp_dir().join(format!("mailverity-roots-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Another file under this name: two writes into one within a tick of the file system's clock would look the same.
    fn write(&self, name: &str, pem: &str) {
        let new = self.0.with_extension("new");
        fs::write(&new, pem).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }

    fn places(&self) -> Places {
        Places { file: None, folders: vec![self.0.clone()] }
    }

    /// As `SSL_CERT_FILE`.
    fn file(&self, name: &str) -> Places {
        Places { file: Some(self.path(name)), folders: Vec::new() }
    }

    /// As the kubelet writes a `ConfigMap` into a mounted folder: all of it behind one link, which another replaces at one stroke.
    fn mount(&self, pem: &str) {
        let version = uuid::Uuid::new_v4().to_string();
        fs::create_dir(self.path(&version)).unwrap();
        fs::write(self.path(&version).join("ca.crt"), pem).unwrap();
        symlink(&version, self.path("..data_tmp")).unwrap();
        let before = fs::read_link(self.path("..data"));
        fs::rename(self.path("..data_tmp"), self.path("..data")).unwrap();
        match before {
            Ok(before) => fs::remove_dir_all(self.path(before.to_str().unwrap())).unwrap(),
            Err(_) => symlink("..data/ca.crt", self.path("ca.crt")).unwrap(),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

impl Known {
    /// The names of those that are trusted.
    fn names(&self) -> Vec<String> {
        let name = |root: &TrustAnchor<'_>| String::from_utf8_lossy(&root.subject[root.subject.len() - 3..]).into_owned();
        let mut names: Vec<_> = self.roots.roots.iter().map(name).collect();
        names.sort();
        names
    }

    /// Looks, and returns what was told, without the folder.
    fn told(&mut self, places: &Places) -> Vec<String> {
        let told = |(path, fault): (PathBuf, String)| format!("{}: {fault}", path.file_name().unwrap().to_str().unwrap());
        self.look(places).into_iter().map(told).collect()
    }
}

#[test]
fn a_renewed_file_is_trusted_and_one_of_the_same_content_changes_nothing() {
    let (folder, mut known) = (Folder::new(), Known::default());
    let old = authority("old");
    folder.write("ca.crt", &old);
    let places = folder.file("ca.crt");
    assert!(known.look(&places).is_empty());
    assert_eq!(known.names(), ["old"]);

    let first = Arc::clone(&known.roots);
    folder.write("ca.crt", &old);
    assert!(known.look(&places).is_empty());
    assert!(Arc::ptr_eq(&first, &known.roots), "connections go on with their sessions");

    folder.write("ca.crt", &authority("new"));
    assert!(known.look(&places).is_empty());
    assert_eq!(known.names(), ["new"]);
}

#[test]
fn what_the_kubelet_swaps_in_is_trusted() {
    let (folder, mut known) = (Folder::new(), Known::default());
    folder.mount(&authority("old"));
    for name in ["old", "new", "two"] {
        if name != "old" {
            folder.mount(&authority(name));
        }
        assert!(known.look(&folder.places()).is_empty());
        assert_eq!(known.names(), [name]);
    }
    let last = Arc::clone(&known.roots);
    assert!(known.look(&folder.places()).is_empty());
    assert!(Arc::ptr_eq(&last, &known.roots));
    assert_eq!(known.files.len(), 1, "neither ..data nor what is behind it is read as well");
}

#[test]
fn what_was_trusted_stays_while_a_file_is_empty_broken_or_away_and_each_is_told_once() {
    let (folder, mut known) = (Folder::new(), Known::default());
    let (old, new) = (authority("old"), authority("new"));
    let half = &new[..new.len() / 2];
    let places = folder.file("ca.crt");
    folder.write("ca.crt", &old);
    known.look(&places);
    let trusted = Arc::clone(&known.roots);
    let faults: [(Option<&str>, &str); 5] = [
        (Some(""), "ca.crt: it holds no certificate in PEM"),
        (Some("not a certificate"), "ca.crt: it holds no certificate in PEM"),
        (Some(half), "section end"),
        (Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "ca.crt: it holds no certificate in PEM"),
        (None, "ca.crt: No such file"),
    ];
    for (content, fault) in faults {
        match content {
            Some(content) => folder.write("ca.crt", content),
            None => fs::remove_file(folder.path("ca.crt")).unwrap(),
        }
        let told = known.told(&places);
        assert!(told.len() == 1 && told[0].starts_with("ca.crt: ") && told[0].contains(fault), "{content:?}: {told:?}");
        assert!(known.look(&places).is_empty(), "{content:?} is told once");
        assert!(Arc::ptr_eq(&trusted, &known.roots), "{content:?}");
    }
    folder.write("ca.crt", &new);
    assert!(known.look(&places).is_empty());
    assert_eq!(known.names(), ["new"], "whole again, it alone counts");
}

#[test]
fn of_a_file_that_is_not_whole_the_whole_certificates_are_trusted_beside_those_before() {
    let (folder, mut known) = (Folder::new(), Known::default());
    let (new, two) = (authority("new"), authority("two"));
    folder.write("ca.crt", &authority("old"));
    known.look(&folder.places());
    folder.write("ca.crt", &(new.clone() + &two[..two.len() / 2]));
    for times in [1, 0, 0] {
        assert_eq!(known.look(&folder.places()).len(), times);
        assert_eq!(known.names(), ["new", "old"]);
    }
    folder.write("ca.crt", &(new + &two));
    assert!(known.look(&folder.places()).is_empty());
    assert_eq!(known.names(), ["new", "two"]);
}

#[test]
fn each_file_of_a_folder_counts_for_itself_and_what_is_taken_away_is_trusted_no_more() {
    let (folder, mut known) = (Folder::new(), Known::default());
    folder.write("one.crt", &authority("one"));
    folder.write("two.crt", &authority("two"));
    folder.write("truststore.jks", "\u{fe}the same in another form");
    symlink(folder.path("two.crt"), folder.path("12345678.0")).unwrap();
    symlink(folder.path("nowhere"), folder.path("87654321.0")).unwrap();
    let places = folder.places();
    assert!(known.look(&places).is_empty());
    assert_eq!(known.names(), ["one", "two"]);
    assert_eq!(known.files.len(), 3, "two.crt is read by one of its names");

    folder.write("one.crt", "");
    folder.write("two.crt", &authority("new"));
    assert_eq!(known.told(&places), ["one.crt: it holds no certificate in PEM"]);
    assert_eq!(known.names(), ["new", "one"], "a broken file keeps no other from being renewed");

    fs::remove_file(folder.path("one.crt")).unwrap();
    assert!(known.look(&places).is_empty());
    assert_eq!(known.names(), ["new"]);

    // But never the last.
    fs::remove_file(folder.path("two.crt")).unwrap();
    let told = known.told(&places);
    assert!(told.len() == 1 && told[0].contains("it is gone, and no other"), "{told:?}");
    assert!(known.look(&places).is_empty());
    assert_eq!(known.names(), ["new"]);
}

#[test]
fn a_folder_that_is_away_keeps_its_certificates() {
    let (folder, mut known) = (Folder::new(), Known::default());
    fs::create_dir(folder.path("ca")).unwrap();
    folder.write("ca/one.crt", &authority("one"));
    folder.write("public.crt", &authority("pub"));
    let places = Places { file: Some(folder.path("public.crt")), folders: vec![folder.path("ca")] };
    assert!(known.look(&places).is_empty());
    fs::rename(folder.path("ca"), folder.path("away")).unwrap();
    folder.write("public.crt", &authority("new"));
    for told in [1, 0, 0] {
        assert_eq!(known.told(&places).iter().filter(|told| told.starts_with("ca: No such file")).count(), told);
        assert_eq!(known.names(), ["new", "one"]);
    }
    fs::create_dir(folder.path("ca")).unwrap();
    assert!(known.look(&places).is_empty());
    assert_eq!(known.names(), ["new"]);
}

#[test]
fn without_any_file_mozillas_roots_are_trusted_until_there_is_one() {
    let (folder, mut known) = (Folder::new(), Known::default());
    for _ in 0..2 {
        assert!(known.look(&folder.places()).is_empty());
        assert!(known.roots.len() > 100);
    }
    assert_eq!(known.told(&folder.file("ca.crt")).len(), 1, "one that is named, and is not there");
    assert!(known.roots.len() > 100);
    folder.write("ca.crt", &authority("own"));
    assert!(known.look(&folder.file("ca.crt")).is_empty());
    assert_eq!(known.names(), ["own"]);
}
