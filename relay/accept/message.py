"""Makes a Message with its Deliveries of what a client sent: an envelope, a header that was read, octets. Pure.

Our lines stand on top, Bcc is gone, all other octets are as they came (line ends are settled).
Standards: RFC 6409 8 (what a submission server may add), RFC 5321 4.4 (trace), RFC 5322 3.6.3 (Bcc).
"""

from collections.abc import Iterable

from relay import controls
from relay.accept import headers, trace
from relay.accept.trace import Client
from relay.address import Address
from relay.controls import Wishes
from relay.credential import Credential
from relay.delivery import Delivery
from relay.envelope import NO_METADATA, Envelope, Message, Role
from relay.store.accepted import Accepted


def make(
    client: Client,
    envelope: Envelope,
    head: headers.Head,
    content: bytes,
    *,
    queue_id: str,
    now: float,
    hostname: str,
    hide_client: bool,
) -> Accepted:
    """What is to be kept. `head` is that of `content`; `now` in Unix seconds."""
    only = envelope.recipients[0].address if len(envelope.recipients) == 1 else None
    top = trace.received(
        client,
        hostname=hostname,
        queue_id=queue_id,
        recipient=only,
        now=now,
        smtputf8=envelope.smtputf8,
        hide_client=hide_client,
    )
    message_id = head.message_id
    if not message_id:
        message_id = trace.message_id(hostname, queue_id)
        top += f"Message-ID: {message_id}\r\n"
    if not head.dated:
        top += f"Date: {trace.date(int(now))}\r\n"
    wishes = _wishes(head, client.credential)
    kept = b"".join(_pieces(top.encode("utf-8"), head, content))
    message = Message(
        queue_id=queue_id,
        received_at=now,
        reverse_path=envelope.reverse_path,
        size=len(kept),
        sender=_sender(head, envelope.reverse_path),
        subject=headers.text(head.subject, headers.MAX_SUBJECT) if head.subject else "",
        message_id=headers.text(message_id.encode("utf-8", "surrogateescape"), headers.MAX_SUBJECT),
        ret=envelope.ret,
        envid=envelope.envid,
        eight_bit=envelope.eight_bit,
        smtputf8=envelope.smtputf8,
        tag=_tag(head, client.credential),
        metadata=headers.metadata(head.metadata) if head.metadata else NO_METADATA,
        credential=client.credential.name if client.credential else None,
        client_ip=client.ip,
        track_opens=wishes.opens is not False,
        track_clicks=wishes.clicks is not False,
        unsubscribe=wishes.unsubscribe is True,
    )
    return Accepted(message, _deliveries(message, envelope, _roles(envelope, head)), kept)


def _deliveries(message: Message, envelope: Envelope, roles: list[Role]) -> tuple[Delivery, ...]:
    return tuple(
        Delivery(
            message=message,
            number=number,
            recipient=recipient.address,
            role=role,
            destination=recipient.address.destination,
            notify=recipient.notify,
            orcpt=recipient.orcpt,
        )
        for number, (recipient, role) in enumerate(zip(envelope.recipients, roles, strict=True))
    )


def _pieces(top: bytes, head: headers.Head, content: bytes) -> Iterable[bytes]:
    """Our lines, the header without what is dropped, an empty line where it lacked, the rest."""
    yield top
    position = 0
    for start, end in head.dropped:
        yield content[position:start]
        position = end
    if head.separated:
        yield content[position:] if position else content
    else:
        yield content[position : head.end]
        yield b"\r\n"
        yield content[head.end :]


def _roles(envelope: Envelope, head: headers.Head) -> list[Role]:
    """Where the header names each recipient; what it does not name is a blind copy."""
    named: dict[str, Role] = {}
    for role, values in ((Role.CC, head.cc), (Role.TO, head.to)):
        for value in values:
            for address in headers.addresses(value):
                named[address.lower()] = role
    if not all(recipient.address.ascii for recipient in envelope.recipients):
        named |= {_comparable(address): role for address, role in named.items()}
        return [named.get(_comparable(str(recipient.address).lower()), Role.BCC) for recipient in envelope.recipients]
    return [named.get(str(recipient.address).lower(), Role.BCC) for recipient in envelope.recipients]


def _comparable(address: str) -> str:
    """With its domain in A-labels: the envelope may have them where the header has not."""
    local, _, domain = address.rpartition("@")
    return f"{local}@{Address(local, domain).destination}"


def _sender(head: headers.Head, reverse_path: Address | None) -> str:
    for value in head.senders:
        for address in headers.addresses(value):
            return headers.text(address.encode("utf-8", "surrogateescape"), 320)
    return str(reverse_path or "")


def _wishes(head: headers.Head, credential: Credential | None) -> Wishes:
    """What message and credential ask for together."""
    said = controls.read(head.controls) if head.controls else controls.SILENCE
    if credential is None:
        return said
    return said & Wishes(credential.track_opens, credential.track_clicks, credential.unsubscribe)


def _tag(head: headers.Head, credential: Credential | None) -> str | None:
    field = head.tag or head.foreign_tag
    own = headers.text(field, headers.MAX_TAG) if field else ""
    return own or (credential.tag if credential else None)
