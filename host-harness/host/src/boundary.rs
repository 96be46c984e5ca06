//! Describes a step over the boundary between guest and host, for crash tests. See
//! [`ConnectorHostBuilder::on_boundary`](crate::ConnectorHostBuilder::on_boundary).

/// A step over the boundary between guest and host during a call: either the guest calls a host function, or a host
/// function returns to the guest. Most host functions are imports, including the imports of WASI. The other host
/// functions serve the guest's memory or its handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoundaryEvent {
    /// The number of the step within the call, counted from 1. The steps of the instantiation also count. If the same
    /// call is repeated under the same circumstances, the steps get the same numbers.
    pub number: u32,
    /// The direction of the step.
    pub direction: Direction,
}

/// The direction of a [`BoundaryEvent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The guest calls a host function. The host function has not run yet.
    ToHost,
    /// The host function has run. The guest has not received its result yet.
    ToGuest,
}
