"""What became of a delivery, as the log has it: an attempt, a discard, a visit; as a line, and for JSON.

For `relay/log.py`. In a line the words are Postfix's, and pflogsumm counts them; in JSON the names are those of
the public views. Nothing here raises.
"""

from relay.address import Address
from relay.delivery import Attempt, Delivery, Status, Verdict
from relay.log_line import Shown, escape, harmless, seconds, uncut, utc
from tracker.visit import Judged

_OUTCOME = {
    Status.SENT: "sent",
    Status.DEFERRED: "deferred",
    Status.HARD_BOUNCE: "bounced",
    Status.SOFT_BOUNCE: "bounced",
}


def attempted(delivery: Delivery, attempt: Attempt, verdict: Verdict, show: Shown) -> str:
    """An attempt, as a line has it."""
    where = _hop(attempt)
    relay = f"{where}:{attempt.mx_port}" if where else "none"
    waited = attempt.ms_queue / 1000
    before = attempt.started_at - waited - delivery.message.received_at
    setup = ((attempt.ms_dns or 0) + (attempt.ms_connect or 0) + (attempt.ms_tls or 0)) / 1000
    sending = (attempt.ms_data or 0) / 1000
    return (
        f"{delivery.message.queue_id}: to=<{show.address(delivery.recipient)}>, relay={relay}, "
        f"delay={seconds(attempt.finished_at - delivery.message.received_at)}, "
        f"delays={seconds(before)}/{seconds(waited)}/{seconds(setup)}/{seconds(sending)}, "
        f"dsn={verdict.dsn}, status={_OUTCOME.get(verdict.status, verdict.status)} "
        f"({_answer(verdict, attempt, show)})"
    )


def discarded(delivery: Delivery, verdict: Verdict, show: Shown) -> str:
    """A suppressed address: Postfix's word is discard, and pflogsumm counts it as such."""
    recipient, sender = show.address(delivery.recipient), show.address(delivery.message.reverse_path)
    return (
        f"{delivery.message.queue_id}: discard: RCPT from unknown[{delivery.message.client_ip or '127.0.0.1'}]: "
        f"250 2.1.5 <{recipient}>: Recipient address suppressed: {uncut(show.text(verdict.reason))}; "
        f"from=<{sender}> to=<{recipient}>"
    )


def _hop(attempt: Attempt) -> str:
    """Where an attempt went, as `host[ip]`; empty where it reached nobody."""
    return f"{escape(attempt.mx_host or attempt.mx_ip, ',')}[{attempt.mx_ip}]" if attempt.mx_ip else ""


def _answer(verdict: Verdict, attempt: Attempt, show: Shown) -> str:
    """What was said to an attempt: the reply as Postfix shows it, or our own reason where nobody answered."""
    if verdict.reply is None:
        return uncut(show.text(verdict.reason))
    said = show.text(verdict.reply.line)
    if verdict.status is Status.SENT:
        # "forwarded as" makes pflogsumm count a delivery as forwarded.
        return said.replace("forwarded as", "forwarded\\x20as")
    step, where = attempt.in_reply_to, _hop(attempt)
    command = " command" if step and step.rpartition(" ")[2].isupper() else ""
    to = f" (in reply to {step}{command})" if step else ""
    return f"host {where} said: {said}{to}" if where else f"{said}{to}"


def columns(delivery: Delivery, attempt: Attempt, verdict: Verdict, show: Shown) -> dict[str, object]:
    """An attempt for JSON, with the names of the views `email_status` and `attempts`."""
    message = delivery.message
    return {
        "queue_id": message.queue_id,
        "recipient": show.address(delivery.recipient),
        "recipient_type": delivery.role.value,
        "recipient_domain": delivery.destination,
        "attempt": delivery.attempt,
        "mx_host": attempt.mx_host,
        "mx_ip": attempt.mx_ip,
        "source_ip": attempt.source_ip,
        "tls": attempt.tls,
        "smtp_code": verdict.reply.code if verdict.reply else None,
        "dsn": verdict.dsn,
        "class": verdict.reason_class,
        "reason": show.text(verdict.reason),
        "in_reply_to": attempt.in_reply_to,
        "delay_s": round(attempt.finished_at - message.received_at, 3),
        "ms_queue": attempt.ms_queue,
        "ms_dns": attempt.ms_dns,
        "ms_connect": attempt.ms_connect,
        "ms_tls": attempt.ms_tls,
        "ms_data": attempt.ms_data,
        "sender": show.address(message.sender),
        "credential": message.credential,
        "tag": message.tag,
    }


def visited(judged: Judged, recipient: Address | str | None, show: Shown) -> str:
    """An open or a click, as a line has it."""
    visit = judged.visit
    who = f"ip={escape(visit.ip)}, class={judged.agent_class}" if visit.ip else f"class={judged.agent_class}"
    link = f", link={visit.link}, url=<{escape(show.text(visit.target), '<>')}>" if visit.kind == "click" else ""
    agent = escape(show.text(visit.agent), '"')
    said = f'event={visit.kind}, to=<{show.address(recipient)}>, {who}{link}, ua="{agent}"'
    return f"{visit.queue_id}: {harmless(said)}"


def visit_columns(judged: Judged, recipient: Address | str | None, show: Shown) -> dict[str, object]:
    """An open or a click for JSON, with the names of the view `events`."""
    visit = judged.visit
    return {
        "queue_id": visit.queue_id,
        "recipient": show.address(recipient),
        "at": utc(visit.at, "microseconds"),
        "ip": visit.ip or None,
        "agent_class": judged.agent_class,
        "by": judged.by,
        "reason": judged.reason,
        "link": visit.link if visit.kind == "click" else None,
        "url": show.text(visit.target) if visit.kind == "click" else None,
        "agent": show.text(visit.agent),
    }
