//! The native module `hotloop._core`: registers and converts, nothing else.

mod cache;
mod canon;
mod direct;
mod error;
mod fetch;
mod gil;
mod histogram;
mod key;
mod nest;
mod number;
#[cfg(target_os = "linux")]
mod pages;
mod pool;
#[cfg(unix)]
mod search;
mod sse;
mod track;
mod value;

use pyo3::prelude::*;

#[cfg(target_os = "linux")]
#[global_allocator]
static MEMORY: pages::Pages = pages::Pages;

/// The compiled parts of hotloop. None needs the GIL: see `docs/free_threading.md`.
#[pymodule(gil_used = false)]
mod _core {
    use super::{PyModule, PyModuleMethods as _, PyResult};
    use pyo3::{Bound, PyErr, exceptions::PyRuntimeWarning};

    #[pymodule_export]
    use crate::cache::{CacheStats, HotCache, ManualClock};
    #[pymodule_export]
    use crate::canon::{canonical_json, canonicalize};
    #[pymodule_export]
    use crate::histogram::Histogram;
    #[pymodule_export]
    use crate::key::{KeyChain, cache_key, request_key};
    #[pymodule_export]
    use crate::pool::{Buffer, BufferPool, PoolStats};
    #[cfg(unix)]
    #[pymodule_export]
    use crate::search::{Folder, Found};
    #[pymodule_export]
    use crate::sse::SSEReader;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::direct::install(module.py())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        let profile = if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        };
        module.add("build_profile", profile)?;
        if cfg!(debug_assertions) {
            let category = module.py().get_type::<PyRuntimeWarning>();
            let text = c"hotloop._core is a debug build and many times slower than a release build; install it with `make` or `maturin develop --release`";
            PyErr::warn(module.py(), &category, text, 1)?;
        }
        Ok(())
    }
}
