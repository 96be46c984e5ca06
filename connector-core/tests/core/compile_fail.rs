//! A secret cannot leak by mistake: the secret types and the types that contain a secret do not implement `Debug`,
//! `Display`, `Clone`, `PartialEq` or `Serialize`. The tests compare the compiler's error messages with the files
//! `tests/compile_fail/*.stderr`. After a change of toolchain, `TRYBUILD=overwrite cargo test -p
//! tiktok-shop-connector-core` writes the files again.

const ERRORS: [(&str, &str); 5] = [
    ("Clone", include_str!("../compile_fail/clone.stderr")),
    ("Debug", include_str!("../compile_fail/debug.stderr")),
    ("Display", include_str!("../compile_fail/display.stderr")),
    ("PartialEq", include_str!("../compile_fail/partial_eq.stderr")),
    ("Serialize", include_str!("../compile_fail/serialize.stderr")),
];

#[test]
fn secret_types_cannot_be_printed_copied_compared_or_serialized() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}

/// Returns the names of all types that `secret.rs` declares, inside its macro `secrets!` and outside the macro.
fn secret_types() -> Vec<&'static str> {
    let source = include_str!("../../src/secret.rs");
    let (before, made) = source.split_once("\nsecrets! {\n").unwrap();
    let made = made.lines().filter_map(|line| line.trim().strip_suffix(';'));
    let by_itself = before.lines().filter_map(|line| line.strip_prefix("pub struct ")?.split('(').next());
    made.chain(by_itself).collect()
}

#[test]
fn every_secret_type_is_in_the_compile_fail_tests() {
    let types = secret_types();
    assert_eq!(types.len(), 8, "{types:?}");
    for (name, errors) in ERRORS {
        for secret in &types {
            assert!(errors.contains(&format!("needs::<{secret}>();")), "{secret} has {name}");
        }
        // The compiler reports one error for each secret type, and one for each of seventeen types that contain
        // secrets.
        assert_eq!(errors.lines().filter(|line| line.starts_with("error[E0277]")).count(), types.len() + 17, "{name}");
    }
}
