//! Everything that is measured: the two clients that stay, `blackbox_exporter`'s daemon, and programs that are started anew
//! for each check.

use std::{
    env, fs, io,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use crate::{
    CHECKS, Result,
    client::{self, Job, Target, Who},
    measure::{self, Cost, Whose},
};

/// Something that can check a mail server.
pub trait Candidate {
    /// As the table names it.
    fn name(&self) -> &'static str;
    /// Checks many times and says what that cost.
    fn round(&mut self) -> Result<Cost>;
}

pub const BARE: &str = "bare tokio + rustls, stays";
pub const PRODUCT: &str = "mailverity, stays";
pub const BLACKBOX: &str = "blackbox_exporter, stays";

/// All that there is to compare, for one target.
pub fn all(target: &Target) -> Result<Vec<Box<dyn Candidate>>> {
    let ca = target.ca_file.to_string_lossy().into_owned();
    let port = target.port.to_string();
    let mut candidates: Vec<Box<dyn Candidate>> = vec![
        Box::new(Staying { name: BARE, job: Job { who: Who::Bare, target: target.clone(), checks: CHECKS, at_once: 1 } }),
        Box::new(Staying {
            name: PRODUCT,
            job: Job { who: Who::Mailverity, target: target.clone(), checks: CHECKS, at_once: 1 },
        }),
        Box::new(Blackbox::start(target)?),
    ];

    let job = Job { who: Who::Bare, target: target.clone(), checks: 1, at_once: 1 };
    candidates.push(Box::new(Started {
        name: "bare tokio + rustls, a process each",
        times: 50,
        argv: vec![env::current_exe()?.to_string_lossy().into_owned(), "once".into()],
        input: serde_json::to_string(&job)?,
    }));
    let mut probe: Vec<String> =
        [env!("CARGO_BIN_EXE_mailverity"), "probe", &format!("smtp://127.0.0.1:{port}"), "--ca-file", &ca]
            .map(Into::into)
            .to_vec();
    match &target.login {
        None => probe.extend(["--level", "Connect"].map(Into::into)),
        Some((user, _)) => probe.extend(["--username", user, "--password-file", "-"].map(Into::into)),
    }
    let password = target.login.as_ref().map(|(_, password)| password.clone()).unwrap_or_default();
    candidates.push(Box::new(Started { name: "mailverity probe", times: 50, argv: probe, input: password }));

    let mut lines = vec!["EHLO bench.test".to_owned()];
    let mut swaks: Vec<String> =
        ["swaks", "--server", "127.0.0.1", "--port", &port, "--helo", "bench.test", "--tls", "--tls-verify"]
            .map(Into::into)
            .to_vec();
    swaks.extend(["--tls-ca-path".into(), ca.clone(), "--silent".into(), "3".into(), "--quit-after".into()]);
    let mut login = String::new();
    match &target.login {
        None => swaks.push("HELO".into()),
        Some((user, password)) => {
            lines.push(format!("AUTH PLAIN {}", BASE64.encode(format!("\0{user}\0{password}"))));
            swaks.extend(["AUTH", "--auth", "PLAIN", "--auth-user", user, "--auth-password", password].map(Into::into));
            login = format!("s.login({user:?}, {password:?})\n");
        }
    }
    lines.push("QUIT\n".to_owned());
    let openssl = [
        "openssl",
        "s_client",
        "-starttls",
        "smtp",
        "-connect",
        &format!("127.0.0.1:{port}"),
        "-CAfile",
        &ca,
        "-verify_return_error",
        "-quiet",
        "-crlf",
    ];
    candidates.push(Box::new(Started {
        name: "openssl s_client",
        times: 50,
        argv: openssl.map(Into::into).to_vec(),
        input: lines.join("\n"),
    }));
    candidates.push(Box::new(Started { name: "swaks", times: 15, argv: swaks, input: String::new() }));
    let script = format!(
        "import smtplib, ssl\ns = smtplib.SMTP('127.0.0.1', {port}, 'bench.test')\n\
         s.starttls(context=ssl.create_default_context(cafile={ca:?}))\ns.ehlo()\n{login}s.quit()\n"
    );
    candidates.push(Box::new(Started { name: "Python's smtplib", times: 15, argv: vec![python(), "-".into()], input: script }));
    Ok(candidates)
}

/// The system's Python: one that a version manager put before it starts by way of a shell script.
fn python() -> String {
    if fs::exists("/usr/bin/python3").unwrap_or(false) { "/usr/bin/python3".into() } else { "python3".into() }
}

/// One of our two clients, in a process that checks many times.
struct Staying {
    name: &'static str,
    job: Job,
}

impl Candidate for Staying {
    fn name(&self) -> &'static str {
        self.name
    }

    fn round(&mut self) -> Result<Cost> {
        client::spawn(&self.job)
    }
}

/// A program that checks once and ends.
struct Started {
    name: &'static str,
    times: u32,
    argv: Vec<String>,
    input: String,
}

impl Started {
    fn start(&self) -> Result<Child> {
        let mut child = Command::new(&self.argv[0])
            .args(&self.argv[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| io::Error::other(format!("{}: {error}", self.argv[0])))?;
        child.stdin.take().ok_or("no pipe")?.write_all(self.input.as_bytes())?;
        Ok(child)
    }

    fn end(&self, mut child: Child) -> Result<()> {
        let status = child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("{} failed: {status}", self.name).into()) }
    }
}

impl Candidate for Started {
    fn name(&self) -> &'static str {
        self.name
    }

    fn round(&mut self) -> Result<Cost> {
        // Watching its memory disturbs, so that is done in a run that does not count.
        let watched = self.start()?;
        let pid = watched.id().to_string();
        let mut resident_kib = 0;
        loop {
            match measure::peak_kib(&pid) {
                0 => break,
                now => resident_kib = resident_kib.max(now),
            }
            thread::sleep(Duration::from_micros(200));
        }
        self.end(watched)?;

        let (begun, cpu) = (Instant::now(), measure::cpu("self", Whose::Children)?);
        let mut walls = Vec::new();
        for _ in 0..self.times {
            let begun = Instant::now();
            self.end(self.start()?)?;
            walls.push(begun.elapsed());
        }
        let cpu = measure::cpu("self", Whose::Children)?.saturating_sub(cpu) / self.times;
        Ok(Cost { elapsed: begun.elapsed(), cpu, walls, resident_kib })
    }
}

/// Prometheus' `blackbox_exporter`, asked to probe by HTTP as Prometheus asks it.
struct Blackbox {
    daemon: Child,
    port: u16,
    path: String,
    config: PathBuf,
}

impl Blackbox {
    fn start(target: &Target) -> Result<Self> {
        let login = match &target.login {
            Some((user, password)) => {
                let response = BASE64.encode(format!("\0{user}\0{password}"));
                format!("        - send: \"AUTH PLAIN {response}\\r\"\n        - expect: \"^235\"\n")
            }
            None => String::new(),
        };
        let config = env::temp_dir().join(format!("mailverity-bench-{}-{}.yaml", std::process::id(), login.len()));
        fs::write(
            &config,
            format!(
                r#"modules:
  smtp:
    prober: tcp
    timeout: 10s
    tcp:
      tls_config: {{ca_file: {ca:?}, server_name: 127.0.0.1}}
      query_response:
        - expect: "^220"
        - send: "EHLO bench.test\r"
        - expect: "^250 "
        - send: "STARTTLS\r"
        - expect: "^220"
        - starttls: true
        - send: "EHLO bench.test\r"
        - expect: "^250 "
{login}        - send: "QUIT\r"
        - expect: "^221"
"#,
                ca = target.ca_file.to_string_lossy()
            ),
        )?;
        // Free now, and nobody else on this machine is likely to want it before the daemon has it.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let daemon = Command::new("prometheus-blackbox-exporter")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=error")
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| io::Error::other(format!("prometheus-blackbox-exporter: {error}")))?;
        let blackbox = Self { daemon, port, path: format!("/probe?module=smtp&target=127.0.0.1:{}", target.port), config };
        for _ in 0..100 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(blackbox);
            }
            thread::sleep(Duration::from_millis(50));
        }
        Err("blackbox_exporter did not start".into())
    }

    fn probe(&self) -> Result<()> {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        write!(socket, "GET {} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n", self.path)?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        if answer.contains("\nprobe_success 1") {
            Ok(())
        } else {
            Err(format!("blackbox_exporter's probe failed: {answer}").into())
        }
    }
}

impl Candidate for Blackbox {
    fn name(&self) -> &'static str {
        BLACKBOX
    }

    fn round(&mut self) -> Result<Cost> {
        let pid = self.daemon.id().to_string();
        let times = 50;
        self.probe()?;
        let (begun, cpu) = (Instant::now(), measure::cpu(&pid, Whose::Own)?);
        let mut walls = Vec::new();
        for _ in 0..times {
            let begun = Instant::now();
            self.probe()?;
            walls.push(begun.elapsed());
        }
        let cpu = measure::cpu(&pid, Whose::Own)?.saturating_sub(cpu) / times;
        Ok(Cost { elapsed: begun.elapsed(), cpu, walls, resident_kib: measure::peak_kib(&pid) })
    }
}

impl Drop for Blackbox {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        let _ = fs::remove_file(&self.config);
    }
}
