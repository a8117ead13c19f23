"""A bounce of a kind that nobody has described: an address that stands out, and words of failure near it.

The last reader. It is careful where a letter does not come from a machine, and knows no server's ways.

The plan: is this a bounce at all? Then the first that finds somebody: addresses that begin a line; behind a label or in
a sentence about delivery; in what was said to the next server (RCPT TO:<…>); in the header (subject).
What is said of an address stands on its line, in the lines under it, in a paragraph after it, or before it: what tells
most is taken. Addresses that follow each other without a word share the words that follow.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from suppression.found import Action, Recipient
from suppression.prose import addresses, causes
from suppression.prose.form import verdict
from suppression.prose.notice import Notice

_MACHINE = re.compile(
    r"mail(?:er)?[-_. ]?daemon|post[-_ ]?master|mail[-_. ]deliver|delivery sub|mdaemon|mail (?:admin|system|router)"
    r"|system administrator|bounce|mailserver|deliver(?:y|ies)[-_ ]|\bndr\b|anti-?virus|interscan|imss|gateway"
    r"|e-?mail system",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"undeliver|non[- ]?deliver|not (?:been |yet )*deliver|returned (?:mail|message|to)|returning|fail(?:ed|ure)"
    r"|deliver\w* (?:fail|status|problem|error|delay|warning|report|notif|has)|could not (?:be )?(?:deliver|send)"
    r"|can(?:not|'t) be delivered|error (?:sending|in your)|bounce|unable to|rejected|mail system error|user unknown"
    r"|unknown user|problem (?:sending|deliver)|warning: ",
    re.IGNORECASE,
)
_DELIVERY = re.compile(
    r"\b(?:deliver\w*|deleve\w+|sent|send|sending|reach(?:ed)?|recipients?|undeliverable|addressed|forward\w*|returned|transmitted|address(?:es)?|mailbox"
    r"|user|account|rejected|unknown|mail(?:folder)?)\b",
    re.IGNORECASE,
)
_LABELS = re.compile(
    r"recipient|\bto\b|address|user|undeliver|fail|deliver|mailbox|unknown|invalid|rejected|exceed|quota|account|full",
    re.IGNORECASE,
)
_NO_LABELS = re.compile(
    r"from|sender|reply|return-path|contact|\bcc\b|message-?id|subject|administrator|question|help|by$|list-|received|original",
    re.I,
)
_ORIGINALLY = re.compile(r"^original(?:ly)? (?:address|recipient|to)", re.IGNORECASE)  # the name that we wrote to
_GROUP_OF_ORIGINAL = re.compile(r"^\s*(?:from|sent|subject|date|to|cc|received on)\s*:", re.IGNORECASE)
_RCPT = re.compile(rf"RCPT TO: ?<?({addresses.ADDRESS})>?", re.IGNORECASE)
_TRANSCRIPT = re.compile(rf"^\W*[45]\d\d[ -].{{0,80}}?<?({addresses.ADDRESS})>?")
_ALIAS = re.compile(
    rf"(?:generated (?:from|by)|expanded from:?|forwarded from|alias(?:ed)? (?:of|from):?)\s*<?({addresses.ADDRESS})",
    re.IGNORECASE,
)
_REST = re.compile(r"^(?:$|[:;.,|=\[(\-–—]|on\s|\.\.\.|[45]\d\d\b)", re.IGNORECASE)
_MOST = 1000  # recipients
_MOST_SAID = 25  # lines under an address
_MOST_NEAR = 12  # lines from a label on


@dataclass(slots=True)
class _Block:
    """Addresses in a row, and what stands around them."""

    names: list[str]
    before: list[str]  # the paragraphs in front of them, the nearest first
    said: list[str] = field(default_factory=list)  # on the line, and under it without a gap
    after: list[str] = field(default_factory=list)  # paragraphs that follow


def read(notice: Notice) -> list[Recipient]:
    """The recipients of a notice; [] when nothing shows that it is one."""
    text = notice.text
    if not _is_bounce(notice, text):
        return []
    action = causes.action(notice.subject, text)
    return (
        _headed(notice, action)
        or _labelled(notice, action)
        or _told(notice, action)
        or _spoken(notice, action)
        or _in_header(notice, action)
    )[:_MOST]


def _is_bounce(notice: Notice, text: str) -> bool:
    """A machine's letter that tells of a failure; or one whose subject and words both do."""
    if not (causes.failing(text) or causes.failing(notice.subject) or _SUBJECT.search(notice.subject)):
        return False
    if _MACHINE.search(notice.sender) or not addresses.found(notice.sender) or notice.field("x-failed-recipients"):
        return True
    by_itself = notice.field("auto-submitted") or notice.field("return-path") == "<>"
    return _SUBJECT.search(notice.subject) is not None and bool(by_itself or _DELIVERY.search(text))


def _headed(notice: Notice, action: Action) -> list[Recipient]:
    """Addresses that begin a line."""
    blocks = list(_blocks(notice.lines))
    if any(causes.telling(_words(block)) > 1 for block in blocks):
        blocks = [block for block in blocks if causes.telling(_words(block)) > 1]
    found: dict[str, Recipient] = {}
    for block in blocks:
        said = _words(block)
        for name in block.names:
            known = found.get(name.lower())
            if not known or causes.telling(known.diagnostic) < causes.telling(said):
                found[name.lower()] = verdict(name, said, action, tuple(_ALIAS.findall(said)))
    aliases = {other.lower() for one in found.values() for other in one.also}
    return _without_the_reader(notice, {name: one for name, one in found.items() if name not in aliases} or found)


def _words(block: _Block) -> str:
    """What tells most of the cause; of equals what stands nearest."""
    places = ["\n".join(block.said), *block.after[:4], *block.before]
    best = causes.most_telling(places)
    return best if causes.telling(best) > 1 else places[0]


def _blocks(lines: tuple[str, ...]) -> Iterator[_Block]:
    """The lines as blocks: who, and the words before, at and after."""
    block: _Block | None = None
    paragraph: list[str] = []
    before, depth, gap = list[str](), 0, False
    for line in lines:
        if not line.strip():
            if paragraph:
                before = ["\n".join(paragraph), *before[:1]]
            if block and paragraph and gap:
                block.after.append("\n".join(paragraph))
            gap, paragraph = True, []
            continue
        head = addresses.head(line)
        if head and _stands_out(
            head,
            before[0] if gap and before else "\n".join(paragraph),
            block is not None and not gap and head[0] > depth,
        ):
            names = addresses.listed(head[1], head[2])
            rest = head[2].strip(" :;,.-<>") if len(names) == 1 else ""
            if block and not (block.said or block.after or paragraph):
                block.names += names
            else:
                if block:
                    yield block
                block = _Block(names, ["\n".join(paragraph), *before])
            block.said += [rest] if rest else []
            depth, gap, paragraph = head[0], False, []
            continue
        if block and not gap and len(block.said) < _MOST_SAID:
            block.said.append(line.strip())
        else:
            paragraph.append(line.strip())
    if block:
        if paragraph and gap:
            block.after.append("\n".join(paragraph))
        yield block


def _stands_out(head: tuple[int, str, str], before: str, deeper: bool) -> bool:
    """Is this a recipient's line, and not the wrapped end of a sentence or of a diagnostic?"""
    rest = head[2]
    if deeper or not (_REST.match(rest) or causes.failing(rest)):
        return False
    last = before.rstrip().rsplit("\n", 1)[-1][-120:]
    return not addresses.names_a_helper(last)


def _labelled(notice: Notice, action: Action) -> list[Recipient]:
    """Addresses behind a label: `Recipient: a@b`, `Unknown user: a@b`; `Original address: c@d` is another name."""
    found: dict[str, Recipient] = {}
    labels = {number: entry for number, line in enumerate(notice.lines) if (entry := addresses.labelled(line))}
    starts = [number for number, entry in labels.items() if _names_a_recipient(notice.lines, number, entry[0])]
    for start, end in zip(starts, _ends(notice, starts), strict=True):
        said = "\n".join(notice.lines[start:end])
        if causes.telling(said) < 2 and start:
            said = "\n".join([*notice.lines[max(0, start - 8) : start], said])
        near = (labels[number] for number in range(start + 1, end) if number in labels)
        also = [address for label, address, _ in near if _ORIGINALLY.search(label)]
        for name in addresses.listed(labels[start][1], labels[start][2]):
            found.setdefault(name.lower(), verdict(name, said, action, tuple(also)))
    return list(found.values())


def _names_a_recipient(lines: tuple[str, ...], number: int, label: str) -> bool:
    """Does this label name a recipient, and not somebody of the summary of the original?"""
    if _NO_LABELS.search(label) or not _LABELS.search(label):
        return False
    return label.lower() not in ("to", "rcpt to") or not _of_original(lines, number)


def _ends(notice: Notice, starts: list[int]) -> list[int]:
    """Where the words about each end that begins at `starts`: at the next one, or after a dozen lines."""
    return [
        min(start + _MOST_NEAR, after) for start, after in zip(starts, [*starts[1:], len(notice.lines)], strict=False)
    ]


def _of_original(lines: tuple[str, ...], number: int) -> bool:
    """Does this line belong to a summary of the original: To, Subject, Sent?"""
    around = lines[max(0, number - 4) : number] + lines[number + 1 : number + 5]
    return sum(_GROUP_OF_ORIGINAL.match(line) is not None for line in around) >= 1


def _told(notice: Notice, action: Action) -> list[Recipient]:
    """Addresses in a sentence about delivery: `could not be delivered to a@b`."""
    found: dict[str, Recipient] = {}
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", notice.text)]
    for number, paragraph in enumerate(paragraphs):
        if not (_DELIVERY.search(paragraph) and causes.failing(paragraph)):
            continue
        names = addresses.recipients(paragraph)
        later = [part for part in paragraphs[number + 1 : number + 4] if set(addresses.found(part)) <= set(names)]
        said = causes.most_telling([paragraph, *later])
        for name in names:
            found.setdefault(name.lower(), verdict(name, said, action, tuple(_ALIAS.findall(said))))
    return _without_the_reader(notice, found)


def _without_the_reader(notice: Notice, found: dict[str, Recipient]) -> list[Recipient]:
    """Who the notice is addressed to, or a mail server, is a recipient only if there is nobody else."""
    readers = {name.lower() for name in addresses.found(notice.field("to"))}
    others = [one for name, one in found.items() if name not in readers and not addresses.of_a_machine(name)]
    return others or list(found.values())


def _spoken(notice: Notice, action: Action) -> list[Recipient]:
    """Addresses in what was said to the next server, and what it answered."""
    found: dict[str, Recipient] = {}
    lines = [
        (number, match[1])
        for number, line in enumerate(notice.lines)
        if (match := _RCPT.search(line) or _TRANSCRIPT.match(line))
    ]
    for (number, name), end in zip(lines, _ends(notice, [at for at, _ in lines]), strict=True):
        said = "\n".join(notice.lines[number:end])
        known = found.get(name.lower())
        if not known or causes.telling(known.diagnostic) < causes.telling(said):
            found[name.lower()] = verdict(name, said, action)
    return list(found.values())


def _in_header(notice: Notice, action: Action) -> list[Recipient]:
    """Addresses that only the header names."""
    names = addresses.found(notice.field("x-failed-recipients")) or addresses.found(notice.subject)
    return [verdict(name, causes.sentence(notice.text), action) for name in names]
