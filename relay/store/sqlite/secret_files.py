"""Secrets beside a SQLite database: a file each, that only the relay's own user can read.

Operators may read the database (0640, the relay's group); keys of tokens and signatures are therefore
never in it. The directory has mode 0700, the files 0600. A secret comes whole or not at all, also when the
power fails, and the first one of a name stays. Fails with OSError, and ValueError for a name that is no file's.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote


class Secrets:
    """The secrets in one directory, which is made with the first one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> dict[str, bytes]:
        """All, by name; none where there is no directory."""
        try:
            files = [file for file in self._folder.iterdir() if not file.name.startswith(".")]
        except FileNotFoundError:
            return {}
        found = {}
        for file in files:
            with suppress(FileNotFoundError):  # forgotten just now
                found[unquote(file.name)] = file.read_bytes()
        return found

    def keep(self, name: str, value: bytes) -> None:
        """Keep one, synced; where there is one of this name, that one stays."""
        file = self._file(name)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._folder / f".{secrets.token_hex(8)}"
        try:
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as out:
                out.write(value)
                out.flush()
                os.fsync(fd)
            with suppress(FileExistsError):
                os.link(fresh, file)
        finally:
            fresh.unlink(missing_ok=True)
        self._sync()

    def forget(self, name: str) -> None:
        """Let go of one."""
        with suppress(FileNotFoundError):
            self._file(name).unlink()
            self._sync()

    def _file(self, name: str) -> Path:
        if not name or name.startswith("."):
            raise ValueError(f"a secret cannot be named {name!r}")
        return self._folder / quote(name, safe="")

    def _sync(self) -> None:
        """A name is safe when its directory is."""
        for folder in (self._folder, self._folder.parent):
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
