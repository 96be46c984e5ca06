//! The settings with which a host uses a PostgreSQL server.

use std::time::Duration;

use tiktok_shop_private_file::Access;

/// The settings with which a host uses a PostgreSQL server. Every default time is shorter than the 10 seconds that the
/// host has for one save, so that the host can try a save again after the server has hung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostgresOptions {
    /// The highest number of connections of this host to the server. If the server's address contains `pool-size`, the
    /// number in the address is used instead. If the server refuses a connection because too many are open, the calls
    /// share the open connections. Default: 10.
    pub connections: u32,
    /// The longest time that a call waits for a connection, because no connection is free or because the server can't
    /// be reached. Default: 4 seconds.
    pub connect: Duration,
    /// How long the server may work on one statement, including the time that it waits for locks. The storage gives up
    /// a call that takes half a second longer than this time. Default: 4 seconds.
    pub statement: Duration,
    /// If a connection was idle for at least this time, the storage checks whether the server answers on it before it
    /// uses the connection. The check is a round trip. After a call has ended in the middle of a statement, the storage
    /// checks every idle connection once, however short it was idle. Default: 1 second.
    pub check_after_idle: Duration,
    /// Who may read the file that `sslkey` in the server's address names: the private key with which this host proves
    /// its identity over TLS. If the file belongs to root, its group may read it (mode 640 or 440). Default: only the
    /// owner.
    pub key_file_access: Access,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            connections: 10,
            connect: Duration::from_secs(4),
            statement: Duration::from_secs(4),
            check_after_idle: Duration::from_secs(1),
            key_file_access: Access::Owner,
        }
    }
}
