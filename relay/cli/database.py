"""The way from a command line to the configuration and the database.

Commands work on the database itself, whether the relay runs or not. As root they work as the
owner of the data directory, so that no file appears there that the relay cannot write. Fails
with `Failure` in words that say what to type: no configuration, no database yet, not readable.
"""

import argparse
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from relay.cli.failures import Failure, Usage

if TYPE_CHECKING:
    from relay.config import Config
    from relay.config_file import LoadedConfig
    from relay.store import Store


MAGIC = b"SQLite format 3\0"
ALIVE = 10.0  # seconds; a worker signs more often than that


def configuration(args: argparse.Namespace) -> "Config":
    """The configuration that the general options choose. Raises `Failure` with every error that is in it."""
    from relay.config_file import ConfigError

    try:
        return loaded(args).config
    except ConfigError as error:
        raise Failure(str(error), config_hint(error.path)) from None


def loaded(args: argparse.Namespace) -> "LoadedConfig":
    """The same with what is doubtful about it. Raises `ConfigError`, or `Usage`."""
    from dataclasses import replace

    from relay.config_file import LoadedConfig, find_config, load, sandbox_config

    sandbox, data_dir = getattr(args, "sandbox", False), getattr(args, "data_dir", None)
    if sandbox and getattr(args, "config", None):
        raise Usage("--sandbox needs no configuration, and --config names one", "leave one of them out")
    folder = Path(data_dir).absolute() if data_dir else None
    if sandbox:
        return LoadedConfig(sandbox_config(folder), (), Path())
    found = load(find_config(getattr(args, "config", None)))
    return replace(found, config=replace(found.config, data_dir=folder)) if folder else found


def config_hint(path: Path) -> str:
    """What to type when the configuration there cannot be used."""
    if path.exists():
        return f"correct {path}, then: mailtrail config check --config {path}"
    return "mailtrail --sandbox … works without a configuration; --config FILE names one"


@asynccontextmanager
async def opened(
    args: argparse.Namespace, *, create: bool = False, migrated: bool = False, as_owner: bool = True
) -> AsyncIterator["Store"]:
    """The store of the chosen configuration.

    With `create` a database that does not exist yet is made; with `migrated` an older one is
    brought up too. Raises `Failure`.
    """
    from relay.store import SchemaTooNew, StoreUnavailable, migrate, open_store

    config = configuration(args)
    with _as_owner(config.data_dir) if as_owner else nullcontext():
        _check(config, create=create or migrated)
        try:
            if migrated or (create and not config.database_path.exists()):
                migrate(config)
            store = await open_store(config)
            try:
                yield store
            finally:
                running = await _running(store)
                await store.close()
                if not running:
                    _leave_readable(config)
        except PermissionError:
            raise _denied(config.database_path) from None
        except (StoreUnavailable, SchemaTooNew) as error:
            raise Failure(str(error)) from None
        except sqlite3.OperationalError as error:
            if "no such" not in str(error):
                raise
            raise Failure(f"the database is older than this program ({error})", "mailtrail db migrate") from None


async def _running(store: "Store") -> bool:
    """Does a worker sign in this database? One that cannot be read counts as in use."""
    try:
        return bool(await store.engine.read("live_workers", {"since": store.engine.now() - ALIVE}))
    except Exception:  # whatever is wrong was met, and told, by the command itself
        return True


def _leave_readable(config: "Config") -> None:
    """As the relay leaves it when it stops: one plain file, which members of the group can read."""
    from relay.store import settle_down

    settle_down(config)


def _check(config: "Config", *, create: bool) -> None:
    path = config.database_path
    if create and not path.exists():
        return
    try:
        with path.open("rb") as file:
            start = file.read(len(MAGIC))
    except (FileNotFoundError, NotADirectoryError):
        raise Failure(
            f"there is no database at {path} yet: the relay has never been started with this configuration",
            "mailtrail serve starts it; --config, --sandbox and --data-dir choose another one",
        ) from None
    except PermissionError:
        raise _denied(path) from None
    if start != MAGIC:
        raise Failure(f"cannot open the database: {path} is not one", "restore the latest backup of it")


def _denied(path: Path) -> Failure:
    return Failure(f"cannot open the database {path} (permission denied for user {user()})", "sudo mailtrail …")


@contextmanager
def _as_owner(folder: Path) -> Iterator[None]:
    """As root: be the owner of `folder` for a while."""
    if os.geteuid() != 0 or not folder.exists() or folder.stat().st_uid == 0:
        yield
        return
    owner = folder.stat()
    gid = os.getegid()
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)


def user() -> str:
    """Who gives the command: the name that events and the log keep."""
    if os.environ.get("SUDO_USER"):
        return os.environ["SUDO_USER"]
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
