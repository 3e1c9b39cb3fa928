//! The program at a shell. Whatever it prints is searched for secrets: every test of it is one of promise 14 too.

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use super::leaks;

/// What a command printed, and its exit code.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// The one JSON object that was printed.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }

    /// The JSON objects that were printed, one a line.
    pub fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }
}

/// Starts the program with nothing of this process's environment that could change what it says, at trace level.
pub fn start(args: &[&str], kubeconfig: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailverity"));
    for name in ["NO_COLOR", "MAILVERITY_EGRESS_PROXY"] {
        command.env_remove(name);
    }
    command.args(args).env("RUST_LOG", "trace").env("KUBECONFIG", kubeconfig);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Runs it to its end, with `input` on standard input.
pub fn run_in(kubeconfig: &str, args: &[&str], input: &str) -> Ran {
    let mut child = start(args, kubeconfig);
    // A command that fails early does not read what it is given.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let ran = Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) };
    leaks::none_in(&format!("standard output of {args:?}"), &ran.out);
    leaks::none_in(&format!("standard error of {args:?}"), &ran.err);
    ran
}

/// The same where no cluster is to be found.
pub fn run(args: &[&str], input: &str) -> Ran {
    run_in("/dev/null", args, input)
}

/// A folder of a test's own, gone with it.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("mailverity-test-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Writes a file, and returns its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
