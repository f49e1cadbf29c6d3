//! Reads any Python value that stands for JSON, through its own methods, and says what is wrong with it.
//!
//! Every reference is owned and every container is copied before its parts are read, because reading a part may run
//! Python code, which may change or free anything.

use std::cell::Cell;

use hotloop_core::canon::{
    CanonError, MAX_DEPTH, Step, TooLong, Writer, exact_integer, utf16_order,
};
use pyo3::exceptions::{PyException, PyUnicodeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType};

use crate::error::raise;

/// Most members and items that the methods of one value may hand out: a bound for those that never end.
const MAX_FOREIGN: usize = 1 << 22;

/// Why a value could not be read.
pub(crate) enum Failure {
    /// It has no canonical form; perhaps because one of its methods raised.
    Canon(CanonError, Option<PyErr>),
    /// `KeyboardInterrupt` and the like pass through.
    Raised(PyErr),
}

type Result<T = ()> = std::result::Result<T, Failure>;

impl Failure {
    fn new(reason: impl Into<String>) -> Self {
        Self::Canon(CanonError::new(reason), None)
    }

    pub(crate) fn within(self, step: impl FnOnce() -> Step) -> Self {
        match self {
            Self::Canon(error, cause) => Self::Canon(error.within(step()), cause),
            raised @ Self::Raised(_) => raised,
        }
    }
}

impl From<TooLong> for Failure {
    fn from(error: TooLong) -> Self {
        Self::Canon(error.into(), None)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Canon(error, cause) => raise(&error, cause),
            Failure::Raised(error) => error,
        }
    }
}

thread_local! {
    /// How many levels this thread is inside of, through all calls that a value's methods make in turn.
    static LEVELS: Cell<usize> = const { Cell::new(0) };
}

/// One level of nesting, left when dropped.
struct Level;

impl Level {
    fn enter() -> Result<Self> {
        let levels = LEVELS.get();
        if levels >= MAX_DEPTH {
            return Err(Failure::Canon(CanonError::too_deep(), None));
        }
        LEVELS.set(levels + 1);
        Ok(Self)
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        LEVELS.set(LEVELS.get().saturating_sub(1));
    }
}

/// Writes a value.
pub(crate) fn write(value: &Bound<'_, PyAny>, writer: &mut Writer) -> Result {
    Reader { writer, foreign: 0 }.value(value)?;
    Ok(writer.finish()?)
}

/// The members of an object.
pub(crate) type Members<'py> = Vec<(Bound<'py, PyString>, Bound<'py, PyAny>)>;

/// The members of a mapping or dataclass; None for any other value.
pub(crate) fn members<'py>(value: &Bound<'py, PyAny>) -> Result<Option<Members<'py>>> {
    let mut foreign = 0;
    read_members(value, &mut foreign)
}

/// The items of a list or tuple; None for any other value.
pub(crate) fn items<'py>(value: &Bound<'py, PyAny>) -> Result<Option<Vec<Bound<'py, PyAny>>>> {
    let mut foreign = 0;
    read_items(value, &mut foreign)
}

/// Writes an object of these members.
pub(crate) fn write_members(members: &Members<'_>, writer: &mut Writer) -> Result {
    let _level = Level::enter()?;
    Reader { writer, foreign: 0 }.object(members)?;
    Ok(writer.finish()?)
}

struct Reader<'w> {
    writer: &'w mut Writer,
    foreign: usize,
}

impl Reader<'_> {
    fn value(&mut self, value: &Bound<'_, PyAny>) -> Result {
        if value.is_none() {
            return Ok(self.writer.raw(b"null")?);
        }
        if let Ok(flag) = value.cast::<PyBool>() {
            return Ok(self
                .writer
                .raw(if flag.is_true() { b"true" } else { b"false" })?);
        }
        if let Ok(text) = value.cast::<PyString>() {
            return Ok(self.writer.string(utf8(text)?)?);
        }
        if let Ok(integer) = value.cast::<PyInt>() {
            return self.integer(integer);
        }
        if let Ok(number) = value.cast::<PyFloat>() {
            let number = number.value();
            if !number.is_finite() {
                return Err(Failure::new(format!("{number} is not a JSON number")));
            }
            return Ok(self.writer.number(number)?);
        }
        let _level = Level::enter()?;
        if let Some(items) = read_items(value, &mut self.foreign)? {
            return self.array(&items);
        }
        match read_members(value, &mut self.foreign)? {
            Some(members) => self.object(&members),
            None => Err(Failure::new(format!(
                "a value of type {} is not JSON",
                type_name(value)
            ))),
        }
    }

    fn integer(&mut self, integer: &Bound<'_, PyInt>) -> Result {
        let refused = || Failure::new("an integer that no IEEE 754 double holds exactly");
        let own = |error| own_failure(error, "reading the integer");
        // The exact int of its value: the methods of a subclass are not asked.
        let int = integer.py().get_type::<PyInt>();
        let plain = int.call_method1("__pos__", (integer,)).map_err(own)?;
        if let Ok(value) = plain.extract::<i64>() {
            exact_integer(value).ok_or_else(refused)?;
            return Ok(self.writer.integer(value)?);
        }
        let number: f64 = plain.extract().map_err(|_| refused())?;
        let back = int.call1((number,)).map_err(own)?;
        if !back.eq(&plain).map_err(own)? {
            return Err(refused());
        }
        Ok(self.writer.number(number)?)
    }

    fn array(&mut self, items: &[Bound<'_, PyAny>]) -> Result {
        self.writer.byte(b'[')?;
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.writer.byte(b',')?;
            }
            self.value(item)
                .map_err(|failure| failure.within(|| Step::Index(i)))?;
        }
        Ok(self.writer.byte(b']')?)
    }

    fn object(&mut self, members: &Members<'_>) -> Result {
        let mut named = Vec::with_capacity(members.len());
        for (name, value) in members {
            named.push((utf8(name)?, value));
        }
        named.sort_by(|a, b| utf16_order(a.0, b.0));
        if let Some(name) = named.windows(2).find_map(|pair| match pair {
            [a, b] if a.0 == b.0 => Some(a.0),
            _ => None,
        }) {
            return Err(Failure::Canon(CanonError::duplicate(name), None));
        }
        self.writer.byte(b'{')?;
        for (i, (name, value)) in named.into_iter().enumerate() {
            if i > 0 {
                self.writer.byte(b',')?;
            }
            self.writer.name(name)?;
            self.value(value)
                .map_err(|failure| failure.within(|| Step::Name(name.to_owned())))?;
        }
        Ok(self.writer.byte(b'}')?)
    }
}

fn utf8<'a>(text: &'a Bound<'_, PyString>) -> Result<&'a str> {
    text.to_str().map_err(|error| {
        if error.is_instance_of::<PyUnicodeError>(text.py()) {
            Failure::new("a string with a lone surrogate")
        } else {
            own_failure(error, "reading the string")
        }
    })
}

/// The name of a value's type, which a hostile metaclass could make anything or nothing.
fn type_name(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(
        |_| "?".to_owned(),
        |name| name.to_string_lossy().chars().take(80).collect(),
    )
}

/// An exception of the value's own code becomes the cause of the error; one that is not its business passes.
fn own_failure(error: PyErr, doing: &str) -> Failure {
    Python::attach(|py| {
        if !error.is_instance_of::<PyException>(py) {
            return Failure::Raised(error);
        }
        let kind = error.get_type(py).name().map_or_else(
            |_| "?".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        );
        Failure::Canon(
            CanonError::new(format!("{doing} raised {kind}")),
            Some(error),
        )
    })
}

/// Collects what an iterator of the value's own making gives, within bounds.
fn collect<'py>(
    of: &Bound<'py, PyAny>,
    foreign: &mut usize,
    doing: &str,
) -> Result<Vec<Bound<'py, PyAny>>> {
    let mut found = Vec::new();
    for item in of.try_iter().map_err(|error| own_failure(error, doing))? {
        found.push(item.map_err(|error| own_failure(error, doing))?);
        *foreign += 1;
        if *foreign > MAX_FOREIGN {
            return Err(Failure::new(format!(
                "{doing} gave more than {MAX_FOREIGN} parts"
            )));
        }
    }
    Ok(found)
}

fn read_items<'py>(
    value: &Bound<'py, PyAny>,
    foreign: &mut usize,
) -> Result<Option<Vec<Bound<'py, PyAny>>>> {
    if let Ok(list) = value.cast_exact::<PyList>() {
        return Ok(Some(list.to_tuple().iter().collect()));
    }
    if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        return Ok(Some(tuple.iter().collect()));
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        return collect(value, foreign, "iterating over it").map(Some);
    }
    Ok(None)
}

fn read_members<'py>(
    value: &Bound<'py, PyAny>,
    foreign: &mut usize,
) -> Result<Option<Members<'py>>> {
    const ITEMS: &str = "reading its items()";
    let pairs = if let Ok(dict) = value.cast_exact::<PyDict>() {
        dict.items().iter().collect()
    } else if is_mapping(value)? {
        let items = value
            .call_method0("items")
            .map_err(|error| own_failure(error, ITEMS))?;
        collect(&items, foreign, ITEMS)?
    } else {
        return dataclass_members(value);
    };
    let mut members = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let Ok((name, value)) = pair.extract::<(Bound<'py, PyAny>, Bound<'py, PyAny>)>() else {
            return Err(Failure::new("its items() are not pairs"));
        };
        match name.cast_into::<PyString>() {
            Ok(name) => members.push((name, value)),
            Err(other) => {
                let kind = type_name(&other.into_inner());
                return Err(Failure::new(format!(
                    "the name of a member is of type {kind}, not a string"
                )));
            }
        }
    }
    Ok(Some(members))
}

fn is_mapping(value: &Bound<'_, PyAny>) -> Result<bool> {
    static MAPPING: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    if value.is_instance_of::<PyDict>() {
        return Ok(true);
    }
    MAPPING
        .import(value.py(), "collections.abc", "Mapping")
        .and_then(|mapping| value.is_instance(mapping))
        .map_err(|error| own_failure(error, "asking for its type"))
}

fn dataclass_members<'py>(value: &Bound<'py, PyAny>) -> Result<Option<Members<'py>>> {
    let py = value.py();
    let own = |error| own_failure(error, "reading its fields");
    if !value
        .get_type()
        .hasattr("__dataclass_fields__")
        .map_err(own)?
    {
        return Ok(None);
    }
    let fields = py
        .import("dataclasses")
        .and_then(|module| module.call_method1("fields", (value,)))
        .map_err(own)?;
    let mut members = Members::new();
    for field in fields.try_iter().map_err(own)? {
        let name = field.and_then(|field| field.getattr("name")).map_err(own)?;
        let name = name
            .cast_into::<PyString>()
            .map_err(|error| own(error.into()))?;
        let value = value.getattr(&name).map_err(own)?;
        members.push((name, value));
    }
    Ok(Some(members))
}
