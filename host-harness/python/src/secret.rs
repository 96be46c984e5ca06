//! A secret text, which must not reach a log.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::values::text_of;

const REDACTED: &str = "[redacted]";

/// A secret text. `str`, `repr` and `format` show `[redacted]`. Only `expose` returns the text. It can't be pickled.
#[pyclass(frozen, module = "tiktok_shop_connector")]
pub(crate) struct Secret(tiktok_shop_host::Secret);

impl Secret {
    pub(crate) fn text(&self) -> &str {
        self.0.expose()
    }
}

#[pymethods]
impl Secret {
    #[new]
    fn new(text: &Bound<'_, PyString>) -> PyResult<Self> {
        Ok(Self(text_of(text)?.into()))
    }

    /// Returns the text.
    fn expose(&self) -> &str {
        self.0.expose()
    }

    fn __str__(&self) -> &'static str {
        REDACTED
    }

    fn __repr__(&self) -> &'static str {
        "Secret('[redacted]')"
    }

    /// A width or another specification changes nothing.
    fn __format__(&self, _specification: &str) -> &'static str {
        REDACTED
    }

    /// The object never changes, so a copy is the same object.
    fn __copy__(this: Bound<'_, Self>) -> Bound<'_, Self> {
        this
    }

    fn __deepcopy__<'py>(this: Bound<'py, Self>, _memo: &Bound<'py, PyAny>) -> Bound<'py, Self> {
        this
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyTypeError::new_err(
            "a Secret can't be pickled, because the result would contain it: pickle something else",
        ))
    }
}
