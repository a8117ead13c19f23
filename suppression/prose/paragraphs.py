"""qmail, Postfix and their relatives: a paragraph for each recipient, begun by `<a@b>:`.

Known by the layout, and not by words, which everybody translates: a machine's letter in which paragraphs begin with an
address in angle brackets and a colon. qmail calls it QSBMF: an introduction, recipient paragraphs, and a break
paragraph that begins with a dash. Postfix writes the reason behind the colon, folds it with blanks, and names an alias:
`<a@b> (expanded from <c@d>): host mx.b[192.0.2.1] said: 550 …`. A dot-qmail file may leave an empty reason.
"""

import re

from suppression.found import Recipient
from suppression.prose import addresses, causes
from suppression.prose.form import verdict
from suppression.prose.notice import Notice

_RECIPIENT = re.compile(
    rf"^\s?<?(?P<address>{addresses.ADDRESS})>(?:\s\((?:expanded|original|orig_to|forwarded)[^<>@]*<?(?P<alias>{addresses.ADDRESS})>?\))?:(?P<said>.*)$"
)
_BROKEN_OFF = re.compile(r"^\s?(?:[-=*_#]{2,}|-\s)")
_SENDER = re.compile(r"mailer-daemon|postmaster|mail deliver|failure notice|undeliver|return|fail", re.IGNORECASE)


def read(notice: Notice) -> list[Recipient]:
    """The recipients; [] when no paragraph begins so."""
    if not _SENDER.search(f"{notice.sender} {notice.subject}"):
        return []
    said: dict[str, list[str]] = {}
    aliases: dict[str, tuple[str, ...]] = {}
    current: list[str] | None = None
    for line in notice.lines:
        if match := _RECIPIENT.match(line):
            current = said.setdefault(match["address"], [])
            current.append(match["said"])
            aliases[match["address"]] = (match["alias"],) if match["alias"] else ()
        elif current is not None and _BROKEN_OFF.match(line):
            current = None
        elif not line.strip():
            # An empty line ends the reason where one has begun.
            current = None if current and any(map(str.strip, current)) else current
        elif current is not None:
            current.append(line)
    action = causes.action(notice.subject, notice.text)
    return [verdict(name, "\n".join(lines), action, aliases[name]) for name, lines in said.items()]
