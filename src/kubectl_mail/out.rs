//! What is printed for people and programs.

use std::io::{self, ErrorKind, Write};

/// Prints lines. That nobody reads on, as `head` does, is no failure.
pub fn lines(lines: &[String]) -> io::Result<()> {
    text(&(lines.join("\n") + "\n"))
}

/// Prints a text as it is.
pub fn text(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}
