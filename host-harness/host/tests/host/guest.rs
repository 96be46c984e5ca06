//! Builds test guests. A guest is a dummy module of a WIT world. All its exports have the same body.

use std::path::Path;
use std::sync::Once;

use wasmparser::{ExternalKind, Parser, Payload, TypeRef};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

/// The body of every export of a guest.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Body {
    /// Traps.
    Trap,
    /// Grows a table forever.
    GrowTable,
    /// Asks for the tenant's apps, then traps.
    AskOnce,
    /// Asks for the tenant's apps forever.
    AskForever,
}

/// Sets a subscriber for the whole process. The subscriber accepts everything and writes nothing. When an event is
/// first logged, `tracing` caches whether the subscribers want it. Without a subscriber at that moment, the tests of
/// logs could miss the event.
fn subscribe() {
    static SUBSCRIBED: Once = Once::new();
    SUBSCRIBED.call_once(|| tracing::subscriber::set_global_default(tracing_subscriber::registry()).unwrap());
}

/// Builds a component for a world of the project's WIT package or of a package on which this package depends.
pub(crate) fn component(world: &str, body: Body) -> Vec<u8> {
    subscribe();
    let mut resolve = Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let (package, _) = resolve.push_dir(wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let dummy = dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
    let mut module = with_bodies(&dummy, body);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}

/// Copies a module section by section, and replaces the bodies of its functions.
fn with_bodies(module: &[u8], body: Body) -> Vec<u8> {
    let mut imports = Vec::new();
    let mut realloc = None;
    let mut initialize = None;
    let mut copy = module[..8].to_vec();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.unwrap();
        let section = payload.as_section();
        match payload {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.unwrap();
                    if let TypeRef::Func(_) = import.ty {
                        imports.push((import.module.to_owned(), import.name.to_owned()));
                    }
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export.unwrap();
                    match (export.kind, export.name) {
                        (ExternalKind::Func, "cabi_realloc") => realloc = Some(export.index as usize),
                        (ExternalKind::Func, "_initialize") => initialize = Some(export.index as usize),
                        _ => {}
                    }
                }
            }
            Payload::CodeSectionStart { count, .. } => {
                let credentials = imports.iter().position(|(module, name)| {
                    module.starts_with("tiktok-shop:connector/app-credentials") && name == "apps"
                });
                let mut code = leb(count as usize);
                for index in imports.len()..imports.len() + count as usize {
                    let instructions = match Some(index) {
                        index if index == realloc => ONE_PAGE_THEN_8.to_vec(),
                        index if index == initialize => Vec::new(),
                        _ => instructions(body, credentials),
                    };
                    code.extend(leb(instructions.len() + 2));
                    code.push(0); // no locals
                    code.extend(instructions);
                    code.push(END);
                }
                push_section(&mut copy, CODE_SECTION, &code);
                continue;
            }
            _ => {}
        }
        if let Some((id, range)) = section {
            push_section(&mut copy, id, &module[range]);
            if id == FUNCTION_SECTION && matches!(body, Body::GrowTable) {
                push_section(&mut copy, TABLE_SECTION, &[1, FUNCREF, 0, 0]);
            }
        }
    }
    copy
}

const FUNCTION_SECTION: u8 = 3;
const TABLE_SECTION: u8 = 4;
const CODE_SECTION: u8 = 10;

const FUNCREF: u8 = 0x70;
const UNREACHABLE: u8 = 0x00;
const LOOP: [u8; 2] = [0x03, 0x40];
const CONTINUE: [u8; 2] = [0x0c, 0x00];
const END: u8 = 0x0b;
const CALL: u8 = 0x10;
const DROP: u8 = 0x1a;
const MEMORY_GROW: [u8; 2] = [0x40, 0x00];
const I32_CONST: u8 = 0x41;
const REF_NULL_FUNC: [u8; 2] = [0xd0, FUNCREF];
const TABLE_GROW: [u8; 3] = [0xfc, 0x0f, 0x00];
/// The body of the allocator. It adds a page, because the memory is empty at first, and always returns the address 8.
const ONE_PAGE_THEN_8: [u8; 7] = [I32_CONST, 1, MEMORY_GROW[0], MEMORY_GROW[1], DROP, I32_CONST, 8];

fn instructions(body: Body, credentials: Option<usize>) -> Vec<u8> {
    let ask = || {
        let mut ask = vec![I32_CONST, 0, CALL];
        ask.extend(leb(credentials.unwrap()));
        ask
    };
    let grow = [&REF_NULL_FUNC, [I32_CONST, 16].as_slice(), &TABLE_GROW, &[DROP]].concat();
    match body {
        Body::Trap => vec![UNREACHABLE],
        Body::GrowTable => forever(&grow),
        Body::AskOnce => [ask(), vec![UNREACHABLE]].concat(),
        Body::AskForever => forever(&ask()),
    }
}

fn forever(step: &[u8]) -> Vec<u8> {
    [&LOOP, step, &CONTINUE, &[END, UNREACHABLE]].concat()
}

fn push_section(module: &mut Vec<u8>, id: u8, content: &[u8]) {
    module.push(id);
    module.extend(leb(content.len()));
    module.extend(content);
}

/// Encodes a number in unsigned LEB128.
fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
