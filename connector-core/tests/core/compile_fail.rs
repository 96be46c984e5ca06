//! What is secret has no way out that anyone could take by mistake: no `Debug`, `Display`, `Clone`, `PartialEq` or
//! `Serialize`, and neither has what holds it. Written down as the compiler's own words; after a change of toolchain,
//! `TRYBUILD=overwrite cargo test -p tiktok-shop-connector-core` writes them anew.

const ERRORS: [(&str, &str); 5] = [
    ("Clone", include_str!("../compile_fail/clone.stderr")),
    ("Debug", include_str!("../compile_fail/debug.stderr")),
    ("Display", include_str!("../compile_fail/display.stderr")),
    ("PartialEq", include_str!("../compile_fail/partial_eq.stderr")),
    ("Serialize", include_str!("../compile_fail/serialize.stderr")),
];

#[test]
fn nothing_secret_can_be_printed_copied_compared_or_written() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}

/// The types that `secret.rs` declares: what its macro makes, and what stands there by itself.
fn secret_types() -> Vec<&'static str> {
    let source = include_str!("../../src/secret.rs");
    let (before, made) = source.split_once("\nsecrets! {\n").unwrap();
    let made = made.lines().filter_map(|line| line.trim().strip_suffix(';'));
    let by_itself = before.lines().filter_map(|line| line.strip_prefix("pub struct ")?.split('(').next());
    made.chain(by_itself).collect()
}

#[test]
fn every_secret_type_is_among_what_does_not_compile() {
    let types = secret_types();
    assert_eq!(types.len(), 8, "{types:?}");
    for (name, errors) in ERRORS {
        for secret in &types {
            assert!(errors.contains(&format!("needs::<{secret}>();")), "{secret} has {name}");
        }
        // The secret types, and seventeen that hold some.
        assert_eq!(errors.lines().filter(|line| line.starts_with("error[E0277]")).count(), types.len() + 17, "{name}");
    }
}
