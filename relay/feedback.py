"""What comes back by mail, acted on: a bounce finds its delivery, a complaint its recipient; all else is for people.

It asks `suppression` what a report says and means, the store which delivery it is about, and has what follows kept. It
takes no connections (`accept/inbound.py` does) and answers nobody.

What a server tells of a delivery goes on to the message's sender as a notice of ours, as far as he asked
(`late_notice.py`).

Rules. The address says whose report it is, never the text: whoever writes to us can harm no address but the one whose
token he holds. A report to another address (a feedback loop's) is about the delivery whose token stands in the header
that it brings back; without one it must name a message that was sent to the address it names and to nobody else, for
all who have a message know its Message-ID. Only `sent` can bounce late; the same report once more changes nothing. What
is delayed, delivered or passed on is an event and no more; so is an automatic answer. Ordinary mail is forwarded with
the null reverse-path, or dropped; nobody is told about a notice: nothing goes in circles.
Standards: RFC 3464, RFC 5965, RFC 3834, RFC 2369 3.2, RFC 5321 4.5.5.
Fails with `StoreUnavailable`, and with `TooEarly` for a bounce that overtook the 250 of its own delivery: 4yz, and the
sender comes again.
"""

import asyncio
import re
from collections.abc import Callable
from functools import partial

from relay import late_notice, return_path
from relay.accept import headers
from relay.accept.letter import Letter, TooEarly, forwarded
from relay.address import Address, parse_address
from relay.config import Config
from relay.deliver import returned
from relay.deliver.aftermath import End, aftermath
from relay.delivery import Verdict
from relay.envelope import Origin
from relay.event import Event
from relay.log import Log
from relay.queue_id import QueueIds
from relay.return_path import Own, Use
from relay.store import Accepted, Store
from relay.store.returned import Late, Sent
from relay.store.suppressions import RECIPIENT
from suppression.entry import Entry
from suppression.feedback_report import is_complaint
from suppression.found import Action, Recipient, Report
from suppression.report import parse
from tracker.token import Keyring, Purpose

LARGE = 64 * 1024  # octets of a letter that is read in a thread
MOST_TOKENS = 20  # in the header of an enclosed message that are tried
_FIELD = return_path.FIELD.lower()
_IN_URL = re.compile(r"/u/([A-Za-z0-9_-]{30,60})(?![A-Za-z0-9_-])")


class Feedback:
    """One per worker. `keyring` gives the keys of the moment."""

    def __init__(
        self, store: Store, config: Config, keyring: Callable[[], Keyring], log: Log, queue_ids: QueueIds
    ) -> None:
        self._store = store
        self._config = config
        self._keyring = keyring
        self._log = log
        self._queue_ids = queue_ids
        domain = re.escape(config.inbound.bounce_domain)
        self._in_address = re.compile(rf"\b([bu]-[a-z2-7]{{30,48}})@{domain}(?![\w.-])", re.IGNORECASE)

    async def take(self, letter: Letter, recipient: Address, own: Own) -> None:
        """Act on a letter to an address of ours; what it changes is committed when this returns."""
        # 1. Letters to people: on to them, unread.
        # 2. A request to unsubscribe is one whoever sends it, and whatever it says.
        # 3. Read it: a complaint, a bounce, an automatic answer; or mail after all.
        if own.use is Use.PEOPLE:
            await self._pass_on(letter, recipient)
        elif own.use is Use.UNSUBSCRIBE:
            await self._unsubscribe(letter, recipient, own)
        else:
            report = await self._read(letter)
            if report.kind == "feedback":
                await self._complaint(letter, recipient, own, report)
            elif report.kind == "bounce":
                await self._bounce(letter, recipient, own, report)
            elif report.kind == "vacation":
                await self._automatic(letter, recipient, own)
            else:
                await self._pass_on(letter, recipient)

    @staticmethod
    async def _read(letter: Letter) -> Report:
        # RFC 5321 4.4: the reverse-path stands on top of what is delivered. That it is null says much about a letter.
        content = f"Return-Path: <{letter.reverse_path or ''}>\r\n".encode() + letter.content
        return parse(content) if len(content) <= LARGE else await asyncio.to_thread(parse, content)

    # --- what it says ----------------------------------------------------------------------------------------

    async def _unsubscribe(self, letter: Letter, recipient: Address, own: Own) -> None:
        """Stop what the mail was: its tag, or all mail where it had none."""
        known = await self._store.delivery(own.queue_id, own.number)
        if known is None:
            self._tell(letter, recipient, "unsubscribe", own, "the delivery is not kept any more")
            return
        entry = Entry(known.recipient, known.tag, "unsubscribe", "mail", self._store.engine.now())
        await self._store.suppress(
            entry,
            actor=RECIPIENT,
            delivery=(known.queue_id, known.number),
            detail={"how": "mail", "ip": letter.client.ip, "agent": ""},
        )
        self._tell(letter, recipient, "unsubscribe", known, f'unsubscribed from "{known.tag}"' if known.tag else "")

    async def _complaint(self, letter: Letter, recipient: Address, own: Own, report: Report) -> None:
        """Mark the delivery as spam and mail the address no more."""
        if not is_complaint(report.feedback_type):
            self._tell(letter, recipient, "feedback", own, f"{report.feedback_type} is no complaint")
            return
        found = [known for known in await self._deliveries(own, report) if known.delivered]
        if not found:
            self._tell(letter, recipient, "complaint", own, "about no delivery of ours")
        seconds = self._config.suppression.complaint_expiry
        for known in found:
            now = self._store.engine.now()
            expires_at = now + seconds if seconds else None
            entry = Entry(known.recipient, "", "complaint", "feedback report", now, expires_at)
            said = {"feedback_type": report.feedback_type, "reporter": report.reporter}
            await self._store.suppress(entry, actor=RECIPIENT, delivery=(known.queue_id, known.number), detail=said)
            self._tell(letter, recipient, "complaint", known, report.feedback_type)

    async def _bounce(self, letter: Letter, recipient: Address, own: Own, report: Report) -> None:
        """What was sent has bounced after all, or a server only tells how far it is."""
        told = False
        for one, known in await self._bounced(own, report):
            told = True
            if known is None:
                self._tell(letter, recipient, "bounce", own, f"about no delivery of ours: {one.diagnostic}")
            elif one.action != "failed":
                await self._progress(letter, recipient, known, report, one)
            else:
                await self._late(letter, recipient, known, report, one)
        if not told:
            self._tell(letter, recipient, "bounce", own, "names nobody")

    async def _late(self, letter: Letter, recipient: Address, known: Sent, report: Report, one: Recipient) -> None:
        settings, name = self._config.suppression, (known.queue_id, known.number)
        verdict, judged = returned.verdict(one, inactive=settings.inactive, ours=(self._config.hostname,))
        end = End(*name, known.recipient, self._store.engine.now(), verdict, judged, "dsn")
        notices = await self._notices(name, "failed", verdict)
        after = await aftermath(end, settings, partial(self._store.soft_bounce_days, apart_from=name))
        became = await self._store.late_bounce(
            *name,
            verdict,
            entry=after.entry,
            spam=after.spam,
            about_mailbox=after.about_mailbox,
            detail=_said(report, one) | {"rule": judged.rule},
            notices=notices,
        )
        if became is Late.TOO_EARLY:
            raise TooEarly
        if became is not Late.DONE:
            self._tell(letter, recipient, verdict.status.value, known, f"nothing changes: {became.value}")
            return
        self._tell(letter, recipient, verdict.status.value, known, verdict.reason)
        self._told_on(notices)
        if entry := after.entry:
            fields = {"reason": entry.reason, "source": entry.source}
            self._log.suppression("suppression_add", known.queue_id, "relay", entry.address, entry.scope, **fields)

    async def _automatic(self, letter: Letter, recipient: Address, own: Own) -> None:
        known = await self._store.delivery(own.queue_id, own.number) if own.queue_id else None
        if known:
            subject = headers.text(letter.head.subject, headers.MAX_SUBJECT) if letter.head.subject else ""
            detail = {"subject": subject}
            await self._store.happened(
                Event(self._store.engine.now(), "auto_reply", known.queue_id, known.number, detail=detail)
            )
        self._tell(letter, recipient, "auto-reply", known or own, "")

    async def _progress(self, letter: Letter, recipient: Address, known: Sent, report: Report, one: Recipient) -> None:
        """How far it is: an event, and the first time a notice for who asked for it."""
        name, event = (known.queue_id, known.number), f"reported_{one.action}"
        notices: tuple[Accepted, ...] = ()
        if not await self._store.has_happened(event, *name):
            notices = await self._notices(name, one.action, late_notice.progress(one))
        await self._store.happened(Event(self._store.engine.now(), event, *name, detail=_said(report, one)), notices)
        self._tell(letter, recipient, "bounce", known, f"{one.action}: {one.diagnostic}")
        self._told_on(notices)

    async def _notices(self, name: tuple[str, int], action: Action, verdict: Verdict) -> tuple[Accepted, ...]:
        return await late_notice.notices(self._store, self._queue_ids, self._config.hostname, name, action, verdict)

    def _told_on(self, notices: tuple[Accepted, ...]) -> None:
        for notice in notices:
            self._log.queued(notice.message.queue_id, None, notice.message.size, 1)

    # --- whose it is -----------------------------------------------------------------------------------------

    async def _bounced(self, own: Own, report: Report) -> list[tuple[Recipient, Sent | None]]:
        """Each recipient of a bounce with its delivery. Where a token says the delivery, it alone is meant."""
        known = await self._by_token(own, report)
        if known or own.queue_id:
            return [(_meant(report, known.recipient if known else ""), known)]
        pairs: list[tuple[Recipient, Sent | None]] = []
        for one in report.recipients:
            pairs.append((one, await self._by_name(report, (one.address, *one.also))))
        return pairs

    async def _deliveries(self, own: Own, report: Report) -> list[Sent]:
        known = await self._by_token(own, report)
        if known or own.queue_id:
            return [known] if known else []
        names = [(one.address, *one.also) for one in report.recipients] or [("",)]
        found = [await self._by_name(report, each) for each in names]
        return [each for each in found if each]

    async def _by_token(self, own: Own, report: Report) -> Sent | None:
        """The delivery of the address it came to, or else of a token in the header of the message it brings back."""
        if own.queue_id:
            return await self._store.delivery(own.queue_id, own.number)
        for queue_id, number in self._tokens(report)[:MOST_TOKENS]:
            if known := await self._store.delivery(queue_id, number):
                return known
        return None

    def _tokens(self, report: Report) -> list[tuple[str, int]]:
        """The deliveries that genuine tokens in the enclosed header name."""
        keyring = self._keyring()
        found: dict[tuple[str, int], None] = {}
        for name, value in report.original.headers:
            if name == _FIELD and (own := return_path.read(keyring, value.strip())) and own.queue_id:
                found[own.queue_id, own.number] = None
            for local in self._in_address.findall(value):
                if own := return_path.read(keyring, local):
                    found[own.queue_id, own.number] = None
            for text in _IN_URL.findall(value):
                if token := keyring.read(Purpose.UNSUBSCRIBE, text):
                    found[token.queue_id, token.number] = None
        return list(found)

    async def _by_name(self, report: Report, addresses: tuple[str, ...]) -> Sent | None:
        """The delivery to one of these of the message that comes back, if only its recipient can know that."""
        if not report.original.message_id:
            return None
        for address in addresses:
            if "@" in address and (
                known := await self._store.find_sent(recipient=address, message_id=report.original.message_id)
            ):
                return known if known.recipients == 1 and known.origin == Origin.APPLICATION else None
        return None

    # --- mail for people -------------------------------------------------------------------------------------

    async def _pass_on(self, letter: Letter, recipient: Address) -> None:
        """To `inbound.forward_to`, if there is one."""
        forward_to = self._config.inbound.forward_to
        if not forward_to:
            self._tell(letter, recipient, "mail", None, "dropped: inbound.forward_to is not set")
            return
        accepted = forwarded(
            letter,
            recipient,
            parse_address(forward_to),
            queue_id=self._queue_ids.next(),
            hostname=self._config.hostname,
        )
        await self._store.accept(accepted, claimed=False)
        message = accepted.message
        self._log.queued(message.queue_id, None, message.size, 1)
        self._tell(letter, recipient, "mail", None, f"forwarded as {message.queue_id}")

    def _tell(self, letter: Letter, recipient: Address, what: str, about: Own | Sent | None, said: str) -> None:
        named = (about.queue_id, about.number) if about and about.queue_id else None
        delay = self._store.engine.now() - letter.at
        self._log.came_back(letter.queue_id, recipient, delay, what, named, said)


def _meant(report: Report, address: str) -> Recipient:
    """The recipient that a token's delivery is about: the one of its name, else the first that failed, else anyone."""
    for one in report.recipients:
        if address.lower() in (name.lower() for name in (one.address, *one.also)):
            return one
    failed = [one for one in report.recipients if one.action == "failed"]
    return next(iter(failed or report.recipients), Recipient(address))


def _said(report: Report, one: Recipient) -> dict[str, object]:
    """What an event tells of a report."""
    said = {"reporter": report.reporter, "reported": one.address, "diagnostic": one.diagnostic, "status": one.status}
    return {key: value for key, value in said.items() if value}
