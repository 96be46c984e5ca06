//! Converts values between Python and the JSON values of the bindings.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use serde_json::{Map, Number, Value};

use crate::secret::Secret;

/// The maximum depth of a value. No argument is that deep, and a list that contains itself is deeper.
const MAX_DEPTH: usize = 32;

/// Returns an object of Python as JSON. A secret becomes its text.
///
/// # Errors
/// The object contains another type. The error names the member and its type, and contains no value.
pub(crate) fn to_json(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    let mut path = Path::default();
    json_of(object, MAX_DEPTH, &mut path).map_err(|unfit| match unfit {
        Unfit::Type(text) => PyTypeError::new_err(path.before(&text)),
        Unfit::Text => PyValueError::new_err(path.before(LONE_SURROGATE)),
        Unfit::Raised(error) => error,
    })
}

/// Why a value has no JSON.
enum Unfit {
    /// It has a type that is not expected.
    Type(String),
    /// It is a text that contains a lone surrogate.
    Text,
    /// Python raised this exception.
    Raised(PyErr),
}

impl From<PyErr> for Unfit {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

/// The members that lead to a value. After an error, it still leads to the value that caused the error.
#[derive(Default)]
struct Path(Vec<Member>);

enum Member {
    Name(String),
    Index(usize),
}

impl Path {
    /// Returns the text with the path before it, for example `keys.file: …` or `shops[0]: …`.
    fn before(&self, text: &str) -> String {
        let mut path = String::new();
        for member in &self.0 {
            match member {
                Member::Name(name) if path.is_empty() => path.push_str(name),
                Member::Name(name) => path.extend([".", name.as_str()]),
                Member::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        if path.is_empty() { text.to_owned() } else { format!("{path}: {text}") }
    }
}

fn json_of(object: &Bound<'_, PyAny>, depth: usize, path: &mut Path) -> Result<Value, Unfit> {
    let Some(deeper) = depth.checked_sub(1) else {
        // The path has as many members, so it would be no help.
        path.0.truncate(1);
        return Err(Unfit::Type(format!("a value is more than {MAX_DEPTH} levels deep")));
    };
    if let Ok(text) = object.cast::<PyString>() {
        return Ok(Value::String(utf8_of(text)?));
    }
    if object.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(value) = object.cast::<PyBool>() {
        return Ok(Value::Bool(value.is_true()));
    }
    if object.cast::<PyInt>().is_ok() {
        return whole_number(object);
    }
    if let Ok(value) = object.cast::<PyFloat>() {
        let number = Number::from_f64(value.value());
        return number.map(Value::Number).ok_or_else(|| Unfit::Type("a number is not finite".to_owned()));
    }
    if let Ok(secret) = object.cast::<Secret>() {
        return Ok(Value::String(secret.get().text().to_owned()));
    }
    if let Ok(members) = object.cast::<PyDict>() {
        let mut json = Map::new();
        for (name, member) in members {
            let Ok(name) = name.cast::<PyString>() else {
                return Err(Unfit::Type("the names of a dict must be str".to_owned()));
            };
            let name = utf8_of(name)?;
            path.0.push(Member::Name(name.clone()));
            json.insert(name, json_of(&member, deeper, path)?);
            path.0.pop();
        }
        return Ok(Value::Object(json));
    }
    if object.cast::<PyList>().is_ok() || object.cast::<PyTuple>().is_ok() {
        let mut items = Vec::new();
        for (index, item) in object.try_iter()?.enumerate() {
            path.0.push(Member::Index(index));
            items.push(json_of(&item?, deeper, path)?);
            path.0.pop();
        }
        return Ok(Value::Array(items));
    }
    let name = object.get_type().name()?;
    Err(Unfit::Type(format!("a value of the type {name} is not expected here")))
}

const LONE_SURROGATE: &str = "a text contains a lone surrogate, so it is not UTF-8: correct the text";

/// Returns a text of Python.
///
/// # Errors
/// The text contains a lone surrogate.
pub(crate) fn text_of(text: &Bound<'_, PyString>) -> PyResult<String> {
    utf8_of(text).map_err(|_| PyValueError::new_err(LONE_SURROGATE))
}

fn utf8_of(text: &Bound<'_, PyString>) -> Result<String, Unfit> {
    // Python's own error would contain the whole text.
    text.to_str().map(ToOwned::to_owned).map_err(|_| Unfit::Text)
}

fn whole_number(object: &Bound<'_, PyAny>) -> Result<Value, Unfit> {
    if let Ok(number) = object.extract::<u64>() {
        return Ok(number.into());
    }
    let too_large = |_| Unfit::Type("a number has more than 64 bits".to_owned());
    object.extract::<i64>().map(Value::from).map_err(too_large)
}

/// Returns a JSON value as an object of Python.
pub(crate) fn from_json<'py>(py: Python<'py>, value: Value) -> PyResult<Bound<'py, PyAny>> {
    let object = match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(value) => PyBool::new(py, value).to_owned().into_any(),
        Value::Number(number) => match number.as_u64() {
            Some(number) => number.into_pyobject(py)?.into_any(),
            None => match number.as_i64() {
                Some(number) => number.into_pyobject(py)?.into_any(),
                None => PyFloat::new(py, number.as_f64().unwrap_or(f64::NAN)).into_any(),
            },
        },
        Value::String(text) => PyString::new(py, &text).into_any(),
        Value::Array(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(from_json(py, item)?)?;
            }
            list.into_any()
        }
        Value::Object(members) => {
            let dict = PyDict::new(py);
            for (name, member) in members {
                // The same names come again and again, so Python keeps one object for each.
                dict.set_item(PyString::intern(py, &name), from_json(py, member)?)?;
            }
            dict.into_any()
        }
    };
    Ok(object)
}
