//! The integration tests: one binary, a module a question.
#![allow(missing_docs, reason = "tests are sentences")]

mod queue;
