"""Listening addresses: who may have them, and who has them already.

The supervisor opens every address before a worker starts, and keeps it (`Doors`): a port in
use is an error in words at the start, a port 0 is chosen once for all workers, and nobody
can take the port while a worker is being replaced. An address has one socket for each
place among the workers, and the kernel spreads the connections among these (SO_REUSEPORT).
The process that fills a place inherits the place's sockets, and so does its successor:
whoever knocks while the one goes and the other comes is let in by the other. Were each
worker to have a socket of its own, those who knock while it closes would be cut off.
Fails with `CannotListen`, whose text names the address, the cause and the fix.
"""

import errno
import os
import re
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from relay.config import Endpoint

_LISTENING = "0A"  # the state in /proc/net/tcp


class CannotListen(Exception):
    """An address that we cannot have; the text says why, and what to do."""


class Door:
    """One address, under its real port, with a bound socket for each place; it listens when a worker says so."""

    def __init__(self, wanted: Endpoint, *, alone: bool) -> None:
        self.wanted = wanted
        if alone:
            # Without SO_REUSEPORT first: with it we would quietly share the port with another relay of the same user.
            _bound(wanted, shared=False).close()
        self.sockets = [_bound(wanted, shared=True)]
        self.real = Endpoint(wanted.host, self.sockets[0].getsockname()[1])

    def widen(self, places: int) -> None:
        """As many sockets as places."""
        while len(self.sockets) < places:
            self.sockets.append(_bound(self.real, shared=True))

    def narrow(self, places: int) -> None:
        """No more sockets than places."""
        while len(self.sockets) > places:
            self.sockets.pop().close()

    def renew(self, place: int) -> None:
        """A fresh socket for a place that stays empty for a while: new clients go to the other places."""
        old, self.sockets[place] = self.sockets[place], _bound(self.real, shared=True)
        old.close()


class Doors:
    """Every address we listen on."""

    def __init__(self) -> None:
        self._doors: list[Door] = []

    def open(self, wanted: Sequence[Endpoint], places: int) -> list[Endpoint]:
        """Have these addresses besides those we have; the same with real ports. Raises `CannotListen`, and then
        has no more than before."""
        ours, found, fresh = list(self._doors), [], []
        try:
            for endpoint in wanted:
                door = next((door for door in ours if endpoint in (door.wanted, door.real)), None)
                if door:
                    ours.remove(door)
                else:
                    door = Door(endpoint, alone=not any(door.real.port == endpoint.port for door in self._doors))
                    fresh.append(door)
                found.append(door)
                door.widen(places)
        except CannotListen:
            for door in fresh:
                door.narrow(0)
            raise
        self._doors += fresh
        return [door.real for door in found]

    def keep(self, real: Sequence[Endpoint], places: int) -> None:
        """Have no others than these."""
        for door in self._doors:
            door.narrow(places if door.real in real else 0)
        self._doors = [door for door in self._doors if door.real in real]

    def enter(self, place: int, real: Sequence[Endpoint]) -> Mapping[Endpoint, socket.socket]:
        """In the process that fills `place`: its sockets for `real`. All others are closed, or they would live on."""
        for door in self._doors:
            for index, each in enumerate(door.sockets):
                if index != place or door.real not in real:
                    each.close()
        return {door.real: door.sockets[place] for door in self._doors if door.real in real}

    def renew(self, place: int) -> None:
        """See `Door.renew`."""
        for door in self._doors:
            door.renew(place)

    def close(self) -> None:
        """Let go of all."""
        self.keep((), 0)


def _bound(endpoint: Endpoint, *, shared: bool) -> socket.socket:
    """A socket bound to `endpoint`, not listening; `shared` with our other sockets."""
    bound = _socket(endpoint)
    try:
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((endpoint.host, endpoint.port))
    except OSError as error:
        bound.close()
        raise CannotListen(_in_words(endpoint, error)) from error
    bound.setblocking(False)
    return bound


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
