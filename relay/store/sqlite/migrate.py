"""Bringing a SQLite database up to this program's schema, and leaving it readable.

Done once, by the supervisor, before any worker opens the database: two processes that
switch a new file to WAL at once meet "database is locked", busy time-out or not. All
missing steps and the public views are one transaction; a database of a newer program is
refused in words (`SchemaTooNew`) and left as it is.
"""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from relay.store import sql
from relay.store.columns import VIEW_COLUMNS
from relay.store.errors import SchemaTooNew, StoreUnavailable
from relay.store.sqlite.engine import WriteLock, open_connection

PUBLIC_SCHEMA = "1"


def migrate(path: Path, steps: Mapping[int, str] | None = None) -> int:
    """Create or bring up the database; the schema version it now has. Raises SchemaTooNew, StoreUnavailable."""
    steps = sql.migrations("sqlite") if steps is None else steps
    lock = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = WriteLock(path)
        with lock.held():
            db = open_connection(path)
            try:
                return _bring_up(db, path, steps)
            finally:
                db.close()
    except (sqlite3.OperationalError, OSError) as error:
        raise StoreUnavailable(f"cannot open the database {path}: {error}") from error
    finally:
        if lock is not None:
            lock.close()


def _bring_up(db: sqlite3.Connection, path: Path, steps: Mapping[int, str]) -> int:
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    newest = max(steps)
    if version > newest:
        raise SchemaTooNew(
            f"the database {path} has schema {version}, this program knows up to {newest}. "
            "Fix: start the newer program again, or restore the backup made before it."
        )
    script = ["BEGIN IMMEDIATE;"]
    script += [steps[number] for number in sorted(steps) if number > version]
    script += [f"PRAGMA user_version = {newest};", _drop_views(db), sql.script("sqlite", "views.sql"), "COMMIT;"]
    try:
        db.executescript("\n".join(script))
    except sqlite3.Error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    _describe(db)
    path.chmod(0o640)
    return newest


def _drop_views(db: sqlite3.Connection) -> str:
    views = db.execute("SELECT name FROM sqlite_master WHERE type = 'view'").fetchall()
    return "\n".join(f"DROP VIEW {view['name']};" for view in views)


def _describe(db: sqlite3.Connection) -> None:
    """Write the words for each view's columns, for people and their tools."""
    db.execute("BEGIN IMMEDIATE")
    db.execute("DELETE FROM view_columns")
    db.executemany(
        "INSERT INTO view_columns (view_name, position, column_name, description) VALUES (?, ?, ?, ?)",
        [
            (view, position, column, description)
            for view, columns in VIEW_COLUMNS.items()
            for position, (column, description) in enumerate(columns.items())
        ],
    )
    db.execute("INSERT OR REPLACE INTO meta VALUES ('public_schema', ?)", (PUBLIC_SCHEMA,))
    db.execute("COMMIT")


def settle_down(path: Path) -> None:
    """After the last process has closed: one plain file, which a reader of another Unix user can open."""
    if not path.exists():
        return
    lock = WriteLock(path)
    try:
        with lock.held():
            db = open_connection(path)
            try:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                db.execute("PRAGMA journal_mode=DELETE").fetchall()
            finally:
                db.close()
    except sqlite3.OperationalError:
        # Somebody is reading it just now: the log stays beside the database, and nothing is lost.
        pass
    finally:
        lock.close()
