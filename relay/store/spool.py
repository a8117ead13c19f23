"""The message's way through the store: accept, claim, spooled, settle.

Each is one commit, shared with whatever else waits (`group.py`). Claiming spends the
attempt and moves the next time past a lease in the same commit, so a process that dies
leaves work that comes due by itself; there is no recovery. Raises StoreUnavailable when
the database cannot be written now; nothing of the call is then kept.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass

from relay.delivery import Attempt, Delivery, Made, Status, Verdict
from relay.envelope import Message
from relay.event import Event, Refusal
from relay.store import rows
from relay.store.accepted import Accepted
from relay.store.engine import Engine, Row, Statement
from relay.store.group import Group, LateWrite, Rows, Write
from relay.store.listing import Listing, statements

PAGES_AT_ONCE = 4  # content pages in one read: a megabyte


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one attempt decided, all of it in one commit.

    `due_at` is the next attempt (Unix seconds) of a deferred delivery. `spooled_at` is set
    when the copy was made and `spooled` is not yet recorded. `notices` are our DSNs. `copy` says what
    was made for this attempt; None: no copy was. `listing` comes to the suppression list, `spam` says who marks the
    delivery as spam, and `about_mailbox` counts a soft bounce against the mailbox.
    """

    delivery: Delivery
    attempt: Attempt
    verdict: Verdict
    due_at: float | None = None
    spooled_at: float | None = None
    warned: bool = False
    notices: tuple[Accepted, ...] = ()
    copy: Made | None = None
    listing: Listing | None = None
    spam: str = ""
    about_mailbox: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """`late`: the claim had lapsed and nothing was written. `finished`: the message has nothing left to decide."""

    late: bool = False
    finished: bool = False


class Spool:
    """The hot path. Times are Unix seconds by the database's clock."""

    def __init__(
        self, engine: Engine, group: Group, *, lease: float, keep_content: bool, plus_labels: bool = True
    ) -> None:
        self.engine = engine
        self.group = group
        self.lease = lease
        self._keep_content = keep_content
        self._plus_labels = plus_labels

    def _write(
        self,
        named: Mapping[str, Rows] | None = None,
        contents: Sequence[tuple[str, bytes]] = (),
        own: Sequence[Statement] = (),
    ) -> "asyncio.Future[list[list[Row]]]":
        return self.group.add(Write(asyncio.get_running_loop().create_future(), named or {}, contents, own))

    async def accept(self, accepted: Accepted, *, claimed: bool) -> None:
        """Keep a message; after this it is safe. `claimed`: its deliveries are in the caller's hand from the start."""
        await self._write(self._accept_rows(accepted, claimed), [(accepted.message.queue_id, accepted.content)])

    def _accept_rows(self, accepted: Accepted, claimed: bool) -> dict[str, Rows]:
        message = accepted.message
        now = self.engine.now()
        due_at = now + self.lease if claimed else now
        return {
            "accept_messages": [rows.message_row(message)],
            "accept_deliveries": [
                rows.delivery_row(d, due_at=due_at, attempts=int(claimed)) for d in accepted.deliveries
            ],
            "add_events": [
                rows.event_row(Event(message.received_at, d.status, message.queue_id, d.number))
                for d in accepted.deliveries
            ],
            "add_work": [{"destination": d.destination, "next_at": due_at} for d in accepted.deliveries],
        }

    async def due(self, *, busy: Iterable[str], limit: int) -> list[str]:
        """Destinations that have work due now, the longest waiting first; `busy` ones are left out."""
        found = await self.engine.read(
            "due_destinations", {"now": self.engine.now(), "busy": rows.to_json(list(busy)), "limit": limit}
        )
        return [row["destination"] for row in found]

    async def claim(self, room: Mapping[str, int]) -> list[Delivery]:
        """Take up to `room[destination]` due deliveries of each destination in hand, the longest due first.

        For a hundred destinations it takes no more statements than for one.
        """
        now = self.engine.now()
        wanted = rows.to_json([{"destination": name, "room": limit} for name, limit in room.items()])
        where = {"rows": wanted, "now": now}
        own = [
            Statement("claim_deliveries", where | {"until": now + self.lease}),
            Statement("next_work", where),
            Statement("no_work", where),
        ]
        claimed, _, _ = await self._write(own=own)
        messages = await self._messages({row["queue_id"] for row in claimed})
        return [rows.delivery_from(row, messages[row["queue_id"]]) for row in claimed]

    async def _messages(self, queue_ids: Iterable[str]) -> dict[str, Message]:
        found = await self.engine.read("messages", {"queue_ids": rows.to_json(list(queue_ids))})
        return {row["queue_id"]: rows.message_from(row) for row in found}

    async def renew(self, deliveries: Sequence[Delivery]) -> None:
        """Hold on to claims for another lease."""
        until = self.engine.now() + self.lease
        await self._write(
            own=[Statement("renew_claims", {"rows": rows.to_json(rows.names(deliveries)), "until": until})]
        )

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give claims back untried; they are due now."""
        now = self.engine.now()
        work = [{"destination": d.destination, "next_at": now} for d in deliveries]
        own = [Statement("release_claims", {"rows": rows.to_json(rows.names(deliveries)), "now": now})]
        await self._write({"add_work": work}, own=own)

    async def stopped(self, deliveries: Sequence[Delivery]) -> set[tuple[str, int]]:
        """Those of these claims that were held, cancelled or suppressed meanwhile: queue id and number."""
        found = await self.engine.read("stopped_claims", {"rows": rows.to_json(rows.names(deliveries))})
        return {(row["queue_id"], row["number"]) for row in found}

    async def spooled(self, deliveries: Sequence[Delivery], at: float) -> None:
        """Record that the copies of these are made and wait for a connection."""
        marks = [rows.name_row(d) | {"at": at} for d in deliveries]
        events = [rows.event_row(Event(at, Status.SPOOLED, d.message.queue_id, d.number)) for d in deliveries]
        await self._write({"spool_deliveries": marks, "add_events": events})

    def settle(self, settlement: Settlement) -> "asyncio.Future[list[list[Row]]]":
        """Record an attempt and what it decided, with its event and its notices, in one commit.

        Nobody need wait for it: the future ends after the commit, and `settled` reads it.
        """
        delivery, attempt, verdict = settlement.delivery, settlement.attempt, settlement.verdict
        queue_id, number = delivery.message.queue_id, delivery.number
        events = [Event(attempt.finished_at, verdict.status, queue_id, number, detail=_detail(settlement))]
        if settlement.spooled_at is not None:
            events.insert(0, Event(settlement.spooled_at, Status.SPOOLED, queue_id, number))
        if settlement.spam:
            events.append(marked_as_spam(queue_id, number, attempt.finished_at, settlement.spam))
        due_at = settlement.due_at
        named: dict[str, Rows] = {
            "settle_deliveries": [
                rows.settled_row(
                    delivery, attempt, verdict, due_at=due_at, warned=settlement.warned, made=settlement.copy
                )
            ],
            # What is rejected was never tried.
            "add_attempts": [] if verdict.status is Status.REJECTED else [rows.attempt_row(delivery, attempt, verdict)],
            "add_events": [rows.event_row(event) for event in events],
        }
        if due_at is not None:
            named["add_work"] = [{"destination": delivery.destination, "next_at": due_at}]
        elif not self._keep_content:
            named["drop_contents"] = [{"queue_id": queue_id}]
        if settlement.spam:
            named["mark_wishes"] = [rows.spam_row(queue_id, number, attempt.finished_at, settlement.spam)]
        if settlement.about_mailbox:
            named["mark_soft_bounces"] = [{"queue_id": queue_id, "number": number}]
        listings = [settlement.listing] if settlement.listing else []
        own = statements(listings, actor="relay", now=attempt.finished_at)
        return self._write(*self._with_notices(named, settlement.notices), own)

    def _with_notices(
        self, named: dict[str, Rows], notices: Sequence[Accepted]
    ) -> tuple[dict[str, Rows], list[tuple[str, bytes]]]:
        """The rows and the contents of a write that accepts `notices` with what it is about."""
        for notice in notices:
            for name, more in self._accept_rows(notice, False).items():
                named[name] = named.get(name, []) + more
        return named, [(notice.message.queue_id, notice.content) for notice in notices]

    @staticmethod
    def settled(written: "asyncio.Future[list[list[Row]]]") -> Settled:
        """What came of `settle`, once its future has ended. Raises StoreUnavailable."""
        try:
            finished = written.result()
        except LateWrite:
            return Settled(late=True)
        return Settled(finished=any(finished))

    async def content(self, queue_id: str) -> bytes | None:
        """The content of a message; None when it is no longer kept."""
        pages = [page async for page in self.content_pages(queue_id)]
        return b"".join(pages) if pages else None

    async def contents(self, queue_ids: Sequence[str]) -> dict[str, bytes]:
        """The contents of small messages (of one page) in one look; those that are no longer kept are missing."""
        found = await self.engine.read("first_pages", {"queue_ids": rows.to_json(queue_ids)}) if queue_ids else []
        return {row["queue_id"]: row["bytes"] for row in found}

    async def content_pages(self, queue_id: str) -> AsyncIterator[bytes]:
        """The content in pages of at most a quarter of a megabyte."""
        page = 0
        while True:
            found = await self.engine.read(
                "content_pages", {"queue_id": queue_id, "page": page, "limit": PAGES_AT_ONCE}
            )
            for row in found:
                yield row["bytes"]
            if len(found) < PAGES_AT_ONCE:
                return
            page += PAGES_AT_ONCE

    async def block(self, destination: str, *, now: float, until: float, reason: str) -> None:
        """No host of the destination answered: nobody tries it before `until`; one that is blocked already stays so."""
        params = {"destination": destination, "now": now, "until": until, "reason": reason}
        await self._write(own=[Statement("block_destination", params)])

    async def unblock(self, destination: str) -> None:
        """A host of the destination answered again."""
        await self._write(own=[Statement("unblock_destination", {"destination": destination})])

    async def failures(self, destination: str) -> int:
        """How often in a row no host of the destination answered."""
        found = await self.engine.read("failures", {"destination": destination})
        return int(found[0]["failures"]) if found else 0

    def refusal_write(self, refusal: Refusal) -> "asyncio.Future[list[list[Row]]]":
        """Queue what we said no to; the future ends when it is kept."""
        return self._write({"add_refusals": [rows.refusal_row(refusal)]})


def marked_as_spam(queue_id: str, number: int, at: float, source: str) -> Event:
    """The event of the mark that no recipient has set; `source` says who has."""
    return Event(at, "spam", queue_id, number, detail={"source": source})


def _detail(settlement: Settlement) -> dict[str, object]:
    verdict, attempt = settlement.verdict, settlement.attempt
    detail: dict[str, object] = {"attempt": settlement.delivery.attempt, "dsn": verdict.dsn, "reason": verdict.reason}
    if verdict.reply:
        detail["smtp_code"] = verdict.reply.code
    if verdict.reason_class:
        detail["class"] = verdict.reason_class
    if attempt.mx_host:
        detail |= {"mx_host": attempt.mx_host, "mx_ip": attempt.mx_ip}
    if settlement.due_at is not None:
        detail["next_attempt_at"] = settlement.due_at
    return detail
