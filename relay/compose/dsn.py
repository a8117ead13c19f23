"""Notices to the sender: delivery status notifications that people can read and programs can parse.

When one is due (`should_notify`), and the notice itself (`notice`) as a message that the
relay accepts like any other. It decides nothing about deliveries, and sends nothing.

Rules:
 - Never to the null reverse-path, and never about a notice.
 - What the sender asked for by NOTIFY, RET, ENVID and ORCPT is obeyed.
 - Everything goes as 7 bit where it can: the way back may be an old one. SMTPUTF8 is asked for only if
   the sender's own address cannot be written without it; 8BITMIME only for an 8-bit message sent back whole.
 - Text of others (replies, subjects) can neither end a line nor a part.

Standards: RFC 3461 (SMTP extension), 3464 (delivery-status), 6522 (multipart/report), 6533
(internationalised), 3834 (Auto-Submitted). Pure: `now` is an argument, and the boundary is made
from the queue id.
"""

import base64
import ipaddress
import re
from email.header import Header

from relay.address import Address
from relay.compose.mime import header_end
from relay.compose.multipart import Part, boundary_for, field, lines_fit, multipart, text_part
from relay.compose.plain_words import Kind, date, human_part
from relay.delivery import Attempt, Delivery, Verdict
from relay.envelope import Message, Notify, Origin, Ret, Role
from relay.reply import printable

__all__ = ["RETURN_CAP", "Kind", "notice", "should_notify"]

RETURN_CAP = 1024 * 1024  # octets; of a larger message only the header goes back, whatever RET says
_HEXCHAR = re.compile(rb"\+([0-9A-F]{2})")
_EMBEDDED = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")
_QCHAR = re.compile(r"[^!-*,-<>-\[\]-~]")  # RFC 6533 3: what utf-8-addr-xtext must write as \x{…}


def should_notify(kind: Kind, delivery: Delivery) -> bool:
    """Is a notice of this kind due to the sender of `delivery`?

    FAILURE when it has bounced, DELAY when it has waited for `delivery.delay_warning`, SUCCESS when it
    was delivered, RELAYED when it was sent to a server that does not announce DSN, EXPANDED when it went to a list.
    """
    message = delivery.message
    # RFC 3464 2: no notice is ever sent about a notice, or to the null reverse-path.
    if message.reverse_path is None or message.origin is Origin.NOTICE:
        return False
    match kind:
        # RFC 3461 4.1: without NOTIFY the sender is told of failures, and of delays if we like.
        case Kind.FAILURE:
            return not delivery.notify or Notify.FAILURE in delivery.notify
        case Kind.DELAY:
            return not delivery.warned and (not delivery.notify or Notify.DELAY in delivery.notify)
        # RFC 3461 5.2.2: "relayed" answers a request for success that the next server cannot keep.
        case Kind.SUCCESS | Kind.RELAYED | Kind.EXPANDED:
            return Notify.SUCCESS in delivery.notify


def notice(
    kind: Kind,
    delivery: Delivery,
    verdict: Verdict,
    attempt: Attempt | None,
    *,
    hostname: str,
    now: float,
    queue_id: str,
    original: bytes,
    will_retry_until: float | None = None,
) -> tuple[Message, Delivery, bytes]:
    """The notice as a message with its one delivery and its content, ready to be accepted.

    Without an `attempt` it is another server that tells it, of a message that it took before.

    `queue_id` is the new message's; `original` is the content that was sent (empty if it is gone);
    `now` and `will_retry_until` (DELAY only) are Unix seconds. ValueError where there is no one to tell.
    """
    if delivery.message.reverse_path is None:
        raise ValueError("a message with the null reverse-path has no sender to notify")
    sender = delivery.message.reverse_path.with_ascii_domain()
    # RFC 6533 3: native addresses and message/global-* need SMTPUTF8 all the way back.
    native = not sender.ascii
    returned = _returned(kind, delivery.message, original, native=native)
    text = human_part(
        kind,
        delivery,
        verdict,
        attempt,
        hostname=hostname,
        now=now,
        will_retry_until=will_retry_until if kind is Kind.DELAY else None,
        returned=None if returned is None else "header" if returned.type.endswith("headers") else "whole text",
    )
    status = _status(kind, delivery, verdict, attempt, hostname, will_retry_until, native=native)
    parts = [
        text_part("text/plain; charset=utf-8", "Notification", text.encode(), eight_bit=native),
        text_part(
            "message/global-delivery-status" if native else "message/delivery-status",
            "Delivery report",
            status.encode("utf-8") if native else status.encode("ascii", "replace"),
            eight_bit=native,
        ),
    ]
    if returned is not None:
        parts.append(returned)
    eight_bit = native or any(part.encoding == "8bit" for part in parts)
    boundary = boundary_for(queue_id, parts)
    subject = f"{_SUBJECT[kind]} {printable(str(delivery.recipient))}"
    message_id = f"<{queue_id}@{hostname}>"
    # RFC 3834 3.1.7: auto-replied, so that no responder answers it.
    header = [
        field("From", f"Mail Delivery System <MAILER-DAEMON@{hostname}>"),
        field("To", str(sender)),
        field("Subject", subject if native else _encoded_words(subject)),
        field("Date", date(now)),
        field("Message-ID", message_id),
        *_in_reply_to(delivery.message.message_id),
        field("Auto-Submitted", "auto-replied"),
        field("MIME-Version", "1.0"),
        field("Content-Type", f'multipart/report; report-type=delivery-status; boundary="{boundary}"'),
        field("Content-Transfer-Encoding", "8bit" if eight_bit else "7bit"),
    ]
    content = "".join(header).encode() + multipart(boundary, parts)
    message = Message(
        queue_id=queue_id,
        received_at=now,
        reverse_path=None,
        size=len(content),
        sender=f"MAILER-DAEMON@{hostname}",
        subject=subject,
        message_id=message_id,
        origin=Origin.NOTICE,
        eight_bit=eight_bit,
        smtputf8=native,
    )
    return message, Delivery(message, 0, sender, Role.TO, sender.destination), content


_SUBJECT = {
    Kind.FAILURE: "Not delivered: your message to",
    Kind.DELAY: "Delayed: your message to",
    Kind.SUCCESS: "Delivered: your message to",
    Kind.RELAYED: "Passed on: your message to",
    Kind.EXPANDED: "Delivered: your message to",
}


# The report that programs read.


def _status(
    kind: Kind,
    delivery: Delivery,
    verdict: Verdict,
    attempt: Attempt | None,
    hostname: str,
    will_retry_until: float | None,
    *,
    native: bool,
) -> str:
    """RFC 3464 2.2 (fields of the message), an empty line, 2.3 (fields of the recipient)."""
    message = delivery.message
    lines = [field("Reporting-MTA", f"dns; {hostname}")]
    # RFC 3464 2.2.1: Original-Envelope-Id only where the sender gave ENVID.
    envelope_id = _xtext_decoded(message.envid or "").strip()
    if envelope_id:
        lines.append(field("Original-Envelope-Id", envelope_id))
    lines += [field("Arrival-Date", date(message.received_at)), field("X-Mailtrail-Queue-Id", message.queue_id), "\r\n"]
    # RFC 3464 2.3.1: Original-Recipient only where the sender gave ORCPT.
    original = _original_recipient(delivery.orcpt, native=native)
    if original is not None:
        lines.append(field("Original-Recipient", original))
    lines.append(field("Final-Recipient", _typed(delivery.recipient, native=native)))
    lines += [field("Action", kind.value), field("Status", verdict.dsn)]
    # RFC 3464 2.3.5: Remote-MTA only where another server took part.
    if attempt is not None and attempt.mx_host:
        lines.append(field("Remote-MTA", f"dns; {_mta_name(attempt.mx_host)}"))
    # RFC 3464 2.3.6: the type smtp is for the literal reply of a server alone.
    if verdict.reply is not None:
        lines.append(field("Diagnostic-Code", f"smtp; {verdict.reply.line}"))
    elif kind in (Kind.FAILURE, Kind.DELAY):
        lines.append(field("Diagnostic-Code", f"X-Mailtrail; {verdict.reason}"))
    if attempt is not None:
        lines.append(field("Last-Attempt-Date", date(attempt.finished_at)))
    # RFC 3464 2.3.9: only with the action "delayed".
    if kind is Kind.DELAY and will_retry_until is not None:
        lines.append(field("Will-Retry-Until", date(will_retry_until)))
    return "".join(lines)


def _typed(address: Address, *, native: bool) -> str:
    """The address with its type; RFC 6533 3: one beyond ASCII is utf-8, in 7 bit as utf-8-addr-xtext."""
    plain = address.with_ascii_domain()
    if plain.ascii:
        return f"rfc822; {plain}"
    return f"utf-8; {address if native else _embedded(str(address))}"


def _original_recipient(orcpt: str | None, *, native: bool) -> str | None:
    """ORCPT as `type; address`, decoded (RFC 3461 4.2, RFC 6533 3); None where it was not given, or not well."""
    kind, semicolon, address = (orcpt or "").partition(";")
    if not semicolon or not kind.strip() or not address.strip():
        return None
    if kind.lower() != "utf-8":
        return f"{kind}; {_xtext_decoded(address)}"
    unicode = _EMBEDDED.sub(_character, address)
    return f"utf-8; {unicode if native else _embedded(unicode)}"


def _character(found: re.Match[str]) -> str:
    point = int(found[1], 16)
    return found[0] if point > 0x10FFFF or 0xD800 <= point < 0xE000 else chr(point)


def _embedded(address: str) -> str:
    return _QCHAR.sub(lambda found: f"\\x{{{ord(found[0]):02X}}}", address)


def _xtext_decoded(text: str) -> str:
    """RFC 3461 4: `+2B` is `+`."""
    octets = _HEXCHAR.sub(lambda found: bytes([int(found[1], 16)]), text.encode("utf-8", "replace"))
    return octets.decode("utf-8", "replace")


def _mta_name(host: str) -> str:
    """RFC 3464 2.1.2 and RFC 1123: an address stands in brackets where a name should be."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return f"[{address}]" if address.version == 4 else f"[IPv6:{address}]"


# What of the message goes back.


def _returned(kind: Kind, message: Message, original: bytes, *, native: bool) -> Part | None:
    """What of the message goes back: all of it for a failure with RET=FULL, else its header (RFC 3461 4.3)."""
    if not original:
        return None
    header = original[: header_end(original)]
    whole = kind is Kind.FAILURE and message.ret is Ret.FULL and len(original) <= RETURN_CAP
    whole = whole and lines_fit(original)
    international = not header.isascii() and _is_utf8(header)
    if not whole:
        media_type = "message/global-headers" if international else "text/rfc822-headers"
        return text_part(media_type, "Header of your message", header, eight_bit=native)
    # RFC 2046 5.2.1: message/rfc822 is never encoded. RFC 6532 3.7: message/global may be.
    if not international:
        return Part("message/rfc822", "Your message", "7bit" if original.isascii() else "8bit", original)
    if native:
        return Part("message/global", "Your message", "8bit", original)
    encoded = base64.encodebytes(original).replace(b"\n", b"\r\n")
    return Part("message/global", "Your message", "base64", encoded)


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _in_reply_to(message_id: str) -> list[str]:
    """RFC 3834 3.1.6: where the original has a Message-ID that can be repeated, the notice names it."""
    if not re.fullmatch(r"<?[!-;=?-~]{1,900}>?", message_id):
        return []
    return [field("In-Reply-To", f"<{message_id.strip('<>')}>")]


def _encoded_words(text: str) -> str:
    """RFC 2047: a subject beyond ASCII as words of 75 characters at most."""
    return (
        text
        if text.isascii()
        else Header(text, "utf-8", header_name="Subject", maxlinelen=75).encode().replace("\n", "")
    )
