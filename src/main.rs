//! The program: parse, dispatch, print the error chain once, exit with the code that the error
//! calls for.

use std::process::ExitCode;

fn main() -> ExitCode {
    collector::cli::main()
}
