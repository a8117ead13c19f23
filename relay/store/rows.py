"""Values to rows and back: which field is which column.

Here is what several rooms of the store need: messages, deliveries, attempts, events, refusals and
entries of the suppression list, and how rows are written as JSON. Credentials, signing keys and
visits are the business of one room each, and are turned there.
"""

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import orjson

from relay.address import Address, parse_address
from relay.delivery import Attempt, Delivery, Line, Made, Status, Verdict
from relay.envelope import Message, Notify, Origin, Ret, Role
from relay.event import Event, Refusal
from relay.store.engine import Row
from suppression.entry import Entry

Json = dict[str, Any]


def to_json(value: object) -> str:
    """JSON text for a statement's parameter; what is no Unicode text becomes "?"."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()


def detail_text(detail: Json) -> str:
    """The JSON of an event's detail, in which strangers may have a say: PostgreSQL reads no NUL in JSON."""
    return to_json(detail).replace("\\u0000", "\\ufffd")


def message_row(message: Message) -> Json:
    """A row of `messages`."""
    return {
        "queue_id": message.queue_id,
        "received_at": message.received_at,
        "origin": message.origin,
        "reverse_path": str(message.reverse_path or ""),
        "sender": message.sender,
        "sender_domain": message.sender.rpartition("@")[2].lower(),
        "subject": message.subject,
        "message_id": message.message_id,
        "size": message.size,
        "ret": message.ret,
        "envid": message.envid,
        "eight_bit": int(message.eight_bit),
        "smtputf8": int(message.smtputf8),
        "tag": message.tag,
        "metadata": json.dumps(dict(message.metadata)) if message.metadata else None,
        "credential": message.credential,
        "client_ip": message.client_ip,
        "track_opens": int(message.track_opens),
        "track_clicks": int(message.track_clicks),
        "unsubscribe": int(message.unsubscribe),
    }


def message_from(row: Row) -> Message:
    """The value of a row of `messages`."""
    return Message(
        queue_id=row["queue_id"],
        received_at=row["received_at"],
        reverse_path=address_from(row["reverse_path"]) if row["reverse_path"] else None,
        size=row["size"],
        sender=row["sender"],
        subject=row["subject"],
        message_id=row["message_id"],
        origin=Origin(row["origin"]),
        ret=Ret(row["ret"]) if row["ret"] else None,
        envid=row["envid"],
        eight_bit=bool(row["eight_bit"]),
        smtputf8=bool(row["smtputf8"]),
        tag=row["tag"],
        metadata=json.loads(row["metadata"]) if row["metadata"] else {},
        credential=row["credential"],
        client_ip=row["client_ip"],
        track_opens=bool(row["track_opens"]),
        track_clicks=bool(row["track_clicks"]),
        unsubscribe=bool(row["unsubscribe"]),
    )


def delivery_row(delivery: Delivery, *, due_at: float, attempts: int) -> Json:
    """A new row of `deliveries`."""
    return {
        "queue_id": delivery.message.queue_id,
        "number": delivery.number,
        "recipient": str(delivery.recipient),
        "role": delivery.role,
        "destination": delivery.destination,
        "notify": ",".join(sorted(delivery.notify)),
        "orcpt": delivery.orcpt,
        "status": delivery.status,
        "status_at": delivery.message.received_at,
        "due_at": due_at,
        "attempts": attempts,
    }


def delivery_from(row: Row, message: Message) -> Delivery:
    """The delivery that a claim's row names."""
    return Delivery(
        message=message,
        number=row["number"],
        recipient=address_from(row["recipient"]),
        role=Role(row["role"]),
        destination=row["destination"],
        status=Status(row["status"]),
        attempt=row["attempts"],
        notify=frozenset(Notify(word) for word in row["notify"].split(",") if word),
        orcpt=row["orcpt"],
        warned=bool(row["warned"]),
    )


@lru_cache(maxsize=4096)
def address_from(text: str) -> Address:
    """An address as we wrote it ourselves; the same ones come again and again."""
    return parse_address(text)


def name_row(delivery: Delivery) -> Json:
    """What names a delivery in hand: an answer to another attempt matches nothing."""
    return {"queue_id": delivery.message.queue_id, "number": delivery.number, "attempt": delivery.attempt}


def settled_row(
    delivery: Delivery, attempt: Attempt, verdict: Verdict, *, due_at: float | None, warned: bool, made: Made | None
) -> Json:
    """What settling changes in `deliveries`; without a copy what is known of the last one stays."""
    copy = {"trackable": int(made.trackable), "links": made.links, "copy_note": made.note} if made else {}
    return name_row(delivery) | {
        "status": verdict.status,
        "status_at": attempt.finished_at,
        "due_at": due_at,
        "delivered_at": attempt.finished_at if verdict.status is Status.SENT else None,
        "reason_class": verdict.reason_class,
        "smtp_code": verdict.reply.code if verdict.reply else None,
        "dsn": verdict.dsn,
        "reason": verdict.reason,
        "mx_host": attempt.mx_host,
        "mx_ip": attempt.mx_ip,
        "warned": int(warned),
        **copy,
    }


def attempt_row(delivery: Delivery, attempt: Attempt, verdict: Verdict) -> Json:
    """A row of `tries`."""
    return name_row(delivery) | {
        "started_at": attempt.started_at,
        "finished_at": attempt.finished_at,
        "outcome": verdict.status,
        "reason_class": verdict.reason_class,
        "mx_host": attempt.mx_host,
        "mx_ip": attempt.mx_ip,
        "mx_port": attempt.mx_port,
        "source_ip": attempt.source_ip,
        "tls": attempt.tls,
        "smtp_code": verdict.reply.code if verdict.reply else None,
        "dsn": verdict.dsn,
        "reply": verdict.reason,
        "in_reply_to": attempt.in_reply_to,
        "ms_queue": attempt.ms_queue,
        "ms_dns": attempt.ms_dns,
        "ms_connect": attempt.ms_connect,
        "ms_tls": attempt.ms_tls,
        "ms_data": attempt.ms_data,
        "transcript": transcript_text(attempt.transcript),
    }


def transcript_text(lines: Iterable[Line]) -> str:
    """A conversation as it is kept: a line per line, `612 S 220 mx.example.net ESMTP`."""
    return "\n".join([f"{line.ms} {line.who} {line.text}" for line in lines])


def transcript_from(text: str) -> list[Line]:
    """The conversation that `transcript_text` wrote."""
    return [Line(int(ms), who, words) for ms, who, words in (line.split(" ", 2) for line in text.split("\n") if line)]


def event_row(event: Event) -> Json:
    """A row of `happenings`."""
    return {
        "at": event.at,
        "event": event.event,
        "queue_id": event.queue_id,
        "number": event.number,
        "actor": event.actor,
        "detail": json.dumps(dict(event.detail)) if event.detail else None,
    }


def refusal_row(refusal: Refusal) -> Json:
    """A row of `refusals`."""
    return {name: getattr(refusal, name) for name in Refusal.__slots__}


def spam_row(queue_id: str, number: int, at: float, source: str) -> Json:
    """A row of `marks` that says who marked a delivery as spam, and when."""
    return {"queue_id": queue_id, "number": number, "unsubscribed_at": None, "complained_at": at, "spam_source": source}


_ENTRY = ("address", "scope", "reason", "source", "expires_at", "queue_id", "number", "reply", "note")


def entry_row(entry: Entry) -> Json:
    """A row of `suppression_list`."""
    return {name: getattr(entry, name) for name in _ENTRY} | {"added_at": entry.since}


def entry_from(row: Row) -> Entry:
    """The value of a row of `suppression_list`."""
    return Entry(since=row["added_at"], **{name: row[name] for name in _ENTRY})


def names_json(rows: Iterable[Json]) -> str:
    """Which deliveries these are, each once, and no more: many statements only need to know that."""
    named = {(row["queue_id"], row["number"]): None for row in rows}
    return to_json([{"queue_id": queue_id, "number": number} for queue_id, number in named])


def names(deliveries: Sequence[Delivery]) -> list[Json]:
    """`name_row` of each."""
    return [name_row(delivery) for delivery in deliveries]
