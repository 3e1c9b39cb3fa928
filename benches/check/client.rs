//! A client in a process of its own, so that its time, its CPU and its memory are its own: the bare one or the product.

use std::{
    env, io,
    path::PathBuf,
    process::{Command, Stdio},
    time::Instant,
};

use serde::{Deserialize, Serialize};

use crate::{
    Result, bare,
    measure::{self, Cost},
    product,
};

/// Whom to check, always at 127.0.0.1: looking up names is no part of the comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// A port with STARTTLS.
    pub port: u16,
    /// The CA of its certificate, in PEM.
    pub ca_file: PathBuf,
    /// User and password for AUTH PLAIN.
    pub login: Option<(String, String)>,
}

/// The client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Who {
    /// tokio, rustls and the lines, nothing else.
    Bare,
    /// The staged check.
    Mailverity,
}

/// What a client process is told, as JSON on its standard input.
#[derive(Debug, Serialize, Deserialize)]
pub struct Job {
    /// Who does it.
    pub who: Who,
    /// To whom.
    pub target: Target,
    /// How often.
    pub checks: usize,
    /// How many of those at the same time, on one thread.
    pub at_once: usize,
}

/// Checks before measuring begins: roots are loaded, memory is mapped.
const WARM_UP: usize = 20;

/// Runs a job in a new process.
pub fn spawn(job: &Job) -> Result<Cost> {
    let mut process = Command::new(env::current_exe()?).arg("client").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    serde_json::to_writer(process.stdin.take().ok_or("no pipe")?, job)?;
    let output = process.wait_with_output()?;
    if !output.status.success() {
        return Err(io::Error::other("the client failed").into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The client process: does the job on one thread and prints its cost as JSON.
pub fn run() -> Result<()> {
    let job: Job = serde_json::from_reader(io::stdin())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let cost = match job.who {
        Who::Bare => {
            let client = bare::Client::new(&job.target)?;
            runtime.block_on(repeat(&job, async || client.check().await))?
        }
        Who::Mailverity => {
            let client = product::Client::new(&job.target)?;
            runtime.block_on(repeat(&job, async || client.check().await))?
        }
    };
    serde_json::to_writer(io::stdout(), &cost)?;
    Ok(())
}

/// The bare client that checks once, and says nothing.
pub fn once() -> Result<()> {
    let job: Job = serde_json::from_reader(io::stdin())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(bare::Client::new(&job.target)?.check())
}

async fn repeat(job: &Job, check: impl AsyncFn() -> Result<()>) -> Result<Cost> {
    for _ in 0..WARM_UP {
        check().await?;
    }
    let (begun, cpu) = (Instant::now(), measure::own_cpu()?);
    let walls = std::cell::RefCell::new(Vec::with_capacity(job.checks));
    let left = std::cell::Cell::new(job.checks);
    let one_after_another = || async {
        while let Some(fewer) = left.get().checked_sub(1) {
            left.set(fewer);
            let begun = Instant::now();
            check().await?;
            walls.borrow_mut().push(begun.elapsed());
        }
        Result::Ok(())
    };
    futures::future::try_join_all((0..job.at_once).map(|_| one_after_another())).await?;
    Ok(Cost {
        elapsed: begun.elapsed(),
        cpu: measure::own_cpu()?.saturating_sub(cpu) / u32::try_from(job.checks)?,
        walls: walls.into_inner(),
        resident_kib: measure::peak_kib("self"),
    })
}
