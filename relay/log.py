"""The log: one event, one line, in Postfix's shape or as JSON; here it is said which event has which words.

    2026-11-21T09:14:03.402118+00:00 mx1 postfix-relay/smtp[812]: 3kq7mvt2z0hy: to=<ada@example.com>, relay=…

Real pflogsumm counts these lines and real fail2ban reads them, so some things look odd and
must stay: the queue id comes first and is `\\w+`; `client=` is logged before `from=<…>, size=`
(else senders are not counted); ": " never stands inside a reason of ours (pflogsumm cuts
there); "Relay access denied" and "SASL PLAIN authentication failed" are fail2ban's words, and
nothing an application gets wrong by its settings alone looks like them.

Everything from the network is escaped (`\\x0a`), cut at 512 characters, and a line has no more
than 2 kB: nobody can write a line, or a field, of his own into our log. Secrets are never
logged, nor is content. `privacy` shows addresses in full, as `*@domain`, or as a keyed hash
(`0f3a…@domain`: the same address looks the same, which hides it from readers, not from us).

Nothing here raises or waits (see `relay/sink.py`), except opening the log: `OSError`.

The rooms: `log_writer` (stamps, JSON, files), `log_line` (escaping and hiding), `log_delivery` (attempts and
visits in words). What operators did is put into words by `log_actions`.
"""

import time
from collections.abc import Callable, Mapping

from relay.address import Address
from relay.config import Config
from relay.delivery import Attempt, Delivery, Status, Verdict
from relay.log_delivery import attempted, columns, discarded, visit_columns, visited
from relay.log_line import Peer, Shown, escape, harmless, masked, places, plain, seconds, share, uncut, utc
from relay.log_writer import LogWriter
from tracker.visit import Judged

__all__ = ["Log", "Peer"]

AGAIN = 60.0  # seconds until trouble that lasts is told again


class Log(LogWriter):
    """Every method logs one event. `clock` gives Unix seconds; `stream` is the descriptor used where no file is set."""

    def __init__(self, config: Config, *, clock: Callable[[], float] = time.time, stream: int = 1) -> None:
        super().__init__(config, clock, stream)
        self._show = Shown(config.log.privacy, config.hostname)
        self._told: dict[str, float] = {}  # what waits for the database, and when that was told

    # --- accepting -------------------------------------------------------------------------------------------

    def connect(self, service: str, peer: Peer) -> None:
        """A client has connected. `service` is "submission/smtpd" or "smtpd"."""
        self._line(service, f"connect from {peer.text}")
        if self._json:
            self._record(service, "connect", client=peer.text, client_ip=peer.ip)

    def disconnect(self, service: str, peer: Peer, counts: Mapping[str, tuple[int, int]]) -> None:
        """A session is over. `counts`: command in small letters → how many succeeded, and how many there were."""
        good = sum(count[0] for count in counts.values())
        total = sum(count[1] for count in counts.values())
        shown = [f" {name}={share(*count)}" for name, count in counts.items() if count[1]]
        self._line(service, f"disconnect from {peer.text}{''.join(shown)} commands={share(good, total)}")
        if self._json:
            self._record(service, "disconnect", client_ip=peer.ip, commands=counts)

    def lost_connection(self, service: str, peer: Peer, after: str) -> None:
        """The client has gone without QUIT; `after` is its last command ("RCPT", "DATA", "CONNECT")."""
        self._line(service, f"lost connection after {escape(after)} from {peer.text}")
        if self._json:
            self._record(service, "lost_connection", client_ip=peer.ip, after=after)

    def timeout(self, service: str, peer: Peer, after: str) -> None:
        """The client has said nothing for too long."""
        self._line(service, f"timeout after {escape(after)} from {peer.text}")
        if self._json:
            self._record(service, "timeout", client_ip=peer.ip, after=after)

    def auth_failed(self, service: str, peer: Peer, mechanism: str, username: str | None, why: str) -> None:
        """A login failed; `why` in our words. fail2ban counts these lines, and only these, in mode=auth."""
        user = self._show.text(username or "")
        what = f"SASL {escape(mechanism)} authentication failed: {uncut(self._show.text(why))}"
        self._line(service, f"warning: {peer.text}: {what}, sasl_username={user}")
        if self._json:
            self._record(service, "auth_failed", client_ip=peer.ip, mechanism=mechanism, credential=user, reason=why)

    def reject(
        self,
        service: str,
        stage: str,
        peer: Peer,
        reply_line: str,
        mail_from: Address | str | None,
        rcpt_to: Address | str | None,
        helo: str | None,
        proto: str,
    ) -> None:
        """We said no at `stage` (CONNECT, EHLO, AUTH, MAIL, RCPT, DATA) with `reply_line`, its codes included."""
        sender, recipient = self._show.address(mail_from), self._show.address(rcpt_to)
        said = self._show.text(reply_line)
        about = said
        if stage == "RCPT" and said.count(" ") > 1:
            code, enhanced, text = said.split(" ", 2)
            about = f"{code} {enhanced} <{recipient}>: {text}"
        to = f" to=<{recipient}>" if rcpt_to is not None else ""
        rest = f"from=<{sender}>{to} proto={escape(proto)} helo=<{escape(helo or '', '<>')}>"
        self._line(service, f"NOQUEUE: reject: {escape(stage)} from {peer.text}: {about}; {rest}")
        if self._json:
            self._record(
                service,
                "refused",
                client_ip=peer.ip,
                stage_of_session=stage,
                text=said,
                mail_from=sender,
                rcpt_to=recipient if rcpt_to is not None else None,
                helo=helo,
            )

    def client(
        self,
        queue_id: str,
        service: str,
        peer: Peer,
        sasl_method: str | None = None,
        sasl_username: str | None = None,
    ) -> None:
        """Who hands us this message. Must come before `queued`."""
        login = (
            f", sasl_method={escape(sasl_method)}, sasl_username={self._show.text(sasl_username or '')}"
            if sasl_method
            else ""
        )
        self._line(service, f"{queue_id}: client={peer.text}{login}")
        if self._json:
            self._record(service, "client", queue_id=queue_id, client_ip=peer.ip, credential=sasl_username)

    def message_id(self, queue_id: str, message_id: str) -> None:
        """The message's own name; with or without its angle brackets."""
        bare = escape(message_id.strip("<>"), "<>")
        self._line("cleanup", f"{queue_id}: message-id=<{bare}>")
        if self._json:
            self._record("cleanup", "message_id", queue_id=queue_id, message_id=bare)

    def queued(self, queue_id: str, sender: Address | str | None, size: int, nrcpt: int) -> None:
        """The message is safe; `sender` is the reverse-path."""
        shown = self._show.address(sender)
        self._line("qmgr", f"{queue_id}: from=<{shown}>, size={size}, nrcpt={nrcpt} (queue active)")
        if self._json:
            self._record("qmgr", "creating", queue_id=queue_id, sender=shown, size=size, recipients=nrcpt)

    # --- delivering ------------------------------------------------------------------------------------------

    def attempt(self, delivery: Delivery, attempt: Attempt, verdict: Verdict, next_at: float | None) -> None:
        """What one attempt meant for its delivery; `next_at` (Unix seconds) is when the next one comes."""
        if self._text and verdict.status is Status.REJECTED:
            self._line("submission/smtpd", discarded(delivery, verdict, self._show))
        elif self._text:
            self._line("smtp", attempted(delivery, attempt, verdict, self._show))
        if self._json:
            next_attempt_at = utc(next_at, "seconds") if next_at is not None else None
            keys = columns(delivery, attempt, verdict, self._show)
            self._record("smtp", verdict.status.value, **keys, next_attempt_at=next_attempt_at)

    def expired(self, queue_id: str, sender: Address | str | None) -> None:
        """A delivery of this message was given up for its age."""
        shown = self._show.address(sender)
        self._line("qmgr", f"{queue_id}: from=<{shown}>, status=expired, returned to sender")
        if self._json:
            self._record("qmgr", "expired", queue_id=queue_id, sender=shown)

    def removed(self, queue_id: str) -> None:
        """Nothing of this message waits any more."""
        self._line("qmgr", f"{queue_id}: removed")
        if self._json:
            self._record("qmgr", "removed", queue_id=queue_id)

    # --- what came back --------------------------------------------------------------------------------------

    def came_back(
        self,
        queue_id: str,
        recipient: Address | str,
        delay: float,
        what: str,
        about: tuple[str, int] | None,
        said: str,
    ) -> None:
        """A letter to an address of ours was read. `what`: hard_bounce, complaint, mail, …; `about`: a delivery."""
        to = self._show.address(recipient)
        of = f" of {about[0]} recipient {about[1]}" if about else ""
        if self._text:
            text = uncut(self._show.text(said))
            self._line(
                "feedback",
                f"{queue_id}: to=<{to}>, relay=feedback, delay={seconds(delay)}, delays=0/0/0/{seconds(delay)}, "
                f"dsn=2.0.0, status=sent ({escape(what)}{of}{f', {text}' if text else ''})",
            )
        if self._json:
            queue, number = about or (None, None)
            known = {"report": queue_id, "queue_id": queue, "number": number, "recipient": to}
            self._record("feedback", "report", **known, kind=what, text=self._show.text(said))

    def track(self, judged: Judged, recipient: Address | str | None) -> None:
        """Somebody, or something, opened this recipient's copy or followed one of its links."""
        if self._text:
            self._line("track", visited(judged, recipient, self._show))
        if self._json:
            event = "opened" if judged.visit.kind == "open" else "clicked"
            self._record("track", event, **visit_columns(judged, recipient, self._show))

    # --- operating -------------------------------------------------------------------------------------------

    def admin(self, verb: str, queue_id: str | None, actor: str, reason: str | None, **fields: object) -> None:
        """A person did something: `verb` (hold, release, retry, cancel, pause, …) to a message, or to `fields`."""
        opening = (
            f"{queue_id}: action={escape(verb)}, by={escape(actor)}"
            if queue_id
            else f"{escape(verb)}: by={escape(actor)}"
        )
        because = {"reason": reason} if reason else {}
        self._line("admin", ", ".join([opening, *self._pairs(fields | because)]))
        if self._json:
            self._record("admin", verb, queue_id=queue_id, actor=actor, **(fields | because))

    def suppression(
        self, event: str, queue_id: str | None, actor: str, address: str, scope: str, **fields: object
    ) -> None:
        """An entry of the suppression list came, or went (`event`, as in the view `events`); `queue_id` caused it."""
        action = "remove" if event in ("suppression_remove", "resubscribed") else "add"
        shown = self._show.address(address)
        pairs = [f"addr=<{shown}>", f"scope={self._show.value(scope or '*')}", *self._pairs(fields | {"by": actor})]
        self._line("supp", f"{queue_id or 'NOQUEUE'}: action={action}, {harmless(', '.join(pairs))}")
        if self._json:
            known = {"recipient": shown, "scope": scope, "actor": actor}
            self._record("supp", event, queue_id=queue_id, **known, **{key: plain(v) for key, v in fields.items()})

    def note(self, text: str, **fields: object) -> None:
        """The process itself: started, ready, stopping, …"""
        self._process("", text, fields)

    def warning(self, text: str, **fields: object) -> None:
        """The process itself: something is not as it should be, and mail still flows."""
        self._process("warning: ", text, fields)

    def database_trouble(self, what_waits: str, why: BaseException) -> None:
        """The database cannot be used and something waits for it: told once a minute, however often it is tried."""
        now = self._clock()
        if now >= self._told.get(what_waits, 0.0) + AGAIN:
            self._told[what_waits] = now
            self.warning(f"{what_waits}: {why}")

    def error(self, text: str, exc: BaseException | None = None, **fields: object) -> None:
        """Our own failure. Of `exc` the line has type, message and the innermost places, not the whole traceback."""
        if exc is not None:
            said = masked(str(exc))
            fields |= {"exception": f"{type(exc).__name__}: {said}" if said else type(exc).__name__, "at": places(exc)}
        self._process("error: ", text, fields)

    def _process(self, kind: str, text: str, fields: dict[str, object]) -> None:
        if self._text:
            pairs = ", ".join(self._pairs(fields))
            line = kind + escape(self._show.text(text)) + (f": {pairs}" if pairs else "")
            self._line("relay", harmless(line))
        if self._json:
            level = kind.rstrip(": ") or "note"
            self._record("relay", level, text=text, **{key: plain(value) for key, value in fields.items()})

    def _pairs(self, fields: Mapping[str, object]) -> list[str]:
        return [f"{key}={self._show.value(value)}" for key, value in fields.items() if value is not None]
