// Tests of several crates take this file in: what fuzzers found is tried on every build, without a fuzzer.

/// Calls `target` with every input of the corpus `name`, and says which one it was that fails.
fn each(name: &str, target: impl Fn(&[u8])) {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut count = 0;
    for entry in std::fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        let input = std::fs::read(&path).unwrap();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| target(&input)));
        assert!(outcome.is_ok(), "fails with {}", path.display());
        count += 1;
    }
    assert!(count > 0, "{} is empty", directory.display());
}
