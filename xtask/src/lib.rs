//! Tasks of the workspace, as a library: builds the component and checks what it imports.
//!
//! The binary (`cargo xtask`) shows the work; tests call [`component`] and so never meet a stale artifact:
//!
//! ```no_run
//! let bytes = std::fs::read(xtask::component()?)?;
//! let imports = xtask::check_imports(&bytes)?;
//! assert!(imports.iter().all(|import| !import.name.starts_with("wasi:cli/")));
//! # Ok::<(), anyhow::Error>(())
//! ```
//!
//! It never links wasmtime: whoever only wants the component does not wait for a compiler to be compiled.

mod cargo;
mod component;
pub mod fault_matrix;
mod postgres;
mod prune;
mod toolchain;
mod wasm_target;
mod world;

pub use cargo::{
    BuildEvent, build, build_executable, cargo, executable_package_count, program, target_directory, workspace_root,
};
pub use component::{Component, build_component, component, component_package_count, hostile_guest};
pub use postgres::{Restart, test_postgres, test_postgres_restart};
pub use wasm_target::Origin;
pub use world::{Checked, Extern, check, check_imports, error_cases, plugin_imports};
