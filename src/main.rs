//! The program: see [`mailverity::cli`].

/// The C library's allocator would keep twice the memory after a restart among many objects: what is kept of each lies between
/// what reading it took. How this one is set up stands in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    mailverity::cli::main()
}
