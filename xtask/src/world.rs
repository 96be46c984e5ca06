//! Compares a component with the world `plugin` in `wit/world.wit`, which says what the shipped component may import
//! and must export.
//!
//! A component can use only the capabilities that it imports. Therefore the world lists every import that is allowed,
//! and a component may import nothing else. Imports are compared by name and version. `cargo xtask dist` prints the
//! imports.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail, ensure};
use wit_component::DecodedWasm;
use wit_parser::{Docs, Resolve, TypeDefKind, TypeOwner, WorldId, WorldItem, WorldKey};

use crate::process::workspace_root;

/// An import or export of a component. It is nearly always an interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Extern {
    /// The name without the version, for example `wasi:http/types`.
    pub name: String,
    /// The version, for example `0.2.2`. `None` if the item has no version.
    pub version: Option<String>,
    /// The number of functions that the component lists for this item. 0 if the component uses only types of the
    /// interface.
    pub functions: usize,
}

/// The result of comparing a component with the world `plugin`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Checked {
    /// The component's imports, sorted by name.
    pub imports: Vec<Extern>,
    /// The component's exports, sorted by name.
    pub exports: Vec<Extern>,
    /// One sentence for each difference that the world does not allow.
    pub problems: Vec<String>,
}

/// Returns the imports that the world `plugin` allows, as `name@version`.
///
/// # Errors
/// If `wit/` can't be read or parsed.
pub fn plugin_imports() -> Result<BTreeSet<String>> {
    let (resolve, world) = plugin()?;
    Ok(imports(&resolve, world).iter().map(Extern::id).collect())
}

/// Checks that a component fits the world `plugin`, and returns its imports.
///
/// # Errors
/// If the bytes are not a component, or the component does not fit the world. The error text lists each difference.
pub fn check_imports(component: &[u8]) -> Result<Vec<Extern>> {
    let checked = check(component)?;
    if !checked.problems.is_empty() {
        bail!("the component does not fit world `plugin`: {}", checked.problems.join("; "));
    }
    Ok(checked.imports)
}

/// Compares a component with the world `plugin`. If they differ, the function still succeeds, and [`Checked::problems`]
/// lists the differences.
///
/// # Errors
/// If the bytes are not a component, or `wit/` can't be read.
pub fn check(component: &[u8]) -> Result<Checked> {
    let (resolve, world) = plugin()?;
    check_against(&resolve, world, component)
}

/// Compares a component with a world of another package than the present one.
///
/// # Errors
/// If the bytes are not a component.
pub(crate) fn check_against(resolve: &Resolve, world: WorldId, component: &[u8]) -> Result<Checked> {
    let (found, found_world) = decode(component)?;
    let (found_imports, found_exports) = (imports(&found, found_world), exports(&found, found_world));

    let allowed = imports(resolve, world);
    let unknown = found_imports.iter().filter(|import| !contains(&allowed, import));
    let mut problems: Vec<String> = unknown
        .map(|import| match allowed.iter().find(|allowed| allowed.name == import.name) {
            Some(other) => format!("it imports {}, but only {} is allowed", import.id(), other.id()),
            None => format!("it imports {}, which is not allowed", import.id()),
        })
        .collect();
    let wanted = exports(resolve, world);
    let missing = wanted.iter().filter(|export| !contains(&found_exports, export));
    problems.extend(missing.map(|export| format!("it does not export {}", export.id())));
    let extra = found_exports.iter().filter(|export| !contains(&wanted, export));
    problems.extend(extra.map(|export| format!("it exports {}, which the world does not have", export.id())));

    // If all names are right, compare the types of every function.
    if problems.is_empty()
        && let Err(error) = wit_component::targets(resolve, world, component)
    {
        problems.push(format!("its types differ: {error:#}"));
    }
    Ok(Checked { imports: found_imports, exports: found_exports, problems })
}

impl Extern {
    /// Returns name and version as they are written in a component, for example `wasi:http/types@0.2.2`.
    #[must_use]
    pub fn id(&self) -> String {
        match &self.version {
            Some(version) => format!("{}@{version}", self.name),
            None => self.name.clone(),
        }
    }

    fn new(resolve: &Resolve, key: &WorldKey, item: &WorldItem) -> Self {
        let id = resolve.name_world_key(key);
        let (name, version) = match id.split_once('@') {
            Some((name, version)) => (name.to_owned(), Some(version.to_owned())),
            None => (id, None),
        };
        let functions = match item {
            WorldItem::Interface { id, .. } => resolve.interfaces.get(*id).map_or(0, |found| found.functions.len()),
            WorldItem::Function(_) => 1,
            WorldItem::Type { .. } => 0,
        };
        Self { name, version, functions }
    }
}

/// Checks whether the list has an item of this name and version. The functions are not compared, because a component
/// lists only the functions that it uses.
fn contains(list: &[Extern], item: &Extern) -> bool {
    list.iter().any(|other| other.name == item.name && other.version == item.version)
}

fn imports(resolve: &Resolve, world: WorldId) -> Vec<Extern> {
    let Some(world) = resolve.worlds.get(world) else {
        return Vec::new();
    };
    sorted(world.imports.iter().map(|(key, item)| Extern::new(resolve, key, item)))
}

fn exports(resolve: &Resolve, world: WorldId) -> Vec<Extern> {
    let Some(world) = resolve.worlds.get(world) else {
        return Vec::new();
    };
    sorted(world.exports.iter().map(|(key, item)| Extern::new(resolve, key, item)))
}

fn sorted(externs: impl Iterator<Item = Extern>) -> Vec<Extern> {
    let mut externs: Vec<Extern> = externs.collect();
    externs.sort();
    externs
}

fn plugin() -> Result<(Resolve, WorldId)> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(workspace_root().join("wit"))?;
    let world = resolve.select_world(&[package], Some("plugin"))?;
    Ok((resolve, world))
}

/// Returns the cases of `connector-error` in `wit/types.wit` with their documentation, in the order of that file.
///
/// # Errors
/// If `wit/` can't be read or parsed, or has no variant `connector-error`.
pub fn error_cases() -> Result<Vec<(String, String)>> {
    let (resolve, world) = plugin()?;
    let package = resolve.worlds.get(world).and_then(|world| world.package);
    let kind = resolve.types.iter().find_map(|(_, definition)| {
        let TypeOwner::Interface(interface) = definition.owner else { return None };
        let ours = resolve.interfaces.get(interface)?.package == package;
        (ours && definition.name.as_deref() == Some("connector-error")).then_some(&definition.kind)
    });
    let Some(TypeDefKind::Variant(error)) = kind else { bail!("no variant `connector-error`") };
    let meaning =
        |docs: &Docs| docs.contents.as_deref().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    Ok(error.cases.iter().map(|case| (case.name.clone(), meaning(&case.docs))).collect())
}

fn decode(component: &[u8]) -> Result<(Resolve, WorldId)> {
    // This check is needed because `decode` would accept a core module as a component that imports nothing.
    ensure!(wasmparser::Parser::is_component(component), "this is not a component");
    match wit_component::decode(component).context("this component is damaged")? {
        DecodedWasm::Component(resolve, world) => Ok((resolve, world)),
        DecodedWasm::WitPackage(..) => bail!("this is a WIT package, not a component"),
    }
}

#[cfg(test)]
mod tests {
    use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
    use wit_parser::ManglingAndAbi;

    use super::*;

    /// The imports that the world allows. Every item is a capability of the component. Do not add an item only to make
    /// this test pass.
    const ALLOWED: [&str; 11] = [
        "tiktok-shop:connector/app-credentials@0.2.0",
        "tiktok-shop:connector/storage@0.2.0",
        "tiktok-shop:connector/types@0.2.0",
        "wasi:clocks/monotonic-clock@0.2.2",
        "wasi:clocks/wall-clock@0.2.2",
        "wasi:http/outgoing-handler@0.2.2",
        "wasi:http/types@0.2.2",
        "wasi:io/error@0.2.2",
        "wasi:io/poll@0.2.2",
        "wasi:io/streams@0.2.2",
        "wasi:random/random@0.2.2",
    ];

    #[test]
    fn the_world_allows_exactly_the_pinned_imports() {
        assert_eq!(plugin_imports().unwrap().into_iter().collect::<Vec<_>>(), ALLOWED);
    }

    #[test]
    fn a_component_made_from_the_world_fits_it() {
        let (resolve, world) = plugin().unwrap();
        let checked = check(&component(&resolve, world)).unwrap();
        assert_eq!(checked.problems, [""; 0]);
        assert_eq!(checked.imports.iter().map(Extern::id).collect::<Vec<_>>(), ALLOWED);
        assert_eq!(
            checked.exports.iter().map(Extern::id).collect::<Vec<_>>(),
            ["tiktok-shop:connector/connector@0.2.0"]
        );
    }

    #[test]
    fn an_import_that_is_not_allowed_is_reported() {
        assert_eq!(
            problems("import wasi:cli/environment@0.2.2; include tiktok-shop:connector/contract@0.2.0;"),
            ["it imports wasi:cli/environment@0.2.2, which is not allowed"]
        );
    }

    #[test]
    fn a_missing_export_is_reported() {
        assert_eq!(
            problems("import wasi:random/random@0.2.2;"),
            ["it does not export tiktok-shop:connector/connector@0.2.0"]
        );
    }

    #[test]
    fn an_export_that_the_world_does_not_have_is_reported() {
        assert_eq!(
            problems("include tiktok-shop:connector/contract@0.2.0; export wasi:random/random@0.2.2;"),
            ["it exports wasi:random/random@0.2.2, which the world does not have"]
        );
    }

    #[test]
    fn another_version_of_an_allowed_interface_is_reported_with_both_versions() {
        let (mut resolve, _) = plugin().unwrap();
        let later = "package wasi:random@0.2.6; interface random { get-random-u64: func() -> u64; }";
        resolve.push_str("later.wit", later).unwrap();
        let items = "import wasi:random/random@0.2.6; export tiktok-shop:connector/connector@0.2.0;";
        assert_eq!(
            problems_in(&mut resolve, items),
            ["it imports wasi:random/random@0.2.6, but only wasi:random/random@0.2.2 is allowed"]
        );
    }

    #[test]
    fn a_function_of_another_type_does_not_fit() {
        let mut resolve = Resolve::default();
        let other = "package tiktok-shop:connector@0.2.0; interface connector { refresh: func(); } \
                     world plugin { export connector; }";
        let package = resolve.push_str("other.wit", other).unwrap();
        let world = resolve.select_world(&[package], None).unwrap();
        let problems = check(&component(&resolve, world)).unwrap().problems;
        assert!(matches!(problems.as_slice(), [problem] if problem.starts_with("its types differ: ")), "{problems:?}");
    }

    #[test]
    fn a_core_module_is_not_a_component() {
        let error = check(b"\0asm\x01\0\0\0").unwrap_err();
        assert_eq!(error.to_string(), "this is not a component");
    }

    /// Returns the problems of a component whose world has these items.
    fn problems(items: &str) -> Vec<String> {
        problems_in(&mut plugin().unwrap().0, items)
    }

    fn problems_in(resolve: &mut Resolve, items: &str) -> Vec<String> {
        let package = resolve.push_str("test.wit", &format!("package test:test; world test {{ {items} }}")).unwrap();
        let world = resolve.select_world(&[package], Some("test")).unwrap();
        check(&component(resolve, world)).unwrap().problems
    }

    /// Builds a component that imports and exports everything in the world, and does nothing.
    fn component(resolve: &Resolve, world: WorldId) -> Vec<u8> {
        let mut module = dummy_module(resolve, world, ManglingAndAbi::Standard32);
        embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8).unwrap();
        ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
    }
}
