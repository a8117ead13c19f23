"""What a server tells about a message long after it took it, told on to the message's sender: a notice.

The reverse-path that we send with is ours, so what comes back comes to us; the sender asked all the same to hear of it
(RFC 3461 4.1). It becomes a notice like those about our own attempts: in our words, with what the sender needs to find
his message again, and nothing of the letter itself. It decides nothing about deliveries, and sends nothing.

Rules. A failure is told unless the sender declined; success, and that it takes longer, only where he asked for it.
Every kind once, however often a server repeats itself. Standards: RFC 3461 5.2, RFC 3464 2.3.3.
Fails with `StoreUnavailable`.
"""

from relay.compose.dsn import Kind, notice, should_notify
from relay.delivery import Status, Verdict
from relay.envelope import Notify
from relay.queue_id import QueueIds
from relay.reply import printable
from relay.store import Accepted, Store
from suppression.found import Action, Recipient


def progress(one: Recipient) -> Verdict:
    """What is told of a recipient whose mail has not failed: it is on its way still, or somewhere."""
    digit = "4" if one.action == "delayed" else "2"
    # RFC 3463 2: where the report has no code, the most general one.
    return Verdict(Status.SENT, None, one.status or f"{digit}.0.0", printable(one.diagnostic) or one.action)


async def notices(
    store: Store, queue_ids: QueueIds, hostname: str, name: tuple[str, int], action: Action, verdict: Verdict
) -> tuple[Accepted, ...]:
    """The notice to the sender of the delivery of this `name`, as what is accepted; () where none is due.

    `action` is the report's (RFC 3464 2.3.3); `verdict` says what it means.
    """
    kind = Kind(action)
    delivery = await store.whole_delivery(*name)
    if delivery is None or not should_notify(kind, delivery):
        return ()
    if kind is Kind.DELAY and Notify.DELAY not in delivery.notify:
        return ()
    message, to_sender, content = notice(
        kind,
        delivery,
        verdict,
        None,
        hostname=hostname,
        now=store.engine.now(),
        queue_id=queue_ids.next(),
        original=await store.content(name[0]) or b"",
    )
    return (Accepted(message, (to_sender,), content),)
