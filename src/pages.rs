//! The pages for readers: their Rust is compiled and run as doc tests of this crate.

macro_rules! pages {
    ($($name:ident $file:literal)+) => {
        $(
            #[doc = include_str!(concat!("../", $file))]
            mod $name {}
        )+
    };
}

pages! {
    readme "README.md"
    first_job "docs/first-job.md"
    operators "docs/operators.md"
    records "docs/records.md"
    reading_and_writing "docs/reading-and-writing.md"
    formats "docs/formats.md"
    stores "docs/stores.md"
    tpch "docs/tpch.md"
    failures "docs/failures.md"
    clusters "docs/clusters.md"
    sharing "docs/sharing.md"
    profiles "docs/profiles.md"
    watching "docs/watching.md"
    security "docs/security.md"
    looking_into_a_job "docs/looking-into-a-job.md"
    memory "docs/memory.md"
    where_the_time_goes "docs/where-the-time-goes.md"
}
