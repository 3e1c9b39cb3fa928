//! One file per subcommand of the program.

pub mod sandbox;
