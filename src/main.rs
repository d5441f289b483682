//! The program: parse, dispatch, print the error chain once, exit.

fn main() {}
