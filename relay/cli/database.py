"""The way from a command line to the configuration and the database.

Commands work on the database itself, SQLite's file or PostgreSQL's server, whether the relay runs
or not. With a file, root works as the owner of the data directory, so that none appears there that
the relay cannot write, and a member of the relay's group can read. Fails with `Failure` in words
that say what to type: no configuration, no database yet, not readable.
"""

import argparse
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from relay.cli.failures import Failure, Usage

if TYPE_CHECKING:
    from relay.config import Config
    from relay.config_file import LoadedConfig
    from relay.store import Store


MAGIC = b"SQLite format 3\0"


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
    """The store of the chosen configuration; see `opened_at`."""
    async with opened_at(configuration(args), create=create, migrated=migrated, as_owner=as_owner) as store:
        yield store


@asynccontextmanager
async def opened_at(
    config: "Config", *, create: bool = False, migrated: bool = False, as_owner: bool = True
) -> AsyncIterator["Store"]:
    """The store of a configuration.

    With `create` a database that does not exist yet is made; with `migrated` an older one is
    brought up too. Raises `Failure`.
    """
    from relay.store import BadQuery, NotOffered, SchemaTooNew, StoreUnavailable

    with _as_owner(config) if as_owner else nullcontext():
        try:
            store = await _open(config, create=create, migrated=migrated)
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
            raise Failure(str(error), _more_rights(config)) from None
        except NotOffered as error:
            raise Failure(str(error)) from None
        except BadQuery as error:
            raise Failure(f"the database is older than this program ({error})", "mailtrail db migrate") from None


async def _open(config: "Config", *, create: bool, migrated: bool) -> "Store":
    from relay.store import NotMigrated, migrate, on_server, open_store

    if not on_server(config):
        _check(config, create=create or migrated)
        migrated = migrated or (create and not config.database_path.exists())
    if migrated:
        migrate(config)
    try:
        return await open_store(config)
    except NotMigrated:
        if not create:
            raise
    migrate(config)
    return await open_store(config)


def place(config: "Config") -> str:
    """Where the database is: the file, or the server and the database without the password."""
    from relay.store import on_server

    if not on_server(config):
        return str(config.database_path)
    from relay.store.postgres.link import place

    return place(config.database_url)


async def _running(store: "Store") -> bool:
    """Does a worker sign in this database? One that cannot be read counts as in use."""
    try:
        return any(worker["alive"] for worker in await store.workers())
    except Exception:  # whatever is wrong was met, and told, by the command itself
        return True


def _leave_readable(config: "Config") -> None:
    """As the relay leaves it when it stops: one plain file, which members of the group can read."""
    from relay.store import settle_down

    with suppress(PermissionError):  # who may only read it has changed nothing
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


def _more_rights(config: "Config") -> str | None:
    """What to type where the database can be read and not written by this user."""
    from relay.store import on_server

    if on_server(config) or os.access(config.database_path, os.W_OK, effective_ids=True):
        return None
    return "sudo mailtrail …" if config.database_path.exists() else None


@contextmanager
def _as_owner(config: "Config") -> Iterator[None]:
    """As root, where the database is a file: be the owner of its directory for a while."""
    from relay.store import on_server

    folder = config.database_path.parent
    if on_server(config) or os.geteuid() != 0 or not folder.exists() or folder.stat().st_uid == 0:
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
