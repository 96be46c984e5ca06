//! The library behind `cargo xtask`: builds the component and checks what it imports.
//!
//! The program `cargo xtask` shows the progress of its tasks. Tests call [`component`], so they never run an old
//! component:
//!
//! ```no_run
//! let bytes = std::fs::read(xtask::component()?)?;
//! let imports = xtask::check_imports(&bytes)?;
//! assert!(imports.iter().all(|import| !import.name.starts_with("wasi:cli/")));
//! # Ok::<(), anyhow::Error>(())
//! ```
//!
//! Neither the library nor the program links wasmtime, so building the component does not require compiling wasmtime.

mod cargo;
mod compatibility;
mod component;
mod contract;
mod kept_release;
mod process;
mod prune;
mod toolchain;
mod wasm_target;
mod world;

pub use cargo::{
    BuildEvent, Optimisation, build, build_executable, cargo, executable_package_count, program_that_runs_cargo,
    target_directory,
};
pub use compatibility::Comparison;
pub use component::{Component, build_component, component, component_package_count, hostile_guest};
pub use kept_release::{KeptRelease, compare_with_kept_releases, keep_release, kept_releases};
pub use process::{program, workspace_root};
pub use wasm_target::Origin;
pub use world::{Checked, Extern, check, check_imports, error_cases, plugin_imports};
