//! `mailverity sandbox`: a mail server on loopback, for trying the product without one.

use std::{
    fs,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use secrecy::{ExposeSecret, SecretString};
use tokio::signal::unix::{SignalKind, signal};

use crate::sandbox::{Account, Options, Ports, Running, Sandbox};

/// Run a mail server on loopback: SMTP that takes mail for its own user, and POP3 to read it.
///
/// It has TLS by a certificate made at start, demands a login, keeps mail in memory only, relays nothing and cannot be
/// reached from elsewhere. It ends on SIGINT and SIGTERM.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Loopback address to listen on
    #[arg(long, default_value_t = Ipv4Addr::LOCALHOST.into())]
    pub address: IpAddr,
    /// Port for SMTP with STARTTLS; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 2587)]
    pub smtp_port: u16,
    /// Port for SMTP with TLS from the first byte; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 2465)]
    pub smtps_port: u16,
    /// Port for SMTP without TLS; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 2525)]
    pub plain_port: u16,
    /// Port for POP3 with STLS; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 2110)]
    pub pop3_port: u16,
    /// Port for POP3 with TLS from the first byte; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 2995)]
    pub pop3s_port: u16,
    /// Login name and address of the one account
    #[arg(long, value_name = "ADDRESS", default_value = "demo@sandbox.test")]
    pub user: String,
    /// File with the account's password (a newline at its end is dropped); without it a random one is made and printed
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Take PLAIN, LOGIN and USER/PASS without TLS too
    #[arg(long)]
    pub allow_plaintext: bool,
    /// Directory to write ca.crt, username, password and, last, ports.json to
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// How to say where it listens
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// How `sandbox` says where it listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One JSON object on one line.
    Json,
}

/// Why the sandbox did not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It did not start.
    #[error(transparent)]
    Sandbox(#[from] crate::sandbox::Error),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Signals or standard output are not to be had.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Runs a sandbox until it is told to end.
///
/// # Errors
/// See [`Error`].
pub async fn run(args: Args) -> Result<super::Exit, Error> {
    let password = args.password_file.as_deref().map(read_password).transpose()?;
    let made = password.is_none();
    let account = Account { user: args.user, password: password.unwrap_or_else(|| Account::demo().password) };
    // Set up first, so that no signal is lost between the announcement and the wait.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let sandbox = Sandbox::start(Options {
        address: args.address,
        ports: Ports {
            smtp: args.smtp_port,
            smtps: args.smtps_port,
            plain: args.plain_port,
            pop3: args.pop3_port,
            pop3s: args.pop3s_port,
        },
        accounts: vec![account],
        allow_plaintext: args.allow_plaintext,
        ..Options::default()
    })
    .await?;
    if let Some(dir) = &args.dir {
        write(&sandbox, dir)?;
    }
    let words = match args.output {
        Output::Text => text(&sandbox, made, args.dir.as_deref()),
        Output::Json => json(&sandbox, made, args.dir.as_deref()),
    };
    // Flushed, since programs that started us wait for it.
    let mut out = io::stdout().lock();
    writeln!(out, "{words}").and_then(|()| out.flush())?;
    drop(out);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(super::Exit::Good)
}

fn read_password(path: &Path) -> Result<SecretString, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    Ok(text.trim_end_matches(['\r', '\n']).into())
}

/// What other programs need, as files; whoever waits for ports.json finds all of them.
fn write(sandbox: &Running, dir: &Path) -> Result<(), Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| Error::File { path, source }
    };
    fs::create_dir_all(dir).map_err(failed(dir))?;
    let mut files = vec![("ca.crt", sandbox.ca.clone(), 0o644)];
    if let Some(account) = sandbox.accounts.first() {
        files.push(("username", account.user.clone(), 0o644));
        files.push(("password", account.password.expose_secret().to_owned(), 0o600));
    }
    files.push(("ports.json", serde_json::json!(sandbox.ports).to_string(), 0o644));
    for (name, content, mode) in files {
        let path = dir.join(name);
        // A new file under a new name: an old one may be readable by others, or half read at the moment.
        let fresh = dir.join(format!(".{name}.new"));
        let written = fs::remove_file(&fresh)
            .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
            .and_then(|()| fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh))
            .and_then(|mut file| file.write_all(content.as_bytes()))
            .and_then(|()| fs::rename(&fresh, &path));
        written.map_err(failed(&path))?;
    }
    Ok(())
}

fn text(sandbox: &Running, made: bool, dir: Option<&Path>) -> String {
    let at = |port| SocketAddr::new(sandbox.address, port);
    let Ports { smtp, smtps, plain, pop3, pop3s } = sandbox.ports;
    let mut lines = vec![
        format!("SMTP  StartTLS  {}", at(smtp)),
        format!("SMTP  TLS       {}", at(smtps)),
        format!("SMTP  None      {}", at(plain)),
        format!("POP3  StartTLS  {}", at(pop3)),
        format!("POP3  TLS       {}", at(pop3s)),
    ];
    if let Some(account) = sandbox.accounts.first() {
        lines.push(format!("user      {}", account.user));
        if made {
            lines.push(format!("password  {}", account.password.expose_secret()));
        }
        if let Some(dir) = dir {
            let (dir, user) = (dir.display(), &account.user);
            lines.push(format!("\nTry it: mailverity probe smtp://localhost:{smtp} --ca-file {dir}/ca.crt --username {user} --password-file {dir}/password"));
        } else {
            lines.push("\nThe certificate's CA: start with --dir DIR to have it as a file.".to_owned());
        }
    }
    lines.join("\n")
}

fn json(sandbox: &Running, made: bool, dir: Option<&Path>) -> String {
    let account = sandbox.accounts.first();
    let mut line = serde_json::json!({
        "address": sandbox.address,
        "ports": sandbox.ports,
        "username": account.map(|account| &account.user),
        "ca": sandbox.ca,
    });
    if let Some(account) = account.filter(|_| made) {
        line["password"] = account.password.expose_secret().into();
    }
    if let Some(dir) = dir {
        line["dir"] = dir.to_string_lossy().into();
    }
    line.to_string()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    async fn sandbox() -> Running {
        let account = Account { user: "demo@sandbox.test".to_owned(), password: "correct horse".into() };
        Sandbox::start(Options { accounts: vec![account], ..Options::default() }).await.unwrap()
    }

    #[tokio::test]
    async fn the_files_are_new_at_each_start_and_the_password_is_for_the_owner_alone() {
        let sandbox = sandbox().await;
        let dir = std::env::temp_dir().join(format!("mailverity-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("password"), "old").unwrap();
        fs::set_permissions(dir.join("password"), fs::Permissions::from_mode(0o666)).unwrap();
        write(&sandbox, &dir).unwrap();
        write(&sandbox, &dir).unwrap();
        let read = |name| fs::read_to_string(dir.join(name)).unwrap();
        assert_eq!((read("username").as_str(), read("password").as_str()), ("demo@sandbox.test", "correct horse"));
        assert_eq!(fs::metadata(dir.join("password")).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read("ca.crt"), sandbox.ca);
        let ports: serde_json::Value = serde_json::from_str(&read("ports.json")).unwrap();
        assert_eq!(ports["pop3s"], sandbox.ports.pop3s);
        let mut names: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["ca.crt", "password", "ports.json", "username"]);
        fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn a_password_is_told_only_where_nobody_knows_it() {
        let sandbox = sandbox().await;
        for made in [false, true] {
            assert_eq!(text(&sandbox, made, None).contains("correct horse"), made);
            assert_eq!(json(&sandbox, made, None).contains("correct horse"), made);
        }
        assert_eq!(json(&sandbox, true, None).lines().count(), 1);
    }
}
