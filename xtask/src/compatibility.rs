//! Decides whether a change of the WIT package fits an earlier release of the same minor version.
//!
//! Within a minor version, a host of one release runs the component of another release. This works only if the package
//! changes by additions to what the component exports:
//!
//! - What the component imports stays the same. A function that is added to an import is missing in an earlier host. A
//!   function that is removed is missing when the present host runs an earlier component.
//! - What the component exports may gain functions, types and interfaces. An earlier component does not have them. So a
//!   host must look for a new function when it runs a component, and must not require it.
//! - The shape of an existing type or function stays the same: its fields, cases, parameters and results, and their
//!   order. Two sides that disagree about a shape do not fit together.
//! - An interface that the component imports may gain a type, because a host provides only functions.

use semver::Version;

use crate::contract::{Contract, Member, Members, Sides};

/// The difference between two versions of the WIT package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Comparison {
    /// One sentence for each change that is not allowed.
    pub problems: Vec<String>,
    /// One sentence for each allowed addition.
    pub additions: Vec<String>,
}

/// Compares the present package with the package of an earlier release.
pub(crate) fn compare(kept: &Contract, present: &Contract) -> Comparison {
    let mut found = Comparison::default();
    for (name, earlier) in &kept.worlds {
        match present.worlds.get(name) {
            Some(world) => compare_worlds(name, earlier, world, &mut found),
            None => found.problems.push(format!("the world `{name}` is gone, but hosts generate bindings from it")),
        }
    }
    for (name, earlier) in &kept.interfaces {
        match present.interfaces.get(name) {
            Some(interface) => {
                let place = Place { interface: name, is_import: kept.imports(name) };
                compare_types(place, earlier, interface, kept, &mut found);
                compare_functions(place, earlier, interface, kept, &mut found);
            }
            None => found.problems.push(format!("the interface `{name}` is gone")),
        }
    }
    for (name, interface) in &present.interfaces {
        if !kept.interfaces.contains_key(name) {
            found.additions.push(format!("the interface `{name}` is new"));
            check_since(&format!("the interface `{name}`"), interface.since.as_ref(), kept, &mut found);
        }
    }
    if kept.version == present.version && (!found.problems.is_empty() || !found.additions.is_empty()) {
        found.problems.push(format!("the package differs from the release {0}, but has the version {0}", kept.version));
    }
    found
}

fn compare_worlds(name: &str, earlier: &Sides, present: &Sides, found: &mut Comparison) {
    for import in present.imports.difference(&earlier.imports) {
        found.problems.push(format!("the world `{name}` imports {import}, which an earlier host does not offer"));
    }
    for import in earlier.imports.difference(&present.imports) {
        found.problems.push(format!(
            "the world `{name}` no longer imports {import}, but a host must offer it to earlier components"
        ));
    }
    for export in present.exports.difference(&earlier.exports) {
        found.additions.push(format!(
            "the world `{name}` exports {export}; earlier components do not have it, so a host must not require it"
        ));
    }
    for export in earlier.exports.difference(&present.exports) {
        found.problems.push(format!("the world `{name}` no longer exports {export}, which earlier hosts require"));
    }
}

/// The interface whose members are compared.
#[derive(Clone, Copy)]
struct Place<'a> {
    interface: &'a str,
    /// Whether the component imports the interface.
    is_import: bool,
}

fn compare_types(place: Place<'_>, earlier: &Members, present: &Members, kept: &Contract, found: &mut Comparison) {
    let title = |kind: &str, name: &str| format!("the {kind} `{}.{name}`", place.interface);
    for (name, Member { shape, .. }) in &earlier.types {
        let title = title(shape.kind, name);
        match present.types.get(name).map(|present| present.shape.difference(shape)) {
            Some(None) => {}
            Some(Some(difference)) => found.problems.push(format!("{title} {difference}")),
            None => found.problems.push(format!("{title} is gone")),
        }
    }
    for (name, Member { since, shape }) in present.types.iter().filter(|(name, _)| !earlier.types.contains_key(*name)) {
        let title = title(shape.kind, name);
        found.additions.push(format!("{title} is new"));
        check_since(&title, since.as_ref(), kept, found);
    }
}

fn compare_functions(place: Place<'_>, earlier: &Members, present: &Members, kept: &Contract, found: &mut Comparison) {
    let title = |name: &str| format!("the function `{}.{name}`", place.interface);
    for (name, Member { shape, .. }) in &earlier.functions {
        let title = title(name);
        match present.functions.get(name).map(|present| present.shape.difference(shape)) {
            Some(None) => {}
            Some(Some(difference)) => found.problems.push(format!("{title} {difference}")),
            None if place.is_import => {
                found.problems.push(format!("{title} is gone, but a host must offer it to earlier components"));
            }
            None => found.problems.push(format!("{title} is gone, but earlier hosts require it")),
        }
    }
    for (name, Member { since, .. }) in
        present.functions.iter().filter(|(name, _)| !earlier.functions.contains_key(*name))
    {
        let title = title(name);
        if place.is_import {
            found.problems.push(format!("{title} is new, but earlier hosts do not offer it to the component"));
            continue;
        }
        found
            .additions
            .push(format!("{title} is new; earlier components do not have it, so a host must not require it"));
        check_since(&title, since.as_ref(), kept, found);
    }
}

/// Checks that a new item says since which version it exists. The parser has already refused a version that is later
/// than that of the package.
fn check_since(title: &str, since: Option<&Version>, kept: &Contract, found: &mut Comparison) {
    if since.is_none_or(|since| *since <= kept.version) {
        found.problems.push(format!("{title} is new, so it needs `@since` with a version after {}", kept.version));
    }
}

#[cfg(test)]
mod tests {
    use wit_parser::{Resolve, WorldId};

    use super::*;

    /// A package with an import, an export and types of every kind that `wit/` uses.
    const KEPT: &str = "
package test:compatibility@0.2.0;
interface types {
    type id = string;
    record shop { id: id, name: option<string> }
    variant status { active, ending(u64) }
    enum policy { all, one }
    flags rights { read, write }
}
interface storage {
    use types.{id, shop};
    load: func(id: id) -> result<shop, string>;
    swap: func(id: id, next: option<shop>) -> bool;
}
interface connector {
    use types.{id, policy, rights, shop, status};
    connect: func(id: id, policy: policy) -> result<shop, status>;
    refresh: func(id: id) -> rights;
}
interface extra { use types.{id}; find: func(id: id); }
world contract { import storage; export connector; export extra; }
";

    /// Whether the component model itself accepts the change, as `wit_component::semver_check` says.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Library {
        /// The present component runs on an earlier host.
        present_component: bool,
        /// An earlier component runs on the present host, and the host requires everything that the world exports.
        earlier_component: bool,
    }

    const BOTH: Library = Library { present_component: true, earlier_component: true };
    const NEITHER: Library = Library { present_component: false, earlier_component: false };

    struct Row {
        replace: &'static str,
        by: &'static str,
        problem: Option<&'static str>,
        additions: &'static [&'static str],
        library: Library,
    }

    /// Changes that are allowed within a minor version.
    const ALLOWED: [Row; 5] = [
        Row { replace: "", by: "", problem: None, additions: &[], library: BOTH },
        Row {
            replace: "interface types {",
            by: "/// Documentation is not compared.\ninterface types {",
            problem: None,
            additions: &[],
            library: BOTH,
        },
        Row {
            replace: "refresh: func(id: id) -> rights;",
            by: "refresh: func(id: id) -> rights; @since(version = 0.2.1) forget: func(id: id);",
            problem: None,
            additions: &["the function `connector.forget` is new; earlier components do not have it, so a host must \
                          not require it"],
            library: Library { present_component: true, earlier_component: false },
        },
        Row {
            replace: "connect: func",
            by: "@since(version = 0.2.1) record pending { id: id } connect: func",
            problem: None,
            additions: &["the record `connector.pending` is new"],
            library: Library { present_component: true, earlier_component: false },
        },
        Row {
            replace: "world contract { import storage; export connector;",
            by: "@since(version = 0.2.1) interface more { forget: func(); } \
                 world contract { import storage; export connector; export more;",
            problem: None,
            additions: &[
                "the world `contract` exports `more`; earlier components do not have it, so a host must not require it",
                "the interface `more` is new",
            ],
            library: Library { present_component: true, earlier_component: false },
        },
    ];

    /// Changes that break a host or a component of an earlier release.
    const FORBIDDEN: [Row; 22] = [
        refused(
            "name: option<string> }",
            "name: option<string>, note: string }",
            "the record `types.shop` gains `note: string`",
        ),
        refused("id: id, name: option<string> }", "id: id }", "the record `types.shop` loses `name: option<string>`"),
        refused(
            "name: option<string> }",
            "name: string }",
            "the record `types.shop` loses `name: option<string>`, and gains `name: string`",
        ),
        refused(
            "id: id, name: option<string> }",
            "name: option<string>, id: id }",
            "the record `types.shop` has its parts in another order",
        ),
        refused("ending(u64) }", "ending(u64), ended }", "the variant `types.status` gains `ended`"),
        refused("active, ending(u64)", "ending(u64)", "the variant `types.status` loses `active`"),
        refused(
            "ending(u64)",
            "ending(u32)",
            "the variant `types.status` loses `ending(u64)`, and gains `ending(u32)`",
        ),
        refused("enum policy { all, one }", "enum policy { all, one, none }", "the enum `types.policy` gains `none`"),
        refused(
            "enum policy { all, one }",
            "enum policy { one, all }",
            "the enum `types.policy` has its parts in another order",
        ),
        refused("read, write }", "read, write, share }", "the flags `types.rights` gains `share`"),
        refused("type id = string;", "type id = u64;", "the type `types.id` loses `string`, and gains `u64`"),
        refused(
            "enum policy { all, one }",
            "variant policy { all, one }",
            "the enum `types.policy` was of the kind enum, and is of the kind variant",
        ),
        refused(
            "refresh: func(id: id)",
            "refresh: func(id: id, forced: bool)",
            "the function `connector.refresh` gains `forced: bool`",
        ),
        refused(
            "refresh: func(id: id) -> rights;",
            "refresh: func(id: id) -> bool;",
            "the function `connector.refresh` loses `-> connector.rights`, and gains `-> bool`",
        ),
        refused(
            "refresh: func(id: id)",
            "refresh: func(key: id)",
            "the function `connector.refresh` loses `id: connector.id`, and gains `key: connector.id`",
        ),
        refused(
            "next: option<shop>) -> bool;",
            "next: shop) -> bool;",
            "the function `storage.swap` loses `next: option<storage.shop>`, and gains `next: storage.shop`",
        ),
        Row {
            replace: "refresh: func(id: id) -> rights;",
            by: "",
            problem: Some("the function `connector.refresh` is gone, but earlier hosts require it"),
            additions: &[],
            library: Library { present_component: false, earlier_component: true },
        },
        Row {
            replace: "swap: func(id: id, next: option<shop>) -> bool;",
            by: "",
            problem: Some("the function `storage.swap` is gone, but a host must offer it to earlier components"),
            additions: &[],
            library: Library { present_component: true, earlier_component: false },
        },
        Row {
            replace: "load: func(id: id)",
            by: "@since(version = 0.2.1) erase: func(id: id); load: func(id: id)",
            problem: Some("the function `storage.erase` is new, but earlier hosts do not offer it to the component"),
            additions: &[],
            library: Library { present_component: false, earlier_component: true },
        },
        Row {
            replace: "world contract { import storage;",
            by: "@since(version = 0.2.1) interface clock { now: func() -> u64; } \
                 world contract { import storage; import clock;",
            problem: Some("the world `contract` imports `clock`, which an earlier host does not offer"),
            additions: &["the interface `clock` is new"],
            library: Library { present_component: false, earlier_component: true },
        },
        Row {
            replace: "export connector; export extra;",
            by: "export connector;",
            problem: Some("the world `contract` no longer exports `extra`, which earlier hosts require"),
            additions: &[],
            library: Library { present_component: false, earlier_component: true },
        },
        Row {
            replace: "import storage; export",
            by: "export",
            problem: Some(
                "the world `contract` no longer imports `storage`, but a host must offer it to earlier components",
            ),
            additions: &[],
            library: Library { present_component: true, earlier_component: false },
        },
    ];

    const fn refused(replace: &'static str, by: &'static str, problem: &'static str) -> Row {
        Row { replace, by, problem: Some(problem), additions: &[], library: NEITHER }
    }

    /// The kept package with this change, as the next patch release.
    fn changed(replace: &str, by: &str) -> String {
        assert!(KEPT.contains(replace), "{replace}");
        KEPT.replacen(replace, by, 1).replace("@0.2.0;", "@0.2.1;")
    }

    fn compared(kept: &str, present: &str) -> Comparison {
        let contract = |text| {
            let mut resolve = Resolve::default();
            let package = resolve.push_str("test.wit", text).unwrap();
            Contract::new(&resolve, package).unwrap()
        };
        compare(&contract(kept), &contract(present))
    }

    /// Asks the library about both directions.
    fn library(kept: &str, present: &str) -> Library {
        let mut resolve = Resolve::default();
        let mut world = |text| -> WorldId {
            let package = resolve.push_str("test.wit", text).unwrap();
            resolve.select_world(&[package], Some("contract")).unwrap()
        };
        let (kept, present) = (world(kept), world(present));
        let fits = |component, host| wit_component::semver_check(resolve.clone(), component, host).is_ok();
        Library { present_component: fits(present, kept), earlier_component: fits(kept, present) }
    }

    #[test]
    fn additions_to_exports_are_allowed_and_every_other_change_is_refused() {
        for Row { replace, by, problem, additions, library: expected } in ALLOWED.iter().chain(&FORBIDDEN) {
            let present = changed(replace, by);
            let Comparison { problems, additions: found } = compared(KEPT, &present);
            assert_eq!(problems, problem.iter().copied().collect::<Vec<_>>(), "{replace} -> {by}");
            assert_eq!(&found, additions, "{replace} -> {by}");
            assert_eq!(library(KEPT, &present), *expected, "{replace} -> {by}");
        }
        assert!(ALLOWED.iter().all(|row| row.problem.is_none()));
        assert!(FORBIDDEN.iter().all(|row| row.problem.is_some()));
    }

    /// The library refuses this change, because its check lets a component import every type of an interface. A real
    /// component imports only the types that it uses, and a host provides no types.
    #[test]
    fn an_imported_interface_may_gain_a_type() {
        let present = changed("type id = string;", "type id = string; @since(version = 0.2.1) type other-id = string;");
        let found = compared(KEPT, &present);
        assert_eq!(
            (found.problems.as_slice(), found.additions),
            (&[][..], vec!["the type `types.other-id` is new".into()])
        );
    }

    #[test]
    fn a_new_item_states_the_release_that_added_it() {
        let missing = "the function `connector.forget` is new, so it needs `@since` with a version after 0.2.0";
        for (gate, problems) in
            [("", &[missing][..]), ("@since(version = 0.2.0)", &[missing]), ("@since(version = 0.2.1)", &[])]
        {
            let present = changed("connect: func", &format!("{gate} forget: func(); connect: func"));
            assert_eq!(compared(KEPT, &present).problems, problems, "{gate}");
        }
    }

    #[test]
    fn a_changed_package_needs_another_version_than_the_release() {
        let present = changed("connect: func", "@since(version = 0.2.0) type other = string; connect: func");
        let Comparison { problems, .. } = compared(KEPT, &present.replace("@0.2.1;", "@0.2.0;"));
        let version = "the package differs from the release 0.2.0, but has the version 0.2.0";
        assert_eq!(problems.last().map(String::as_str), Some(version));
        assert_eq!(compared(KEPT, KEPT), Comparison::default());
    }

    #[test]
    fn a_world_must_stay() {
        let present = changed("world contract {", "world agreement {");
        let problem = "the world `contract` is gone, but hosts generate bindings from it";
        assert_eq!(compared(KEPT, &present).problems, [problem]);
    }
}
