//! Debian's Prometheus, which scrapes the product's processes each second and judges the chart's own alerts.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::cluster::{free_port, root};

/// A server of its own, which ends with the test.
pub struct Prometheus {
    child: Child,
    port: u16,
}

/// The chart's alerts with these values, and without their patience: a test has no ten minutes.
fn alerts(values: &[(&str, &str)]) -> Value {
    let mut text = fs::read_to_string(root().join("charts/mailverity/rules/mailverity.yaml")).unwrap();
    for (name, value) in values {
        text = text.replace(&format!("@{name}@"), value);
    }
    let mut rules: Value = serde_yaml::from_str(&text).unwrap();
    for rule in rules["rules"].as_array_mut().unwrap() {
        rule["for"] = json!("1s");
    }
    json!({"groups": [{"name": "mailverity", "rules": rules["rules"]}]})
}

impl Prometheus {
    /// Scrapes these addresses, as one job.
    pub fn start(dir: &Path, targets: &[&str], values: &[(&str, &str)]) -> Self {
        let home = dir.join("prometheus");
        fs::create_dir_all(&home).unwrap();
        let port = free_port();
        let config = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [{"job_name": "mailverity", "static_configs": [{"targets": targets}]}],
        });
        fs::write(home.join("config.yaml"), serde_yaml::to_string(&config).unwrap()).unwrap();
        fs::write(home.join("rules.yaml"), serde_yaml::to_string(&alerts(values)).unwrap()).unwrap();
        let log = fs::File::create(home.join("log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", home.join("config.yaml").display()))
            .arg(format!("--storage.tsdb.path={}", home.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, port }
    }

    /// What a query gives now: a vector, or a scalar as the only one of it. None while it cannot answer.
    pub async fn query(&self, query: &str) -> Option<Vec<Value>> {
        let encoded: String = query.bytes().flat_map(|byte| ['%', hex(byte >> 4), hex(byte & 15)]).collect();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
        // HTTP/1.0: no chunks.
        stream.write_all(format!("GET /api/v1/query?query={encoded} HTTP/1.0\r\nHost: x\r\n\r\n").as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
        assert_eq!(body["status"], "success", "{query}: {body}");
        Some(body["data"]["result"].as_array()?.clone())
    }

    /// The values of a query's series.
    pub async fn values(&self, query: &str) -> Vec<f64> {
        let series = self.query(query).await.unwrap_or_default();
        series.iter().filter_map(|one| one["value"][1].as_str()?.parse().ok()).collect()
    }

    /// The alerts that fire, each with the object that it tells of.
    pub async fn firing(&self) -> BTreeSet<(String, String)> {
        let series = self.query(r#"ALERTS{alertstate="firing"}"#).await.unwrap_or_default();
        let label = |one: &Value, name: &str| one["metric"][name].as_str().unwrap_or_default().to_owned();
        series.iter().map(|one| (label(one, "alertname"), label(one, "name"))).collect()
    }
}

fn hex(digit: u8) -> char {
    char::from_digit(digit.into(), 16).unwrap()
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
