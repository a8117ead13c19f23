"""Addresses in lines of prose: at the head of a line, behind a label, in a sentence; and those that are not recipients.

No judgement what became of the mail to them. Everything here looks at a line or a paragraph, bounded by `notice`.
Standards: RFC 5321 4.1.2 (what an address is made of), and less strict: people's servers write what they like.
"""

import re

_NOT_IN_ONE = r"""\s<>()\[\]",:;@|\\：；，、。（）「」『』【】＜＞［］"""  # East Asian punctuation as well
ADDRESS = rf"""[^{_NOT_IN_ONE}*`'][^{_NOT_IN_ONE}]{{0,127}}@[^\W_](?:[\w.-]{{0,250}}[^\W_])?"""
_ANY = re.compile(ADDRESS)
# X.400 and Exchange write SMTP:a@b, SMTP=a@b, rfc822;a@b; links write mailto:a@b.
_SCHEME = r"(?:(?:smtp|rfc-?822|mailto|internet|dda:smtp)\s?[:=;]\s?)?"
_OPEN = rf"""["'\[(<]{{0,3}}{_SCHEME}["'<]{{0,2}}"""
_CLOSE = r"""["'>\])]{0,3}"""

_HEAD = re.compile(
    rf"""^(?P<indent>[\s>]*)(?:[*•·\-–+>]{{1,3}}\s+|\d{{1,3}}[.)]\s+)?{_OPEN}(?P<address>{ADDRESS}){_CLOSE}(?:<mailto:[^<>]*>)?(?P<rest>.*)$""",
    re.IGNORECASE,
)
# "Ada Byron" <ada@x.test> and ada@x.test <ada@x.test>
_NAMED = re.compile(
    rf"""^(?P<indent>[\s>]*)(?:"[^"<>]{{1,80}}"|{ADDRESS}|'[^'<>]{{1,80}}')\s*<(?P<address>{ADDRESS})>(?P<rest>.*)$"""
)
_LABEL = re.compile(
    rf"""^[\s>*\-]*(?P<label>[^:=@<>]{{2,80}}?)\s*[:=]\s*(?:--\s)?{_OPEN}(?P<address>{ADDRESS}){_CLOSE}\s*(?P<rest>.*)$""",
    re.IGNORECASE,
)
_NEXT = re.compile(rf"""\s*[,;]\s*{_OPEN}({ADDRESS}){_CLOSE}""", re.IGNORECASE)
# Words in front of an address of somebody who helps, or sent it.
_NOT_A_RECIPIENT = re.compile(
    r"\b(?:contact(?:ing)?|postmaster at|administrator|help(?:desk)?|support|questions?|assistance|problems? to"
    r"|report (?:it|this)|(?:send|write) (?:an? |your )?(?:e-?mail|message|mail)? ?to"
    r"|please (?:e-?mail|reply to|forward .{1,30} to)|forward (?:this|the)|from|by|sender|reply[- ]?to|return-path"
    r"|errors-to|mail from|mailto|https?|unsubscribe|call|x-mailer|message-id|originat\w+|reporting"
    r"|e\.g\.|for example|emailing to|try)\W{0,4}$",
    re.IGNORECASE,
)
_LOCAL_DAEMON = re.compile(
    r"^(?:mailer-daemon|mail-daemon|postmaster|mdaemon|abuse|hostmaster|noreply|no-reply)@", re.I
)


def found(text: str) -> list[str]:
    """Every address in `text`, in order, each once."""
    return list(dict.fromkeys(clean(match[0]) for match in _ANY.finditer(text)))


def clean(address: str) -> str:
    """An address without what a scheme or a route leaves on it: `SMTP=a@b` → `a@b`."""
    return re.sub(r"^(?:smtp|rfc-?822|mailto)=", "", address.strip("<>'\" \t"), flags=re.IGNORECASE)


def head(line: str) -> tuple[int, str, str] | None:
    """Indentation, address and the rest of a line that begins with an address."""
    match = _NAMED.match(line) or _HEAD.match(line)
    if not match:
        return None
    return len(match["indent"].expandtabs()), clean(match["address"]), match["rest"].strip()


def labelled(line: str) -> tuple[str, str, str] | None:
    """Label, address and the rest of a line `label: address …`."""
    match = _LABEL.match(line)
    return (match["label"].strip(), clean(match["address"]), match["rest"].strip()) if match else None


def listed(address: str, rest: str) -> list[str]:
    """An address and those that follow it, with commas between: `a@b, c@d; e@f (and others)`."""
    names = [address]
    while match := _NEXT.match(rest):
        names.append(clean(match[1]))
        rest = rest[match.end() :]
    return names


def recipients(sentence: str) -> list[str]:
    """Addresses of a sentence that are not somebody to write to, or the sender."""
    kept = []
    for match in _ANY.finditer(sentence):
        before = sentence[max(0, match.start() - 60) : match.start()]
        if not names_a_helper(before) and not before.endswith(("mailto:", "://")):
            kept.append(clean(match[0]))
    return list(dict.fromkeys(kept))


def names_a_helper(before: str) -> bool:
    """Do these words lead to somebody who helps, or to the sender, and not to a recipient?"""
    return _NOT_A_RECIPIENT.search(before.rstrip("<\"'([ \t")) is not None


def of_a_machine(address: str) -> bool:
    """Is it an address that mail servers write from, not one that mail is usually sent to?"""
    return bool(_LOCAL_DAEMON.match(address))
