//! The program: see [`mailverity::cli`].

fn main() -> std::process::ExitCode {
    mailverity::cli::main()
}
