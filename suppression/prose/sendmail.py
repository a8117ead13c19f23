"""sendmail of all ages: a list of addresses, and the transcript of the session with the next server.

Known by its section lines: `----- Transcript of session follows -----` and `----- The following addresses had permanent
fatal errors -----`, which many gateways have copied. Version 8 lists the addresses, each with `(reason: …)` and
`(expanded from: …)` under it; version 5 has the transcript alone, where a line such as `550 <a@b>... User unknown`
settles one address, and the `<<<` lines since the last command say why. Sections end at the next line of dashes.
"""

import re
from collections.abc import Iterator

from suppression.found import Action, Recipient
from suppression.prose import addresses, causes
from suppression.prose.form import verdict
from suppression.prose.notice import Notice

_SECTION = re.compile(r"^\s*\W?-{3,}\s*(?P<title>[A-Za-z][^-]{4,80}?)\s*-{3,}\W*$")
_LIST = re.compile(
    r"addresses had|recipients of this|address(?:es)? (?:follow|fail)|failed addresses|not delivered to|had delivery",
    re.IGNORECASE,
)
_TRANSCRIPT = re.compile(
    r"transcript of session|non-delivered information|transcript follows|session transcript", re.IGNORECASE
)
_ALIAS = re.compile(r"\((?:expanded|aliased) from:? <?([^\s<>()]+)>?\)", re.IGNORECASE)
_REASON = re.compile(r"\(reason: (.*)", re.IGNORECASE)
_SETTLED = re.compile(
    rf"^\s*(?:\d{{3}}[ -])?(?:[245]\.\d+\.\d+ )?<?(?P<address>{addresses.ADDRESS})>?\.\.\. (?P<said>.*)$"
)
_ASKED = re.compile(rf"^\s*>>> RCPT TO: ?<?(?P<address>{addresses.ADDRESS})>?", re.IGNORECASE)
_ANSWER = re.compile(r"^\s*<<< (.*)$")
_REPLY = re.compile(r"^\s*[245]\d\d[ -]")


def read(notice: Notice) -> list[Recipient]:
    """The recipients; [] when there are no such sections."""
    sections = list(_sections(notice.lines))
    listed = [line for title, lines in sections if _LIST.search(title) for line in lines]
    session = [line for title, lines in sections if _TRANSCRIPT.search(title) for line in lines]
    if not listed and not session:
        return []
    action: Action = causes.action(notice.subject, notice.text)
    if any("transient" in title.lower() for title, _ in sections) and not any(
        "fatal err" in t and "non" not in t for t, _ in sections
    ):
        action = "delayed"
    settled = _settled(session)
    entries = list(_entries(listed))
    if not entries:
        return [verdict(name, said, action) for name, said in settled.items()]
    rest = "" if settled else "\n".join(session)  # words about somebody else are worse than none
    return [
        verdict(name, _reason([reason, _said_of(name, settled, others), rest]), action, others)
        for name, reason, others in entries
    ]


def _sections(lines: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    """Each section as its title and its lines."""
    title, section = "", list[str]()
    for line in lines:
        if match := _SECTION.match(line):
            yield title, section
            title, section = match["title"], []
        else:
            section.append(line)
    yield title, section


def _entries(lines: list[str]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Of each address in a list: it, the reason given there, and its other names."""
    name, said = "", list[str]()
    for line in lines:
        head = addresses.head(line.removeprefix(">>>"))
        if head and not line.lstrip().startswith("("):
            if name:
                yield _entry(name, said)
            name, said = head[1], [head[2].strip(" .<>;:")]
        elif line.strip().startswith(('"|', "|", "/")) and not name:
            name, said = line.strip(), []  # mail into a program or a file: the alias below is the recipient
        elif name and line.strip():
            said.append(line.strip())
    if name:
        yield _entry(name, said)


def _entry(name: str, said: list[str]) -> tuple[str, str, tuple[str, ...]]:
    words = "\n".join(said)
    others = tuple(_ALIAS.findall(words))
    if "@" not in name and others:
        name = others[0]
    if reason := _REASON.search(words.replace("\n", " ")):
        return name, reason[1].rstrip(")"), others
    words = _ALIAS.sub("", words).strip(" \n()[]")
    return name, words if causes.telling(words) > 1 else "", others


def _reason(given: list[str]) -> str:
    """The first with a cause that is known, or else the first: `(reason: 255)` says less than the transcript."""
    said = [each for each in given if each]
    return next((each for each in said if causes.weight(each)), said[0] if said else "")


def _settled(lines: list[str]) -> dict[str, str]:
    """What a transcript says of each address: the answers since the last command, and the line that settles it.

    What a local mailer prints is an answer, too: `mail.local: unknown user: ada` says more than the
    `554 <ada@x.test>... Service unavailable` behind it.
    """
    found: dict[str, str] = {}
    answers: list[str] = []
    asked = ""
    for line in lines:
        if line.lstrip().startswith(">>>") or "while talking to" in line.lower():
            answers = []
            if match := _ASKED.match(line):
                asked = match["address"]
        elif match := _ANSWER.match(line):
            answers.append(match[1])
            if asked and match[1][:1] in "45":
                found.setdefault(asked, match[1])
        elif match := _SETTLED.match(line):
            found[match["address"]] = "\n".join([*answers, line.strip()])
            asked, answers = "", []
        elif _REPLY.match(line):
            answers = []  # about the mail as a whole, and no mailer's
        elif line.strip() and not line.startswith("..."):
            answers.append(line.strip())
    return found


def _said_of(name: str, settled: dict[str, str], others: tuple[str, ...]) -> str:
    """The words of the transcript about an address or one of its other names."""
    wanted = {each.lower() for each in (name, *others)}
    return next((said for address, said in settled.items() if address.lower() in wanted), "")
