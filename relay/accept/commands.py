"""Reads command lines, and the arguments of MAIL, RCPT and BDAT. Pure: text in, a value or `BadCommand` out.

Does not decide who may send what. Keywords are case-insensitive, values are kept as
written (ENVID and ORCPT are case-sensitive); unknown parameters answer 555, wrong or
repeated ones 501 (RFC 5321 4.1.1.11).
Standards: RFC 5321 4.1.1.2 and 4.1.1.3, RFC 1870 (SIZE), RFC 6152 (BODY), RFC 6531
(SMTPUTF8), RFC 3461 (RET, ENVID, NOTIFY, ORCPT), RFC 4954 5 (AUTH=), RFC 3030 (BDAT).
"""

import re
from dataclasses import dataclass

from relay.accept import texts
from relay.address import Address, AddressError, parse_path
from relay.envelope import Notify, Recipient, Ret

# The path ends at the first ">" outside quotes. One blank after the colon is a common slip that harms nobody.
_PATH = r' ?(<(?:"(?:[^"\\]++|\\.)*+"|[^">]++)*+>)(?: +(.*))?'
_FROM = re.compile("FROM:" + _PATH, re.IGNORECASE)
_TO = re.compile("TO:" + _PATH, re.IGNORECASE)
_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_VALUE = re.compile(r"[^\x00- =\x7f]+")
_BDAT = re.compile(r"([0-9]{1,20})(?: +(LAST))? *", re.IGNORECASE)

# RFC 3461 4: xtext is printable ASCII, with "+", "=" and all else as "+" and two upper-case hexadecimal digits;
# what it spells must be printable ASCII again.
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[2-7][0-9A-F](?<!\+7F))+")
_UTF8_XTEXT = re.compile(r"(?:[!-*,-<>-~\u00a0-\U0010ffff]|\+[2-7][0-9A-F](?<!\+7F))+")  # RFC 6533 3
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9-]+")
MAX_COMMAND = 2048  # octets, CRLF included; RFC 5321 4.5.3.1.4 asks for 512 and room for parameters
MAX_ENVID = 100  # RFC 3461 4.4
MAX_ORCPT = 500  # RFC 3461 4.2


class BadCommand(ValueError):
    """The client's mistake: `reply` says which, or `refused` where it is kept."""

    def __init__(self, reply: str = "", refused: texts.Refused | None = None) -> None:
        super().__init__(reply)
        self.reply = reply
        self.refused = refused


@dataclass(frozen=True, slots=True)
class Mail:
    """A MAIL command. `size` is what the client announced in octets, 0 if nothing."""

    reverse_path: Address | None
    size: int = 0
    eight_bit: bool = False
    smtputf8: bool = False
    ret: Ret | None = None
    envid: str | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A BDAT command: that many octets follow at once."""

    size: int
    last: bool


def parse_line(line: bytes, utf8_verbs: frozenset[str]) -> str:
    """The command in a line, without its CRLF; beyond ASCII only for `utf8_verbs`. Raises `BadCommand`."""
    if not line.endswith(b"\r\n"):
        raise BadCommand(texts.BARE_LF)
    if len(line) > MAX_COMMAND and line[:5].upper() != b"AUTH ":
        raise BadCommand(texts.LINE_TOO_LONG)
    try:
        command = line[:-2].decode("utf-8")
    except UnicodeDecodeError:
        raise BadCommand(texts.NOT_ASCII) from None
    if not command.isascii() and command.partition(" ")[0].upper() not in utf8_verbs:
        raise BadCommand(texts.NOT_ASCII)
    if not command.isprintable() and _CONTROLS.search(command):
        raise BadCommand(texts.CONTROL_BYTES)
    return command


def parse_mail(argument: str, *, extended: bool) -> Mail:
    """`FROM:<path> parameters`; without EHLO (`extended`) no parameter is known. Raises `BadCommand`."""
    found = _FROM.fullmatch(argument)
    if not found:
        raise BadCommand(texts.MAIL_SYNTAX)
    given = _parameters(found[2], extended=extended) if found[2] else {}
    smtputf8 = "SMTPUTF8" in given
    try:
        path = parse_path(found[1], smtputf8=smtputf8)
    except AddressError as error:
        raise _bad(texts.BAD_SENDER, found[1], error) from None
    if not given:
        return Mail(path)
    mail = Mail(
        path,
        size=_size(given.pop("SIZE", "0")),
        eight_bit=_body(given.pop("BODY", "7BIT")),
        smtputf8=smtputf8,
        ret=_ret(given.pop("RET")) if "RET" in given else None,
        envid=_envid(given.pop("ENVID")) if "ENVID" in given else None,
    )
    if given.pop("SMTPUTF8", None):
        raise _wrong("SMTPUTF8 takes no value")
    # RFC 4954 5: whoever vouches for nobody may ignore AUTH=, as long as it has one.
    if given.pop("AUTH", "<>") is None:
        raise _wrong("AUTH= needs a value")
    _none_left(given)
    return mail


def parse_rcpt(argument: str, *, extended: bool, smtputf8: bool) -> Recipient:
    """`TO:<path> parameters`. Raises `BadCommand`."""
    found = _TO.fullmatch(argument)
    if not found:
        raise _recipient_syntax(argument)
    try:
        path = parse_path(found[1], smtputf8=smtputf8)
        if path is None:
            raise AddressError("it is empty")
    except AddressError as error:
        raise _bad(texts.BAD_RECIPIENT, found[1], error) from None
    if not found[2]:
        return Recipient(path)
    given = _parameters(found[2], extended=extended)
    notify = _notify(given.pop("NOTIFY")) if "NOTIFY" in given else frozenset[Notify]()
    orcpt = _orcpt(given.pop("ORCPT"), smtputf8=smtputf8) if "ORCPT" in given else None
    _none_left(given)
    return Recipient(path, notify, orcpt)


def parse_bdat(argument: str) -> Chunk | None:
    """`size [LAST]`; None if it is not that, and then nobody knows how many octets follow."""
    found = _BDAT.fullmatch(argument)
    return Chunk(int(found[1]), bool(found[2])) if found else None


def _parameters(text: str, *, extended: bool) -> dict[str, str | None]:
    """`KEY=value KEY` as a dictionary with upper-case keys."""
    given: dict[str, str | None] = {}
    for word in text.split():
        key, equals, value = word.partition("=")
        if not _KEYWORD.fullmatch(key) or (equals and not _VALUE.fullmatch(value)):
            raise _wrong("A parameter has the form KEYWORD=value")
        key = key.upper()
        if key in given:
            raise _wrong(f"Parameter {texts.shown(key)} is given twice")
        given[key] = value if equals else None
    if given and not extended:
        raise BadCommand("555 5.5.4 Parameters need EHLO")
    return given


def _none_left(given: dict[str, str | None]) -> None:
    if given:
        raise BadCommand(f"555 5.5.4 Parameter {texts.shown(next(iter(given)))} is not known")


def _wrong(text: str) -> BadCommand:
    return BadCommand(f"501 5.5.4 {text}")


def _bad(rule: texts.Rule, path: str, error: AddressError) -> BadCommand:
    return BadCommand(refused=texts.Refused(rule, {"given": texts.shown(path[1:-1]), "why": str(error)}))


def _recipient_syntax(argument: str) -> BadCommand:
    """Brackets forgotten is the slip worth its own words; the rest is told the syntax."""
    keyword, colon, given = argument.partition(":")
    if keyword.upper() != "TO" or not colon:
        return BadCommand(texts.RCPT_SYNTAX)
    values = {"given": texts.shown(given.strip()), "why": "an address stands in angle brackets"}
    return BadCommand(refused=texts.Refused(texts.BAD_RECIPIENT, values))


def _size(value: str | None) -> int:
    if value is None or not re.fullmatch(r"[0-9]{1,20}", value):
        raise _wrong("SIZE needs a number of octets")
    return int(value)


def _body(value: str | None) -> bool:
    body = (value or "").upper()
    if body not in ("7BIT", "8BITMIME"):
        raise _wrong("BODY is 7BIT or 8BITMIME")
    return body == "8BITMIME"


def _ret(value: str | None) -> Ret:
    try:
        return Ret((value or "").upper())
    except ValueError:
        raise _wrong("RET is FULL or HDRS") from None


def _envid(value: str | None) -> str:
    if value is None or len(value) > MAX_ENVID or not _XTEXT.fullmatch(value):
        raise _wrong(f"ENVID is xtext of at most {MAX_ENVID} characters")
    return value


def _notify(value: str | None) -> frozenset[Notify]:
    words = (value or "").upper().split(",")
    try:
        notify = frozenset(Notify(word) for word in words)
    except ValueError:
        notify = frozenset()
    # RFC 3461 4.1: NEVER stands alone.
    if not notify or len(notify) != len(words) or (Notify.NEVER in notify and len(notify) > 1):
        raise _wrong("NOTIFY is NEVER, or a list of SUCCESS, FAILURE and DELAY")
    return notify


def _orcpt(value: str | None, *, smtputf8: bool) -> str:
    kind, semicolon, address = (value or "").partition(";")
    text = _UTF8_XTEXT if smtputf8 and kind.lower() == "utf-8" else _XTEXT
    good = semicolon and _ADDRESS_TYPE.fullmatch(kind) and text.fullmatch(address)
    if value is None or not good or len(value) > MAX_ORCPT:
        raise _wrong("ORCPT is an address type, a semicolon and the address as xtext")
    return value
