"""A copy in the making: the accepted content, and what is to change in it.

Changes are spans of the content with what stands there instead; they are put in all at once,
so that what is not changed is copied once and stays byte for byte. It remembers which fields
were touched and whether the body was: an earlier signature stands or falls with that.
Pure, and never raises.
"""

from collections.abc import Callable

from relay.compose.mime import Field, fields, header_end


class Draft:
    """Changes to `content`; they may not overlap. `end` is where its header ends, `fields` are all of that."""

    __slots__ = ("_spans", "body_changed", "content", "end", "fields", "touched")

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.end = header_end(content)
        self.fields = list(fields(content))
        self.touched: set[str] = set()  # names, lower-case, of fields that were added, changed or taken off
        self.body_changed = False
        self._spans: list[tuple[int, int, bytes]] = []

    def named(self, name: str) -> list[Field]:
        """The fields of this name (lower-case), in order."""
        return [field for field in self.fields if field.name == name]

    def drop(self, unwanted: Callable[[str], bool]) -> None:
        """Take off all fields whose name (lower-case) is unwanted."""
        for field in self.fields:
            if unwanted(field.name):
                self.drop_field(field)

    def drop_field(self, field: Field) -> None:
        """Take off this field."""
        self._spans.append((field.start, field.end, b""))
        self.touched.add(field.name)

    def add(self, lines: bytes, *names: str, at: int | None = None) -> None:
        """Write fields of these names, as `lines`, in front of offset `at`, or at the end of the header."""
        position = self.end if at is None else at
        if position and not self.content.startswith(b"\r\n", position - 2):
            lines = b"\r\n" + lines  # a header that breaks off within its last line
        self._spans.append((position, position, lines))
        self.touched.update(names)

    def replace(self, start: int, end: int, new: bytes) -> None:
        """Have `new` instead of these octets of the body."""
        self._spans.append((start, end, new))
        self.body_changed = True

    def made(self) -> bytes:
        """The content with all changes; the same object if there are none."""
        if not self._spans:
            return self.content
        out: list[bytes] = []
        position = 0
        for start, end, new in sorted(self._spans, key=lambda span: span[:2]):
            out += (self.content[position:start], new)
            position = end
        out.append(self.content[position:])
        return b"".join(out)
