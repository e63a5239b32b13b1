//! The binary `doorward-operator`.

fn main() {}
