// Checks the address of the database before anything is sent to it.

import { isIPv4 } from 'node:net';
import pg from 'pg';

/**
 * Refuses the address of a server in a network, unless the server must prove its name over TLS. Otherwise anybody in the
 * network could read the password and what is stored, or pretend to be the server.
 */
export function checkAddress(address) {
  // The driver also reads the host from the query of the address and from the environment.
  const { host, ssl } = new pg.Client({ connectionString: address });
  if (isOnThisMachine(host)) return;
  // If the query has a name twice, the driver takes the last one.
  const mode = new URLSearchParams(address.split('?')[1]).getAll('sslmode').at(-1);
  if (mode !== 'verify-full' || !ssl) throw new Error('the database is not on this machine: append sslmode=verify-full');
}

/** Whether the host is the folder of a Unix socket, or names this machine. */
function isOnThisMachine(host) {
  const name = host.toLowerCase();
  return host.startsWith('/') || name === 'localhost' || name === '::1' || (isIPv4(name) && name.startsWith('127.'));
}
