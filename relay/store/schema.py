"""What both engines' migrations share: which program may work with which database, and the words for it.

A database has the schema version that its newest migration reached, and `compatible`: the
oldest version whose programs may still work with it. A migration says so in its first lines,
`-- compatible: 3`; one that does not asks for its own version. So an expanding migration
leaves the old nodes running beside the new ones, and a contracting one stops them in words.
"""

import re
from collections.abc import Iterator, Mapping

from relay.store.columns import VIEW_COLUMNS
from relay.store.errors import SchemaTooNew

PUBLIC_SCHEMA = "1"

_COMPATIBLE = re.compile(r"^-- compatible: (\d+)$", re.MULTILINE)


def compatible(steps: Mapping[int, str]) -> int:
    """The oldest version whose programs can work with a database that has been through all these steps."""
    said = ((number, _COMPATIBLE.search(text)) for number, text in steps.items())
    return max(int(found[1]) if found else number for number, found in said)


def refuse_newer(where: str, needed: int, newest: int) -> None:
    """Raise SchemaTooNew when the database needs a program that knows `needed` and this one knows up to `newest`."""
    if needed > newest:
        raise SchemaTooNew(
            f"the database {where} needs a program that knows schema {needed}, this one knows up to {newest}. "
            "Fix: start the newer program again, or restore the backup made before it."
        )


def described() -> Iterator[tuple[str, int, str, str]]:
    """The rows of `view_columns`: view, position, column, what it means."""
    for view, columns in VIEW_COLUMNS.items():
        for position, (column, description) in enumerate(columns.items()):
            yield view, position, column, description
