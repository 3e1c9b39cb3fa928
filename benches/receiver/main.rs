//! How many mails for nobody the receiver takes on one core, beside what only throws them away: Postfix's smtp-sink and
//! Python's aiosmtpd. The receiver reads each mail as it reads any; the others do not. Prints ratios, asserts nothing.
//!
//! Started by `benches/run.sh`. Each server has one core, and Postfix's smtp-source, which sends, the other.

#![allow(clippy::cast_precision_loss, reason = "figures are for people, who read three digits of them")]

use std::{
    env, fs, io,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::MetadataExt,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use mailverity::receiver::{self, Counters, Limits, Options, Rules, Site, TlsMode};

/// The program's own.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Whatever went wrong: a benchmark can only say so and end.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How often everything is measured, in turn, so that a busy moment of the machine meets all alike.
const ROUNDS: usize = 5;
/// Mails in a round, and the connections that they come by.
const MAILS: usize = 5000;
const AT_ONCE: usize = 20;

const OURS: &str = "mailverity, reads each mail";
const SINK: &str = "Postfix's smtp-sink";
const PYTHON: &str = "Python's aiosmtpd";

/// How mails come.
const WAYS: [(&str, &[&str]); 3] = [
    ("1 KiB, a connection each", &["-l", "1024"]),
    ("1 KiB, connections kept", &["-d", "-l", "1024"]),
    ("100 KiB, connections kept", &["-d", "-l", "102400"]),
];

fn main() -> Result<()> {
    if env::args().nth(1).as_deref() == Some("serve") {
        return serve();
    }
    let mut servers = vec![Server::ours()?, Server::sink()?];
    match Server::python() {
        Ok(server) => servers.push(server),
        Err(error) => println!("left out: {PYTHON}: {error}"),
    }
    println!(
        "Mails for nobody, {MAILS} a round by {AT_ONCE} connections at once, each server on one core; medians of {ROUNDS} rounds.\n"
    );
    println!("{:28}{:30}{:>10}{:>8}{:>12}", "", "", "mails/s", "x", "CPU us/mail");
    for (way, flags) in WAYS {
        let mut rounds: Vec<Vec<(f64, f64)>> = vec![Vec::new(); servers.len()];
        for _ in 0..ROUNDS {
            for (server, rounds) in servers.iter().zip(&mut rounds) {
                rounds.push(server.round(flags)?);
            }
        }
        let medians: Vec<(f64, f64)> =
            rounds.iter().map(|rounds| (median(rounds.iter().map(|r| r.0)), median(rounds.iter().map(|r| r.1)))).collect();
        let sink = medians[1].0;
        for (server, (rate, cpu)) in servers.iter().zip(&medians) {
            println!("{way:28}{:30}{rate:10.0}{:8.2}{cpu:12.1}", server.name, rate / sink);
        }
    }
    println!("\ngoal: at least smtp-sink's rate (x >= 1)");
    Ok(())
}

/// A server in a process of its own; dropping it ends it.
struct Server {
    name: &'static str,
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn ours() -> Result<Self> {
        let itself = env::current_exe()?.to_string_lossy().into_owned();
        let mut child = on_core(0, &itself).arg("serve").stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no pipe")?).read_line(&mut line)?;
        Ok(Self { name: OURS, child, address: line.trim().parse()? })
    }

    fn sink() -> Result<Self> {
        let address = free()?;
        let mut command = on_core(0, "smtp-sink");
        // It does not run as root.
        if fs::metadata("/proc/self")?.uid() == 0 {
            command.args(["-u", "nobody"]);
        }
        let child = command.args([&address.to_string(), "1000"]).stderr(Stdio::null()).spawn()?;
        Self { name: SINK, child, address }.listening()
    }

    fn python() -> Result<Self> {
        let address = free()?;
        let mut command = on_core(0, "/usr/bin/python3");
        command.args(["-m", "aiosmtpd", "-n", "-c", "aiosmtpd.handlers.Sink", "-l", &address.to_string()]);
        let child = command.stderr(Stdio::null()).spawn()?;
        Self { name: PYTHON, child, address }.listening()
    }

    /// Waits until it does.
    fn listening(mut self) -> Result<Self> {
        let begun = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if self.child.try_wait()?.is_some() || begun.elapsed() > Duration::from_secs(10) {
                return Err(format!("{} does not listen", self.name).into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(self)
    }

    /// Mails in a second, and the server's CPU per mail in microseconds.
    fn round(&self, flags: &[&str]) -> Result<(f64, f64)> {
        let (begun, cpu) = (Instant::now(), self.cpu()?);
        let mut source = on_core(1, "smtp-source");
        source.args(["-s", &AT_ONCE.to_string(), "-m", &MAILS.to_string()]).args(flags);
        source.args(["-f", "ops@client.test", "-t", "notify@example.org", &self.address.to_string()]);
        let output = source.output()?;
        if !output.status.success() {
            return Err(format!("smtp-source: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        let rate = MAILS as f64 / begun.elapsed().as_secs_f64();
        Ok((rate, self.cpu()?.saturating_sub(cpu).as_secs_f64() * 1e6 / MAILS as f64))
    }

    /// The CPU that its threads have used: the scheduler's own count.
    fn cpu(&self) -> Result<Duration> {
        let mut sum = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            sum += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(Duration::from_nanos(sum))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that stays on one core.
fn on_core(core: u8, program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string(), program]);
    command.env("PATH", format!("{}:/usr/sbin", env::var("PATH").unwrap_or_default()));
    command
}

fn free() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The receiver's process: says where it listens, then takes mail until it is killed.
fn serve() -> Result<()> {
    let site = Site {
        name: "bench".to_owned(),
        domains: vec!["example.org".to_owned()],
        notify_local_part: "notify".to_owned(),
        max_message_bytes: 10 << 20,
        allowed_sources: Vec::new(),
        tls: TlsMode::None,
        identity: None,
        is_suspended: false,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let running = receiver::start(Options {
            listen: "127.0.0.1:0".parse()?,
            rules: Rules::new("mx.example.org", vec![site]),
            consumers: Vec::new(),
            // What a connection may ask for in all is no part of the comparison.
            limits: Limits { commands: u32::MAX, ..Limits::default() },
            proxies: Vec::new(),
            counters: Counters::default(),
        })
        .await?;
        println!("{}", running.address);
        std::future::pending::<Result<()>>().await
    })
}
