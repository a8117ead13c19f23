"""Writes the lines that we put on top of a message: Received, and Message-ID and Date where they lack.

Pure, but for what is random in a Message-ID.

Standards: RFC 5321 4.4 (Received), RFC 3848 and RFC 6531 4.3 (the words after "with"),
RFC 5322 3.3 (dates) and 3.6.4 (message identifiers).
"""

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache

from relay.address import Address
from relay.credential import Credential

_UNSAFE = re.compile(r"[^A-Za-z0-9.:_\[\]-]")


@dataclass(frozen=True, slots=True)
class Client:
    """Who hands us a message: what a session knows by the time of MAIL. `tls` is "TLSv1.3 TLS_AES_256_GCM_SHA384"."""

    ip: str
    helo: str = ""
    extended: bool = False  # EHLO rather than HELO
    tls: str | None = None
    credential: Credential | None = None
    mechanism: str | None = None  # of its login
    trusted: bool = False  # it comes from trusted_networks

    @property
    def protocol(self) -> str:
        """RFC 3848: SMTP, ESMTP, ESMTPS, ESMTPA or ESMTPSA."""
        if not self.extended:
            return "SMTP"
        return "ESMTP" + ("S" if self.tls else "") + ("A" if self.credential else "")


def received(
    client: Client,
    *,
    hostname: str,
    queue_id: str,
    recipient: Address | None,
    now: float,
    smtputf8: bool,
    hide_client: bool,
) -> str:
    """Our Received field, CRLF included.

    `recipient` is the only one, or None: more than one in "for" would tell each of the others.
    `hide_client` leaves out where the message came from, which is often a person's home.
    """
    # RFC 6531 4.3: UTF8SMTP takes the place of ESMTP.
    protocol = client.protocol.replace("ESMTP", "UTF8SMTP") if smtputf8 else client.protocol
    lines = []
    if not hide_client:
        ip = f"IPv6:{client.ip}" if ":" in client.ip else client.ip
        lines.append(f"from {_UNSAFE.sub('?', client.helo)} ([{ip}])")
        if client.tls:
            lines.append(f"(using {client.tls.replace(' ', ' with cipher ', 1)})")
    lines.append(f"by {hostname} (Mailtrail) with {protocol} id {queue_id}")
    # RFC 6531 3.2: with its domain in A-labels it can pass servers without SMTPUTF8, and so can the message.
    if recipient and (smtputf8 or recipient.ascii):
        lines.append(f"for <{recipient if not recipient.local.isascii() else recipient.with_ascii_domain()}>")
    return "Received: " + "\r\n\t".join(lines) + f"; {date(int(now))}\r\n"


@lru_cache(maxsize=8)
def date(second: int) -> str:
    """RFC 5322 3.3: `Sat, 21 Nov 2026 09:14:02 +0000`."""
    return format_datetime(datetime.fromtimestamp(second, UTC))


def message_id(hostname: str, queue_id: str) -> str:
    """RFC 5322 3.6.4: unique because our queue ids are; and nobody guesses it: who names it has seen the message."""
    return f"<{queue_id}.{secrets.token_hex(8)}@{hostname.strip('[]')}>"
