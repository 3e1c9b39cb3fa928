//! What the tools that apply from Git make of objects: Flux by the reference implementation of kstatus, Argo CD by the script in
//! `deploy/gitops`.

use std::{
    fmt::Write as _,
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::Value;

use super::cluster::root;

/// The verdicts of kstatus: `InProgress`, `Current`, `Failed`, `Terminating` or `Unknown`.
pub fn kstatus(objects: &[Value]) -> Vec<String> {
    let program = std::env::var("MAILVERITY_TEST_KSTATUS").expect("MAILVERITY_TEST_KSTATUS: run `make test`, which builds it");
    let text: String = objects.iter().map(Value::to_string).collect();
    run(Command::new(program), &text).lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

/// The verdicts of Argo CD: `Healthy`, `Progressing`, `Degraded`. Run as it runs the script, without `string` and `os`.
pub fn argo(objects: &[Value]) -> Vec<String> {
    let mut text = String::new();
    for object in objects {
        let object = lua(object);
        writeln!(
            text,
            "print(setfenv(assert(loadfile('deploy/gitops/argocd-health.lua')), {{ipairs = ipairs, pairs = pairs, obj = {object}}})().status)"
        )
        .unwrap();
    }
    let mut command = Command::new("lua5.1");
    command.arg("-").current_dir(root());
    run(command, &text).lines().map(str::to_owned).collect()
}

fn run(mut command: Command, input: &str) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A value as Lua writes it.
fn lua(value: &Value) -> String {
    let quoted = |text: &str| {
        let escaped = text.bytes().map(|byte| match byte {
            b'"' | b'\\' | 0..=31 | 127.. => format!("\\{byte:03}"),
            _ => char::from(byte).to_string(),
        });
        format!("\"{}\"", escaped.collect::<String>())
    };
    match value {
        Value::Null => "nil".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("{{{}}}", items.iter().map(lua).collect::<Vec<_>>().join(",")),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("[{}]={}", quoted(name), lua(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
    }
}
