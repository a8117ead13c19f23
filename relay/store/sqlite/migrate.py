"""Bringing a SQLite database up to this program's schema, and leaving it readable.

Done once, by the supervisor, before any worker opens the database: two processes that
switch a new file to WAL at once meet "database is locked", busy time-out or not. All
missing steps and the public views are one transaction; a database that went ahead of this
program is left as it is, and refused in words (`SchemaTooNew`) unless it says that older
programs may still work with it (`relay/store/schema.py`).
"""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from relay.store import schema, sql
from relay.store.errors import StoreUnavailable
from relay.store.sqlite.engine import open_connection
from relay.store.sqlite.write_lock import WriteLock


def migrate(path: Path, steps: Mapping[int, str] | None = None) -> int:
    """Create or bring up the database; the schema version it now has. Raises SchemaTooNew, StoreUnavailable."""
    steps = sql.migrations("sqlite") if steps is None else steps
    lock = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = WriteLock(path)
        with lock.held():
            db = open_connection(path, create=True)
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
        schema.refuse_newer(str(path), _needed(db, version), newest)
        return version
    script = ["BEGIN IMMEDIATE;"]
    script += [steps[number] for number in sorted(steps) if number > version]
    script += [f"PRAGMA user_version = {newest};", _drop_views(db), sql.script("sqlite", "views.sql"), "COMMIT;"]
    try:
        db.executescript("\n".join(script))
    except sqlite3.Error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    _describe(db, schema.compatible(steps))
    path.chmod(0o640)
    return newest


def _drop_views(db: sqlite3.Connection) -> str:
    views = db.execute("SELECT name FROM sqlite_master WHERE type = 'view'").fetchall()
    return "\n".join(f"DROP VIEW {view['name']};" for view in views)


def _needed(db: sqlite3.Connection, version: int) -> int:
    """What a program must know that works with this database, which is at `version`."""
    try:
        found = db.execute("SELECT value FROM meta WHERE name = 'compatible'").fetchone()
    except sqlite3.OperationalError:  # not ours at all
        found = None
    return int(found[0]) if found else version


def _describe(db: sqlite3.Connection, compatible: int) -> None:
    """Write the words for each view's columns, for people and their tools, and the facts about the schema."""
    db.execute("BEGIN IMMEDIATE")
    db.execute("DELETE FROM view_columns")
    db.executemany(
        "INSERT INTO view_columns (view_name, position, column_name, description) VALUES (?, ?, ?, ?)",
        schema.described(),
    )
    facts = [("public_schema", schema.PUBLIC_SCHEMA), ("compatible", str(compatible))]
    db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", facts)
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
