"""The simulator: recipients that never leave the machine, each with one fate.

`LOCALPART@sim.test` (any `+label`) behaves as its name says, in the sandbox and in
production; in the sandbox every other address behaves as `delivered`. Pure: it writes the
conversation that a real server would have had and gives back what the client would
have given, so that the same table judges it. `delay` is for the caller to wait, and `then` for
`relay/simulated.py` to do: what the recipient does with the mail once it has it.

RFC 2606 2: .test can never be a real domain.
"""

from dataclasses import dataclass
from enum import StrEnum

from relay.address import Address
from relay.deliver.commands import Offers, mail_command, rcpt_command
from relay.deliver.conversation import Conversation
from relay.deliver.exchange import Failure, Kind, Sent, Step
from relay.delivery import Delivery
from relay.reply import Reply

DOMAIN = "sim.test"
HOST, IP, PORT = "mx.sim.test", "127.0.0.1", 25
PEER = f"{HOST}[{IP}]:{PORT}"
SLOW = 10.0  # seconds

_ACCEPTED = "250 2.0.0 Ok: taken by the simulator"
_OFFERS = Offers(size=50 * 1024 * 1024, eight_bit=True, smtputf8=True, dsn=True)


class Act(StrEnum):
    """What a recipient does who has accepted the mail."""

    LATE_BOUNCE = "bounces after all"
    COMPLAINT = "complains about it"
    AUTO_REPLY = "is out of office"
    OPENS = "opens it"
    CLICKS = "opens it and follows its first link"
    UNSUBSCRIBES = "unsubscribes by one click"


@dataclass(frozen=True, slots=True)
class SimulatedReply:
    """What the simulated server answers at `step`, after `delay` seconds, and what the recipient does after a yes."""

    step: Step
    reply: Reply
    delay: float = 0.0
    then: Act | None = None

    def play(self, delivery: Delivery, content: bytes, conversation: Conversation) -> Sent | Failure:
        """Hold the conversation, up to the answer, and tell what it came to."""
        conversation.opens(PEER)
        conversation.note("simulated; nothing leaves this machine")
        dialogue = (
            (Step.EHLO, "EHLO", "250 mx.sim.test"),
            (Step.MAIL, mail_command(delivery, content, _OFFERS), "250 2.1.0 Ok"),
            (Step.RCPT, rcpt_command(delivery, _OFFERS), "250 2.1.5 Ok"),
            (Step.DATA, "DATA", "354 Go ahead"),
        )
        for step, command, usual in dialogue:
            conversation.client(command)
            if step is self.step:
                conversation.server(self.reply.code, self.reply.line[4:])
                return Failure(step, Kind.REPLY, PEER, reply=self.reply)
            conversation.server(int(usual[:3]), usual[4:])
        conversation.content(len(content))
        conversation.server(self.reply.code, self.reply.line[4:])
        if self.reply.positive:
            return Sent(self.reply, dsn=True)
        return Failure(Step.DOT, Kind.REPLY, PEER, reply=self.reply)


def _said(step: Step, line: str, *, delay: float = 0.0, then: Act | None = None) -> SimulatedReply:
    return SimulatedReply(step, Reply.parse(int(line[:3]), line[4:]), delay, then)


# In the order in which people are told about them.
FATES = {
    "delivered": _said(Step.DOT, _ACCEPTED),
    "deferred": _said(Step.RCPT, "450 4.2.1 Mailbox temporarily unavailable (simulated); the third attempt succeeds"),
    "hardbounce": _said(Step.RCPT, "550 5.1.1 User unknown (simulated)"),
    "softbounce": _said(Step.DOT, "554 5.7.1 Message refused by local policy (simulated)"),
    "mailboxfull": _said(Step.RCPT, "552 5.2.2 Mailbox full (simulated)"),
    "blocked": _said(Step.RCPT, "550 5.7.1 Service unavailable; client host blocked by a block list (simulated)"),
    "slow": _said(Step.DOT, _ACCEPTED, delay=SLOW),
    "latebounce": _said(Step.DOT, _ACCEPTED, then=Act.LATE_BOUNCE),
    "complaint": _said(Step.DOT, _ACCEPTED, then=Act.COMPLAINT),
    "autoreply": _said(Step.DOT, _ACCEPTED, then=Act.AUTO_REPLY),
    "opens": _said(Step.DOT, _ACCEPTED, then=Act.OPENS),
    "clicks": _said(Step.DOT, _ACCEPTED, then=Act.CLICKS),
    "unsubscribes": _said(Step.DOT, _ACCEPTED, then=Act.UNSUBSCRIBES),
}
DEFERRALS = 2  # of "deferred"


def answer(recipient: Address, attempt: int, *, sandbox: bool) -> SimulatedReply | None:
    """What becomes of attempt `attempt` (from 1) at `recipient`; None: not simulated, a real delivery."""
    if recipient.destination != DOMAIN:
        return FATES["delivered"] if sandbox else None
    name = recipient.local.lower().partition("+")[0]
    if name == "deferred" and attempt > DEFERRALS:
        return FATES["delivered"]
    known = ", ".join(f"{fate}@{DOMAIN}" for fate in FATES)
    return FATES.get(name) or _said(Step.RCPT, f'550 5.1.1 The simulator has no mailbox "{name[:64]}"; it has {known}')
