//! The values of the component model as JSON. The README of this package lists the forms.
//!
//! A transcript must be the same in every host, byte for byte. So its text is made from the types of the component,
//! which have an order of their members.

use serde_json::Value;
use wasmtime::AsContextMut;
use wasmtime::component::types::Type;
use wasmtime::component::{ResourceDynamic, Val};
use wasmtime::error::Context as _;
use wasmtime::{Result, bail};

/// All resources of the simulated host have this type. The component gets them only from this host, and only the
/// types of the imported functions keep them apart.
pub(crate) const RESOURCE: u32 = 0;

/// Appends a value to a text.
pub(crate) fn write(text: &mut String, ty: &Type, value: &Val) {
    match (ty, value) {
        (Type::List(list), Val::List(_)) if list.ty() == Type::U8 => write_bytes(text, &bytes(value)),
        (Type::List(list), Val::List(items)) => {
            let element = list.ty();
            write_all(text, ['[', ']'], items, |text, item| write(text, &element, item));
        }
        (Type::Tuple(tuple), Val::Tuple(items)) => {
            write_all(text, ['[', ']'], tuple.types().zip(items), |text, (ty, item)| write(text, &ty, item));
        }
        (Type::Record(record), Val::Record(fields)) => {
            write_all(text, ['{', '}'], record.fields().zip(fields), |text, (field, (_, value))| {
                write_text(text, field.name);
                text.push(':');
                write(text, &field.ty, value);
            });
        }
        (Type::Variant(variant), Val::Variant(name, payload)) => {
            text.push_str("{\"case\":");
            write_text(text, name);
            let ty = variant.cases().find(|case| case.name == name).and_then(|case| case.ty);
            if let (Some(ty), Some(payload)) = (ty, payload) {
                text.push_str(",\"value\":");
                write(text, &ty, payload);
            }
            text.push('}');
        }
        (Type::Option(option), Val::Option(Some(value))) => write(text, &option.ty(), value),
        (Type::Result(result), Val::Result(outcome)) => {
            let (name, ty, payload) = match outcome {
                Ok(payload) => ("{\"ok\":", result.ok(), payload),
                Err(payload) => ("{\"err\":", result.err(), payload),
            };
            text.push_str(name);
            match (ty, payload) {
                (Some(ty), Some(payload)) => write(text, &ty, payload),
                _ => text.push_str("null"),
            }
            text.push('}');
        }
        (_, Val::Option(None)) => text.push_str("null"),
        (_, Val::String(value) | Val::Enum(value)) => write_text(text, value),
        (_, Val::Bool(value)) => text.push_str(&value.to_string()),
        (_, Val::U8(value)) => text.push_str(&value.to_string()),
        (_, Val::U16(value)) => text.push_str(&value.to_string()),
        (_, Val::U32(value)) => text.push_str(&value.to_string()),
        (_, Val::U64(value)) => write_text(text, &value.to_string()),
        (_, Val::S64(value)) => write_text(text, &value.to_string()),
        (ty, value) => panic!("a transcript has no form for {value:?} ({ty:?})"),
    }
}

/// Appends a text as a JSON string.
pub(crate) fn write_text(text: &mut String, value: &str) {
    text.push_str(&Value::from(value).to_string());
}

/// Appends bytes. All bytes of the histories are text.
pub(crate) fn write_bytes(text: &mut String, bytes: &[u8]) {
    text.push_str("{\"text\":");
    write_text(text, str::from_utf8(bytes).unwrap());
    text.push('}');
}

/// Appends items between brackets, with commas.
pub(crate) fn write_all<T>(
    text: &mut String,
    [open, close]: [char; 2],
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) {
    text.push(open);
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        write(text, item);
    }
    text.push(close);
}

/// Reads a value of this type. A resource is the number of an object of the simulated host.
pub(crate) fn read(store: &mut impl AsContextMut, ty: &Type, json: &Value) -> Result<Val> {
    let wrong = || format!("{json} is no {ty:?}");
    let text = || json.as_str().with_context(wrong);
    Ok(match ty {
        Type::Bool => Val::Bool(json.as_bool().with_context(wrong)?),
        Type::U8 => Val::U8(u8::try_from(json.as_u64().with_context(wrong)?)?),
        Type::U16 => Val::U16(u16::try_from(json.as_u64().with_context(wrong)?)?),
        Type::U32 => Val::U32(u32::try_from(json.as_u64().with_context(wrong)?)?),
        Type::U64 => Val::U64(text()?.parse()?),
        Type::S64 => Val::S64(text()?.parse()?),
        Type::String => Val::String(text()?.to_owned()),
        Type::Enum(_) => Val::Enum(text()?.to_owned()),
        Type::List(list) if list.ty() == Type::U8 => {
            let bytes = json["text"].as_str().with_context(wrong)?.bytes();
            Val::List(bytes.map(Val::U8).collect())
        }
        Type::List(list) => {
            let (element, items) = (list.ty(), json.as_array().with_context(wrong)?);
            Val::List(items.iter().map(|item| read(store, &element, item)).collect::<Result<_>>()?)
        }
        Type::Tuple(tuple) => {
            let items = json.as_array().with_context(wrong)?;
            Val::Tuple(tuple.types().zip(items).map(|(ty, item)| read(store, &ty, item)).collect::<Result<_>>()?)
        }
        Type::Record(record) => {
            let field = |field: wasmtime::component::types::Field<'_>| {
                Ok((field.name.to_owned(), read(store, &field.ty, &json[field.name])?))
            };
            Val::Record(record.fields().map(field).collect::<Result<_>>()?)
        }
        Type::Variant(variant) => {
            let name = json["case"].as_str().with_context(wrong)?;
            let case = variant.cases().find(|case| case.name == name).with_context(wrong)?;
            let payload = case.ty.map(|ty| read(store, &ty, &json["value"]).map(Box::new)).transpose()?;
            Val::Variant(name.to_owned(), payload)
        }
        Type::Option(_) if json.is_null() => Val::Option(None),
        Type::Option(option) => Val::Option(Some(Box::new(read(store, &option.ty(), json)?))),
        Type::Result(result) => {
            let mut payload = |ty: Option<Type>, json| ty.map(|ty| read(store, &ty, json).map(Box::new)).transpose();
            match (json.get("ok"), json.get("err")) {
                (Some(json), None) => Val::Result(Ok(payload(result.ok(), json)?)),
                (None, Some(json)) => Val::Result(Err(payload(result.err(), json)?)),
                _ => bail!(wrong()),
            }
        }
        Type::Own(_) => {
            let resource = ResourceDynamic::new_own(u32::try_from(json.as_u64().with_context(wrong)?)?, RESOURCE);
            Val::Resource(resource.try_into_resource_any(store)?)
        }
        _ => bail!(wrong()),
    })
}

/// Returns the text of a string, or the name of an enum's case.
pub(crate) fn text(value: &Val) -> &str {
    match value {
        Val::String(text) | Val::Enum(text) => text,
        other => panic!("{other:?} is no text"),
    }
}

/// Returns a list of bytes.
pub(crate) fn bytes(value: &Val) -> Vec<u8> {
    let Val::List(items) = value else { panic!("{value:?} is no list") };
    let byte = |item: &Val| match item {
        Val::U8(byte) => *byte,
        other => panic!("{other:?} is no byte"),
    };
    items.iter().map(byte).collect()
}

/// Returns the value of an option.
pub(crate) fn option(value: &Val) -> Option<&Val> {
    match value {
        Val::Option(value) => value.as_deref(),
        other => panic!("{other:?} is no option"),
    }
}

/// Returns a field of a record.
pub(crate) fn field<'a>(record: &'a Val, name: &str) -> &'a Val {
    let Val::Record(fields) = record else { panic!("{record:?} is no record") };
    fields.iter().find(|(field, _)| field == name).map(|(_, value)| value).unwrap()
}
