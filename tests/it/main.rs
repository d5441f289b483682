//! The integration tests: one binary, a module a question.
#![allow(missing_docs, reason = "tests are sentences")]
#![expect(clippy::unwrap_used, reason = "a test that fails here has failed")]

mod queue;
