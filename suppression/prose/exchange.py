"""Microsoft Exchange of all ages, in whatever language its server speaks.

Known by its layout. Versions 4 to 2003 write who, when, and deeper in the page why:

    ada@x.test on 11/22/2026 10:00
          The e-mail account does not exist at the organization …
          <mx.x.test #5.1.1>

where who may be a name, an X.400 address (`c=US;a= ;p=ORG;o=Site;dda:SMTP=ada@x.test;`) or `SMTP:ada@x.test`, and the
word before the date is of any language. Versions from 2007 on tell people a story first and administrators afterwards:

    Generating server: mx.x.test
    ada@x.test
    #550 5.1.1 RESOLVER.ADR.RecipNotFound; not found ##

and it is the second that counts. A name without an address is who the original was sent to, if that was one only.
"""

import re
from collections.abc import Iterator

from suppression.found import Recipient
from suppression.prose import addresses, causes
from suppression.prose.form import verdict
from suppression.prose.notice import Notice

_WHO_WHEN = re.compile(
    r"""^(?P<indent>\s*)(?P<who>\S.{1,160}?);?\s+[^\W\d]{1,8}\.?\s
        (?:[^\W\d]{1,12}\.?,?\s)?(?P<when>\d{1,4}\s?[./-]\s?\d{1,2}[./-].*\d.*|\d{1,2}\.?\s[^\W\d]{3,12}\.?,?\s\d{4}.*)$""",
    re.VERBOSE,
)
_WRAPPED = re.compile(
    r";?\s+[^\W\d]{1,8}\.?\s(?:[^\W\d]{1,12}\.?,?\s)?(?:\d{1,2}\s[^\W\d]{3,12}\.?,?\s\d{4}|\d{1,4}[./-]\d{1,2}[./-]\d{1,4})$"
)
_SUMMARY = re.compile(r"^\s*[^\W\d][^:@=]{1,30}\s?:\s")  # of the original: `Sent: …`
_REPLY = re.compile(
    r"^\s*(?:#\s?<?|Remote Server (?:at .{1,80} )?returned\W|[^:]{0,80}\breturned '|<?\S+ )?"
    r"#?[245]\d\d[ -]#?[245]\.\d+\.\d+"
)
_HOST_ALONE = re.compile(r"^\s*[\w-]+(?:\.[\w-]+)+\s*$")
_SMTP = re.compile(rf"SMTP[:=]({addresses.ADDRESS})", re.IGNORECASE)
_KNOWN = re.compile(
    r"MSEXCH:|#[245]\.\d\.\d+|#[45]\d\d |RESOLVER\.|Remote Server |recipient\(s\)|returned '|exchange|\.prod\.",
    re.IGNORECASE,
)


def read(notice: Notice) -> list[Recipient]:
    """The recipients; [] when neither layout is there."""
    if not (_KNOWN.search(notice.text) or _KNOWN.search(notice.field("x-mailer"))):
        return []
    action = causes.action(notice.subject, notice.text)
    told = dict[str, str]()
    for who, said in [*_for_administrators(notice.lines), *_who_and_when(notice.lines)]:
        address = _address(who, said, notice)
        if address and not told.get(address):
            told[address] = said
    return [verdict(address, said, action) for address, said in told.items()]


def _who_and_when(lines: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The older layout: who, and the deeper lines under it."""
    who, said, depth = "", list[str](), 0
    for line, following in zip(lines, (*lines[1:], ""), strict=True):
        entry = _WHO_WHEN.match(
            line if _WHO_WHEN.match(line) else f"{line} {following.strip()}" if _WRAPPED.search(line) else line
        )
        indent = len(line) - len(line.lstrip())
        deeper = len(following) - len(following.lstrip()) > indent
        if entry and (not who or indent <= depth) and (deeper or "@" in entry["who"]) and not _SUMMARY.match(line):
            if who:
                yield who, "\n".join(said)
            who, said, depth = entry["who"].strip(" '\""), [], indent
        elif who and line.strip() and indent <= depth and said:
            yield who, "\n".join(said)
            who = ""
        elif who:
            said.append(line.strip())
    if who:
        yield who, "\n".join(said)


def _for_administrators(lines: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The newer layout: an address alone on its line, and a reply on the next."""
    shown = [line for line in lines if line.strip()]
    for number, line in enumerate(shown[:-1]):
        head = addresses.head(line)
        if not head or head[2].strip(" .;:"):
            continue
        reply = number + (2 if _HOST_ALONE.match(shown[number + 1]) else 1)
        if _REPLY.match("".join(shown[reply : reply + 1])):
            said = [shown[reply]]
            for more in shown[reply + 1 : reply + 7]:
                if addresses.head(more) or more.rstrip().endswith(":") or "##" in said[-1]:
                    break
                said.append(more)
            yield head[1], "\n".join(said).strip("# '")


def _address(who: str, said: str, notice: Notice) -> str:
    """The address of `who`; "" where nobody can tell."""
    if smtp := _SMTP.search(who):
        return smtp[1]
    if named := addresses.found(who):
        return named[-1]
    if named := addresses.recipients(said):
        return named[0]
    return notice.sent_to[0] if len(notice.sent_to) == 1 else ""
