"""Listening addresses: who may have them, and who has them already.

The supervisor reserves every address before a worker starts, and keeps it: a port in use
is an error in words at the start, a port 0 is chosen once for all workers, and nobody can
take the port while a dead worker is being replaced. Each worker binds the same address
again (`bind`) and listens; the kernel spreads the connections (SO_REUSEPORT).
Fails with `CannotListen`, whose text names the address, the cause and the fix.
"""

import errno
import os
import re
import socket
from pathlib import Path

from relay.config import Endpoint

_LISTENING = "0A"  # the state in /proc/net/tcp


class CannotListen(Exception):
    """An address that we cannot have; the text says why, and what to do."""


def bind(endpoint: Endpoint) -> socket.socket:
    """A socket bound to `endpoint`, not listening, which shares its address with our other processes."""
    bound = _socket(endpoint)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((endpoint.host, endpoint.port))
    except OSError as error:
        bound.close()
        raise CannotListen(_in_words(endpoint, error)) from error
    bound.setblocking(False)
    return bound


def reserve(endpoint: Endpoint) -> tuple[socket.socket, Endpoint]:
    """Keep `endpoint` for us: the socket that holds it, and the endpoint with its port (chosen now if it was 0)."""
    # Without SO_REUSEPORT first: with it we would quietly share the port with another relay of the same user.
    with _socket(endpoint) as probe:
        try:
            probe.bind((endpoint.host, endpoint.port))
        except OSError as error:
            raise CannotListen(_in_words(endpoint, error)) from error
    held = bind(endpoint)
    return held, Endpoint(endpoint.host, held.getsockname()[1])


def _socket(endpoint: Endpoint) -> socket.socket:
    try:
        made = socket.socket(socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise CannotListen(_in_words(endpoint, error)) from error
    # Connections of an earlier process that still wait for their end (TIME_WAIT) do not keep us from the port.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if made.family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return made


def _in_words(endpoint: Endpoint, error: OSError) -> str:
    opening = f"cannot listen on {endpoint} —"
    match error.errno:
        case errno.EADDRINUSE:
            return f"{opening} already used by {_holder(endpoint.port)}. Fix: stop it, or listen on another port"
        case errno.EACCES | errno.EPERM:
            fix = "Fix: start it with systemd, or allow it CAP_NET_BIND_SERVICE"
            return f"{opening} ports below 1024 need a permission that we do not have. {fix}"
        case errno.EADDRNOTAVAIL:
            return f"{opening} this machine has no such address. Fix: use one of its own, or 0.0.0.0 for all"
        case errno.EAFNOSUPPORT:
            return f"{opening} this machine has no IPv6. Fix: use an IPv4 address"
        case _:
            return f"{opening} {error.strerror or error}"


def _holder(port: int) -> str:
    """Who listens on `port`, as far as we may know: `"master" (pid 611, postfix)`."""
    inodes = _inodes(port)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            held = {os.readlink(fd) for fd in (process / "fd").iterdir()}  # noqa: PTH115 – a link to no file
            if inodes & held:
                return f'"{(process / "comm").read_text().strip()}" (pid {process.name}{_unit(process)})'
        except OSError:  # it has gone, or belongs to another user
            continue
    return "another process"


def _inodes(port: int) -> set[str]:
    """The listening sockets on `port`, as links in /proc/PID/fd show them."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            columns = row.split()
            if columns[3] == _LISTENING and int(columns[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{columns[9]}]")
    return found


def _unit(process: Path) -> str:
    """The systemd service that a process belongs to, without instance and ending: `, postfix`."""
    service = re.search(r"/([^/@]+)(?:@[^/]*)?\.service", (process / "cgroup").read_text())
    return f", {service[1]}" if service else ""
