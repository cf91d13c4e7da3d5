//! Mistakes in jobs that do not compile, and what the compiler says of them: each message says what to do.
//!
//! After a change of a message: `TRYBUILD=overwrite cargo test -p windrow --test mistakes -- --ignored`, then read them.

#[test]
#[ignore = "it builds everything once more: `.ci/run mistakes`"]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("tests/mistakes/*.rs");
}
