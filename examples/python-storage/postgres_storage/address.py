"""Checks the address of the database before anything is sent to it."""

from __future__ import annotations

import os
from ipaddress import ip_address

import psycopg
from psycopg.conninfo import conninfo_to_dict


def check_address(address: str) -> None:
    """Refuses the address of a server in a network, unless the server must prove its name over TLS.

    Otherwise anybody in the network could read the password and what is stored, or pretend to be the server.
    """
    try:
        parts = conninfo_to_dict(address)
    except psycopg.ProgrammingError:
        # The text of the error may contain the password.
        raise ValueError("the address of the database is malformed") from None
    # This variable decides which server the driver reaches, also beside a host.
    number = parts.get("hostaddr") or os.environ.get("PGHOSTADDR")
    # Without a host, another variable could name one.
    hosts = [host for named in (parts.get("host"), number) for host in str(named or "").split(",") if host]
    is_local = hosts != [] and all(_is_on_this_machine(host) for host in hosts)
    if not is_local and parts.get("sslmode") != "verify-full":
        raise ValueError("the address does not name a database on this machine: append sslmode=verify-full")


def _is_on_this_machine(host: str) -> bool:
    """Whether the host is the folder of a Unix socket, or names this machine."""
    if host.startswith("/") or host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
