//! Questions to the person at the terminal. Where there is none, nothing is asked.

use std::io::{self, BufRead, IsTerminal, Write};

/// Whether somebody is there who can answer.
pub fn can() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// An answer, without the blanks around it; `fallback` where it is empty. The question goes to standard error: standard output is for
/// what comes of it.
pub fn ask(question: &str, fallback: &str) -> io::Result<String> {
    let shown = if fallback.is_empty() { String::new() } else { format!(" [{fallback}]") };
    let mut error = io::stderr();
    write!(error, "{question}{shown}: ")?;
    error.flush()?;
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "nobody answers"));
    }
    let answer = line.trim();
    Ok(if answer.is_empty() { fallback.to_owned() } else { answer.to_owned() })
}

/// Whether the answer is yes; anything else is no.
pub fn yes(question: &str) -> io::Result<bool> {
    Ok(matches!(ask(&format!("{question} [y/N]"), "")?.to_lowercase().as_str(), "y" | "yes"))
}
