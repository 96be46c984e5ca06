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
/// The object contains another type. The error names the type, and contains no value.
pub(crate) fn to_json(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    json_of(object, MAX_DEPTH)
}

fn json_of(object: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
    let Some(deeper) = depth.checked_sub(1) else {
        return Err(PyTypeError::new_err(format!("a value is more than {MAX_DEPTH} levels deep")));
    };
    if let Ok(text) = object.cast::<PyString>() {
        return Ok(Value::String(text_of(text)?));
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
        return number.map(Value::Number).ok_or_else(|| PyTypeError::new_err("a number is not finite"));
    }
    if let Ok(secret) = object.cast::<Secret>() {
        return Ok(Value::String(secret.get().text().to_owned()));
    }
    if let Ok(members) = object.cast::<PyDict>() {
        let mut json = Map::new();
        for (name, member) in members {
            let Ok(name) = name.cast::<PyString>() else {
                return Err(PyTypeError::new_err("the names of a dict must be str"));
            };
            json.insert(text_of(name)?, json_of(&member, deeper)?);
        }
        return Ok(Value::Object(json));
    }
    if object.cast::<PyList>().is_ok() || object.cast::<PyTuple>().is_ok() {
        let items = object.try_iter()?.map(|item| json_of(&item?, deeper));
        return Ok(Value::Array(items.collect::<PyResult<_>>()?));
    }
    let name = object.get_type().name()?;
    Err(PyTypeError::new_err(format!("a value of the type {name} is not expected here")))
}

/// Returns a text of Python.
///
/// # Errors
/// The text contains a lone surrogate. Python's own error would contain the whole text.
pub(crate) fn text_of(text: &Bound<'_, PyString>) -> PyResult<String> {
    let malformed = |_| PyValueError::new_err("a text contains a lone surrogate, so it is not UTF-8: correct the text");
    text.to_str().map(ToOwned::to_owned).map_err(malformed)
}

fn whole_number(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    if let Ok(number) = object.extract::<u64>() {
        return Ok(number.into());
    }
    let too_large = |_| PyTypeError::new_err("a number has more than 64 bits");
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
