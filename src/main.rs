//! `kubectl cocalc`.

fn main() {}
