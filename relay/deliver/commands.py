"""What a server offers, and the MAIL and RCPT commands that fit it.

Pure. RFC 5321 4.1.1 (commands), RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 6531
(SMTPUTF8), RFC 3461 5.2 (handing DSN parameters on), RFC 4954 (AUTH). An address is
written as its owner wrote it; only a domain beyond ASCII is turned into A-labels.
"""

import re
from dataclasses import dataclass

from relay.address import Address
from relay.deliver.exchange import Kind
from relay.delivery import Delivery

# RFC 3461 4: xtext is printable ASCII but "+" and "=", which become +2B and +3D.
_NOT_XTEXT = re.compile(r"[^!-*,-<>-~]")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


@dataclass(frozen=True, slots=True)
class Offers:
    """The extensions of an EHLO reply; HELO offers none."""

    size: int | None = None  # octets; None: no limit known
    eight_bit: bool = False
    smtputf8: bool = False
    dsn: bool = False
    pipelining: bool = False
    starttls: bool = False
    auth: frozenset[str] = frozenset()  # mechanisms, upper-case

    @classmethod
    def parse(cls, text: str) -> "Offers":
        """Read the text of an EHLO reply: the first line is the server's name, each other line one keyword."""
        words: dict[str, list[str]] = {}
        for line in text.upper().split("\n")[1:]:
            # "AUTH=PLAIN LOGIN" is how servers before RFC 2554 said it; some still say it both ways.
            keyword, *parameters = line.replace("AUTH=", "AUTH ", 1).split() or [""]
            words.setdefault(keyword, []).extend(parameters)
        size = next(iter(words.get("SIZE", [])), "")
        return cls(
            # RFC 1870 4: SIZE 0 means that no fixed limit is in force.
            size=int(size) or None if size.isdecimal() and len(size) < 20 else None,
            eight_bit="8BITMIME" in words,
            smtputf8="SMTPUTF8" in words,
            dsn="DSN" in words,
            pipelining="PIPELINING" in words,
            starttls="STARTTLS" in words,
            auth=frozenset(words.get("AUTH", [])),
        )


def unsendable(delivery: Delivery, content: bytes, offers: Offers) -> tuple[Kind, str] | None:
    """Why this server cannot be given this message, before anything is sent; None: it can."""
    # RFC 1870 6.1: a message over the declared limit need not be tried.
    if offers.size is not None and len(content) > offers.size:
        return Kind.TOO_BIG, f"message size {len(content)} exceeds size limit {offers.size}"
    if not offers.smtputf8 and needs_smtputf8(delivery, content):
        return Kind.NO_SMTPUTF8, "SMTPUTF8 is required, but was not offered"
    return None


def needs_smtputf8(delivery: Delivery, content: bytes) -> bool:
    """RFC 6531 3.4: a local part or a header beyond ASCII needs the extension; a domain does not, it has A-labels."""
    message = delivery.message
    for address in (message.reverse_path, delivery.recipient):
        if address is not None and not address.local.isascii():
            return True
    # 8-bit headers of a client that did not speak of SMTPUTF8 are its own affair: they pass as they always did.
    return message.smtputf8 and not content[: content.find(b"\r\n\r\n")].isascii()


def mail_command(delivery: Delivery, content: bytes, offers: Offers) -> str:
    """`MAIL FROM:<…>` with every parameter that applies and is offered."""
    message = delivery.message
    command = f"MAIL FROM:<{_path(message.reverse_path) if message.reverse_path else ''}>"
    if offers.size is not None:
        command += f" SIZE={len(content)}"
    if offers.eight_bit and message.eight_bit:
        command += " BODY=8BITMIME"
    if offers.smtputf8 and needs_smtputf8(delivery, content):
        command += " SMTPUTF8"
    # RFC 3461 5.2.1: RET and ENVID go on exactly as they came, and only if they came.
    if offers.dsn and message.ret:
        command += f" RET={message.ret}"
    if offers.dsn and message.envid:
        command += f" ENVID={message.envid}"
    return command


def rcpt_command(delivery: Delivery, offers: Offers) -> str:
    """`RCPT TO:<…>`, with NOTIFY and ORCPT where DSN is offered."""
    command = f"RCPT TO:<{_path(delivery.recipient)}>"
    if not offers.dsn:
        return command
    # RFC 3461 5.2.1: NOTIFY goes on as it came, and must not be made up where the client gave none.
    if delivery.notify:
        command += f" NOTIFY={','.join(sorted(delivery.notify))}"
    # RFC 3461 5.2.1: without ORCPT the relay may supply one, and then it names the address that it received.
    if delivery.orcpt:
        # RFC 6533 3: beyond ASCII it is written as \x{…}, which needs no SMTPUTF8 from any server on the way.
        command += f" ORCPT={_NOT_ASCII.sub(_embedded, delivery.orcpt)}"
    elif (address := str(delivery.recipient)).isascii():
        command += f" ORCPT=rfc822;{xtext(address)}"
    return command


def xtext(text: str) -> str:
    """RFC 3461 4: `text` (ASCII) with "+", "=" and what is not printable as hexadecimal."""
    return _NOT_XTEXT.sub(lambda found: f"+{ord(found[0]):02X}", text)


def _embedded(found: re.Match[str]) -> str:
    return f"\\x{{{ord(found[0]):X}}}"


def _path(address: Address) -> str:
    wire = address.wire
    return wire if wire.isascii() or not address.local.isascii() else address.with_ascii_domain().wire
