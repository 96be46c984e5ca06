//! Reads the parts of a WIT package on which guest and host must agree. Documentation is left out.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use semver::Version;
use wit_parser::{
    Function, Handle, Interface, InterfaceId, PackageId, Resolve, Stability, Type, TypeDef, TypeDefKind, TypeOwner,
    World, WorldItem, WorldKey,
};

/// Everything in a package that hosts and components rely on.
pub(crate) struct Contract {
    pub(crate) version: Version,
    pub(crate) worlds: BTreeMap<String, Sides>,
    /// The interfaces of the package itself. Interfaces of WASI are compared only by name and version, because `wit/deps`
    /// contains them unedited.
    pub(crate) interfaces: BTreeMap<String, Members>,
}

/// What a world imports and exports: interfaces by name, functions and types as text. The names of the package's own
/// interfaces have no version.
pub(crate) struct Sides {
    pub(crate) imports: BTreeSet<String>,
    pub(crate) exports: BTreeSet<String>,
}

/// An interface with its types and functions.
pub(crate) struct Members {
    pub(crate) since: Option<Version>,
    pub(crate) types: BTreeMap<String, Member>,
    pub(crate) functions: BTreeMap<String, Member>,
}

/// A type or a function.
pub(crate) struct Member {
    pub(crate) since: Option<Version>,
    pub(crate) shape: Shape,
}

/// A type or a function as text: only the parts on which guest and host must agree, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) kind: &'static str,
    parts: Vec<String>,
}

impl Contract {
    pub(crate) fn new(resolve: &Resolve, id: PackageId) -> Result<Self> {
        let names = Names { resolve, package: id };
        let package = resolve.packages.get(id).context("no package")?;
        let version = package.name.version.clone().context("the package has no version")?;
        let worlds = package.worlds.iter().filter_map(|(name, id)| {
            let world = resolve.worlds.get(*id)?;
            Some((name.clone(), names.sides(world)))
        });
        let interfaces = package.interfaces.iter().filter_map(|(name, id)| {
            let interface = resolve.interfaces.get(*id)?;
            Some((name.clone(), names.members(interface)))
        });
        Ok(Self { version, worlds: worlds.collect(), interfaces: interfaces.collect() })
    }

    /// Returns whether a world imports this interface.
    pub(crate) fn imports(&self, interface: &str) -> bool {
        self.worlds.values().any(|world| world.imports.contains(&format!("`{interface}`")))
    }
}

/// Names what one package contains.
#[derive(Clone, Copy)]
struct Names<'a> {
    resolve: &'a Resolve,
    package: PackageId,
}

impl Names<'_> {
    fn sides(self, world: &World) -> Sides {
        let name = |(key, item): (&WorldKey, &WorldItem)| match item {
            WorldItem::Interface { id, .. } => format!("`{}`", self.interface(*id)),
            WorldItem::Function(function) => function_shape(self, function).text(&function.name),
            WorldItem::Type { id, .. } => {
                let shape = self.resolve.types.get(*id).map(|definition| self.shape(definition));
                shape.map(|shape| shape.text(&self.resolve.name_world_key(key))).unwrap_or_default()
            }
        };
        Sides { imports: world.imports.iter().map(name).collect(), exports: world.exports.iter().map(name).collect() }
    }

    /// Returns the name of an interface: without package and version if it belongs to this package.
    fn interface(self, id: InterfaceId) -> String {
        let interface = self.resolve.interfaces.get(id);
        let name = interface.and_then(|interface| interface.name.clone()).unwrap_or_default();
        let package = interface.and_then(|interface| interface.package).filter(|package| *package != self.package);
        match package.and_then(|package| self.resolve.packages.get(package)) {
            Some(package) => package.name.interface_id(&name),
            None => name,
        }
    }

    fn members(self, interface: &Interface) -> Members {
        let types = interface.types.iter().filter_map(|(name, id)| {
            let definition = self.resolve.types.get(*id)?;
            Some((name.clone(), Member { since: since(&definition.stability), shape: self.shape(definition) }))
        });
        let functions = interface.functions.iter().map(|(name, function)| {
            (name.clone(), Member { since: since(&function.stability), shape: function_shape(self, function) })
        });
        Members { since: since(&interface.stability), types: types.collect(), functions: functions.collect() }
    }

    /// Returns the shape of a type. Types that have a name of their own appear in it by name.
    fn shape(self, definition: &TypeDef) -> Shape {
        let kind = definition.kind.as_str();
        let typed = |name: &str, of: &Type| format!("{name}: {}", self.name(of));
        let parts = match &definition.kind {
            TypeDefKind::Record(record) => record.fields.iter().map(|field| typed(&field.name, &field.ty)).collect(),
            TypeDefKind::Variant(variant) => variant
                .cases
                .iter()
                .map(|case| match &case.ty {
                    Some(of) => format!("{}({})", case.name, self.name(of)),
                    None => case.name.clone(),
                })
                .collect(),
            TypeDefKind::Enum(cases) => cases.cases.iter().map(|case| case.name.clone()).collect(),
            TypeDefKind::Flags(flags) => flags.flags.iter().map(|flag| flag.name.clone()).collect(),
            TypeDefKind::Resource | TypeDefKind::Unknown => Vec::new(),
            TypeDefKind::Tuple(tuple) => tuple.types.iter().map(|of| self.name(of)).collect(),
            TypeDefKind::Type(of) | TypeDefKind::Option(of) | TypeDefKind::List(of) => vec![self.name(of)],
            TypeDefKind::FixedLengthList(of, length) => vec![self.name(of), length.to_string()],
            TypeDefKind::Map(key, value) => vec![self.name(key), self.name(value)],
            TypeDefKind::Result(result) => vec![self.optional_name(result.ok), self.optional_name(result.err)],
            TypeDefKind::Future(of) | TypeDefKind::Stream(of) => vec![self.optional_name(*of)],
            TypeDefKind::Handle(Handle::Own(of) | Handle::Borrow(of)) => vec![self.name(&Type::Id(*of))],
        };
        Shape { kind, parts }
    }

    fn optional_name(self, of: Option<Type>) -> String {
        of.map_or_else(|| "_".to_owned(), |of| self.name(&of))
    }

    /// Returns the name of a type with its interface. A type without a name, such as a list, is written out.
    fn name(self, of: &Type) -> String {
        let Type::Id(id) = of else { return format!("{of:?}").to_lowercase() };
        let Some(definition) = self.resolve.types.get(*id) else { return String::new() };
        match (&definition.name, definition.owner) {
            (Some(name), TypeOwner::Interface(owner)) => format!("{}.{name}", self.interface(owner)),
            (Some(name), TypeOwner::World(_) | TypeOwner::None) => name.clone(),
            (None, _) => {
                let Shape { kind, parts } = self.shape(definition);
                format!("{kind}<{}>", parts.join(", "))
            }
        }
    }
}

fn function_shape(names: Names<'_>, function: &Function) -> Shape {
    let kind = if function.kind.is_async() { "async function" } else { "function" };
    let parameters = function.params.iter().map(|param| format!("{}: {}", param.name, names.name(&param.ty)));
    let result = function.result.iter().map(|result| format!("-> {}", names.name(result)));
    Shape { kind, parts: parameters.chain(result).collect() }
}

impl Shape {
    /// Returns the shape as the text of an item with this name.
    fn text(&self, name: &str) -> String {
        format!("{} `{name}`({})", self.kind, self.parts.join(", "))
    }

    /// Says how this shape differs from the shape in an earlier release. Returns `None` if they are the same.
    pub(crate) fn difference(&self, earlier: &Self) -> Option<String> {
        if self == earlier {
            return None;
        }
        if self.kind != earlier.kind {
            return Some(format!("was of the kind {}, and is of the kind {}", earlier.kind, self.kind));
        }
        let missing = |from: &Self, of: &Self| -> Vec<String> {
            of.parts.iter().filter(|part| !from.parts.contains(part)).map(|part| format!("`{part}`")).collect()
        };
        let (lost, gained) = (missing(self, earlier), missing(earlier, self));
        Some(match (lost.is_empty(), gained.is_empty()) {
            (true, true) => "has its parts in another order".to_owned(),
            (true, false) => format!("gains {}", gained.join(", ")),
            (false, true) => format!("loses {}", lost.join(", ")),
            (false, false) => format!("loses {}, and gains {}", lost.join(", "), gained.join(", ")),
        })
    }
}

fn since(stability: &Stability) -> Option<Version> {
    match stability {
        Stability::Stable { since, .. } => Some(since.clone()),
        Stability::Unstable { .. } | Stability::Unknown => None,
    }
}
