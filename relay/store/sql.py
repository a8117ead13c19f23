"""SQL by hand, in files: each statement under its own name, in each engine's dialect.

A file holds blocks that open with `-- name: NAME`; the same names stand in every
dialect, so that two files can be read side by side. Raises KeyError for a name that a
dialect lacks: our own mistake, met by the first test.
"""

import re
from importlib.resources import files

_REMARK = re.compile(r"^--.*\n?", re.MULTILINE)
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def script(dialect: str, name: str) -> str:
    """The text of one file of a dialect: `script("sqlite", "views.sql")`."""
    return (files(__package__) / dialect / name).read_text("utf-8")


def statements(dialect: str) -> dict[str, str]:
    """Every named statement of a dialect."""
    parts = _NAME.split(script(dialect, "statements.sql"))
    return {name: _without_remarks(body) for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def _without_remarks(body: str) -> str:
    """The SQL alone; "" where a dialect has nothing to do, and only says why."""
    return _REMARK.sub("", body).strip().rstrip(";")


def migrations(dialect: str) -> dict[int, str]:
    """The steps that bring an older database up: version reached → script."""
    folder = files(__package__) / dialect / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return {int(name.removesuffix(".sql")): (folder / name).read_text("utf-8") for name in names}
