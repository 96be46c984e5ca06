//! Removes two kinds of code from a module: code that prints panics, and code that prints texts that nobody reads.
//!
//! A panic on `wasm32-unknown-unknown` ends in the instruction `unreachable`, which is a trap. Before the trap, the
//! standard library formats a message and a backtrace for a standard error that does not exist on this target. The
//! functions that do this are a fifth of the module. This file replaces the body of each of these functions by a single
//! `unreachable`. A panic is still a trap.
//!
//! The errors of libraries can print themselves. The connector reads only their kind, and no code of it prints with
//! `Debug`. This file replaces each of these functions by one that prints nothing and succeeds, so a library that puts
//! such a text into an error puts an empty text into it.
//!
//! The functions that nothing calls any more are then removed, and all names. All other code stays as the compiler made
//! it.

use anyhow::{Context as _, Result, bail};
use walrus::{FunctionBuilder, FunctionId, FunctionKind, Module, ValType};

/// The first parts of the demangled paths of the functions that print panics. The list does not contain functions that
/// only ask about panics, for example whether a panic is under way.
const PRINTS_PANICS: [&str; 11] = [
    // A panic begins in these functions, which never return.
    "core::panicking::",
    "core::str::slice_error_fail",
    // The standard library's panic handler and its default panic hook.
    "__rustc::rust_begin_unwind",
    "std::panicking::default_hook",
    "std::panicking::panic_handler",
    "std::panicking::panic_with_hook",
    // The default hook prints with these functions.
    "std::backtrace_rs::",
    "std::backtrace::Backtrace as core::fmt::",
    "std::sys::backtrace::",
    "rustc_demangle::",
    // The `Debug` implementation of `anyhow::Error`. The component never calls it: only an `unwrap` would, and the
    // component only downcasts such errors.
    "anyhow::fmt::<impl anyhow::error::ErrorImpl>::debug",
];

/// The last parts of the demangled paths of the functions that print texts which nobody reads.
const PRINTS_UNREAD: [&str; 2] = [
    "as core::fmt::Debug>::fmt",
    // The unexpected value in the message of a JSON error, for example a number, which needs the code that prints
    // floating-point numbers.
    "serde_json::error::JsonUnexpected as core::fmt::Display>::fmt",
];

/// What becomes of the code that prints texts which the connector does not read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum UnreadTexts {
    Remove,
    Keep,
}

/// Returns the module without the code that prints panics, without names, and if wanted without the code that prints
/// unread texts.
///
/// # Errors
/// If the bytes are not a module, or if no function of the module is in the list `PRINTS_PANICS`. The second error
/// means that the module has no names, or that the standard library has changed and the list must be corrected.
pub(crate) fn prune(module: &[u8], texts: UnreadTexts) -> Result<Vec<u8>> {
    let mut module = Module::from_buffer(module).context("the compiler's output is not a WebAssembly module")?;
    let panicking = functions(&module, prints_panics);
    if panicking.is_empty() {
        bail!("no function of the module handles panics, or it has no names: see the list in xtask/src/prune.rs");
    }
    let unread = match texts {
        UnreadTexts::Remove => functions(&module, prints_unread),
        UnreadTexts::Keep => Vec::new(),
    };
    for id in panicking {
        replace(&mut module, id, Replacement::Trap);
    }
    for id in unread {
        replace(&mut module, id, Replacement::Success);
    }
    walrus::passes::gc::run(&mut module);
    for function in module.funcs.iter_mut() {
        function.name = None;
    }
    Ok(module.emit_wasm())
}

/// Returns the functions of the module whose symbol is in a list.
fn functions(module: &Module, is_in_list: fn(&str) -> bool) -> Vec<FunctionId> {
    let functions = module.funcs.iter();
    functions
        .filter(|function| function.name.as_deref().is_some_and(is_in_list))
        .map(|function| function.id())
        .collect()
}

/// Checks whether a symbol belongs to a function that prints panics. Only the function's path counts, because a mangled
/// name also contains the name of the crate that instantiated the function.
fn prints_panics(symbol: &str) -> bool {
    let path = format!("{:#}", rustc_demangle::demangle(symbol));
    let path = path.trim_start_matches(['<', '&']);
    PRINTS_PANICS.iter().any(|begin| path.starts_with(begin))
}

/// Checks whether a symbol belongs to a function that prints a text which nobody reads. The compiler numbers copies of a
/// function, for example `….165`.
fn prints_unread(symbol: &str) -> bool {
    let path = format!("{:#}", rustc_demangle::demangle(symbol));
    let path = path.trim_end_matches(|c: char| c == '.' || c.is_ascii_digit());
    !prints_panics(symbol) && PRINTS_UNREAD.iter().any(|end| path.ends_with(end))
}

/// The new body of a function.
#[derive(Clone, Copy)]
enum Replacement {
    /// The function never returns.
    Trap,
    /// The function does nothing and returns `Ok(())`, which is 0 for the functions in `PRINTS_UNREAD`.
    Success,
}

fn replace(module: &mut Module, id: FunctionId, replacement: Replacement) {
    let kind = module.types.get(module.funcs.get(id).ty());
    let (parameters, results) = (kind.params().to_vec(), kind.results().to_vec());
    let mut body = FunctionBuilder::new(&mut module.types, &parameters, &results);
    match (replacement, results.as_slice()) {
        (Replacement::Success, [ValType::I32]) => {
            body.func_body().i32_const(0);
        }
        // No caller reads the result, so the compiler has removed it. The function must not become a trap.
        (Replacement::Success, []) => {}
        // A function with another result is not an implementation of `fmt`.
        (Replacement::Trap | Replacement::Success, _) => {
            body.func_body().unreachable();
        }
    }
    let arguments = parameters.iter().map(|kind| module.locals.add(*kind)).collect();
    module.funcs.get_mut(id).kind = FunctionKind::Local(body.local_func(arguments));
}

/// Returns the component without its custom section `component-name`, which contains names for debuggers. If the
/// component is damaged, bytes that cannot be parsed are kept.
pub(crate) fn without_names(component: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(component.len());
    let mut copied_to = 0;
    for payload in wasmparser::Parser::new(0).parse_all(component) {
        let Ok(wasmparser::Payload::CustomSection(section)) = payload else { continue };
        let end = section.range().end;
        // A section begins with its kind, which is one byte. Its length in LEB128 follows.
        let Some(begin) = section_begin(component, &section.range()) else { continue };
        if section.name() == "component-name" && begin >= copied_to {
            kept.extend_from_slice(component.get(copied_to..begin).unwrap_or_default());
            copied_to = end;
        }
    }
    kept.extend_from_slice(component.get(copied_to..).unwrap_or_default());
    kept
}

/// Returns the position of a custom section's first byte. A section consists of its kind, its length and its content.
/// `range` is the range of the content. Returns `None` if the kind is not 0, the kind of a custom section.
fn section_begin(component: &[u8], range: &std::ops::Range<usize>) -> Option<usize> {
    let mut begin = range.start;
    let length_bytes = leb128_length(range.len());
    begin = begin.checked_sub(length_bytes + 1)?;
    (component.get(begin) == Some(&0)).then_some(begin)
}

fn leb128_length(mut number: usize) -> usize {
    let mut bytes = 1;
    while number > 127 {
        number >>= 7;
        bytes += 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_names_no_function_that_handles_panics_is_refused() {
        let error = prune(b"\0asm\x01\0\0\0", UnreadTexts::Remove).unwrap_err();
        assert!(error.to_string().contains("handles panics"), "{error}");
    }

    #[test]
    fn only_the_section_of_names_is_removed_from_a_component() {
        let plain = b"\0asm\x0d\0\x01\0".to_vec();
        let section = |name: &str, content: &[u8]| {
            let mut section = vec![0, u8::try_from(name.len() + 1 + content.len()).unwrap()];
            section.push(u8::try_from(name.len()).unwrap());
            section.extend(name.as_bytes());
            section.extend(content);
            section
        };
        let other = section("producers", b"\0");
        let named = [plain.clone(), section("component-name", b"xyz"), other.clone()].concat();
        assert_eq!(without_names(&named), [plain, other].concat());
    }

    #[test]
    fn the_path_of_a_symbol_decides_and_not_the_crate_that_instantiated_it() {
        for symbol in [
            "_RNvNtCsgXGp5Oqx2Ny_4core9panicking9panic_fmt",
            "_RNvMs4_NtCsowIhRXm7bo_14rustc_demangle2v0NtB5_7Printer10print_path",
            "_ZN6anyhow3fmt42_$LT$impl$u20$anyhow..error..ErrorImpl$GT$5debug17h0123456789abcdefE",
        ] {
            assert!(prints_panics(symbol), "{:#}", rustc_demangle::demangle(symbol));
        }
        for symbol in [
            "_RNvMNtCsgXGp5Oqx2Ny_4core5sliceSh11starts_withCsowIhRXm7bo_14rustc_demangle",
            "_ZN3std9backtrace9Backtrace7capture17h0123456789abcdefE",
            "_ZN3std9panicking11panic_count17is_zero_slow_path17h0123456789abcdefE",
            "_ZN26tiktok_shop_connector_core8rotation9take_pair17h0123456789abcdefE",
        ] {
            assert!(!prints_panics(symbol), "{:#}", rustc_demangle::demangle(symbol));
        }
    }

    #[test]
    fn only_debug_and_the_messages_of_json_errors_are_unread() {
        for symbol in [
            "_ZN81_$LT$waki..bindings..wasi..http..types..ErrorCode$u20$as$u20$core..fmt..Debug$GT$3fmt17h0123456789abcdefE",
            "_RNvXsh_NtCsgXGp5Oqx2Ny_4core3fmteNtB5_5Debug3fmt",
            "_RNvXsh_NtCsgXGp5Oqx2Ny_4core3fmteNtB5_5Debug3fmt.165",
            "_ZN72_$LT$serde_json..error..JsonUnexpected$u20$as$u20$core..fmt..Display$GT$3fmt17h2442b2e6ef8e5cc5E",
        ] {
            assert!(prints_unread(symbol), "{:#}", rustc_demangle::demangle(symbol));
        }
        for symbol in [
            "_RNvXs8_NtNtCsgXGp5Oqx2Ny_4core3fmtNtB5_9ArgumentsNtB5_7Display3fmt",
            "_ZN26tiktok_shop_connector_core8rotation9take_pair17h0123456789abcdefE",
            "_RNvNtCsgXGp5Oqx2Ny_4core9panicking9panic_fmt",
        ] {
            assert!(!prints_unread(symbol), "{:#}", rustc_demangle::demangle(symbol));
        }
    }

    /// Returns the instructions of a function with these results, after its replacement.
    fn replaced(results: &[ValType], replacement: Replacement) -> String {
        let mut module = Module::default();
        let mut body = FunctionBuilder::new(&mut module.types, &[ValType::I32, ValType::I32], results);
        body.func_body().unreachable();
        let arguments = vec![module.locals.add(ValType::I32), module.locals.add(ValType::I32)];
        let id = body.finish(arguments, &mut module.funcs);
        replace(&mut module, id, replacement);
        let FunctionKind::Local(function) = &module.funcs.get(id).kind else { panic!("not local") };
        let body = function.block(function.entry_block());
        format!("{:?}", body.instrs.iter().map(|(instr, _)| instr).collect::<Vec<_>>())
    }

    #[test]
    fn a_function_that_prints_an_unread_text_does_nothing_and_succeeds() {
        assert_eq!(replaced(&[ValType::I32], Replacement::Success), "[Const(Const { value: I32(0) })]");
        assert_eq!(replaced(&[], Replacement::Success), "[]");
        let trap = "[Unreachable(Unreachable)]";
        assert_eq!(replaced(&[ValType::I64], Replacement::Success), trap);
        assert_eq!(replaced(&[], Replacement::Trap), trap);
    }
}
