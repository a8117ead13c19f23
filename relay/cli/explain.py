"""`mailtrail explain`: what a reply, a rule or a refusal means, and what happens next.

A reply of another server is judged by the very tables that judge deliveries
(`suppression/replies.py`, with the operator's own rules, and `relay/deliver/outcome.py`), so the answer is what the
relay would do. `R4104` is a rule of ours (`relay/accept/texts.py`), six characters are the reference of a refusal.
"""

import argparse
import re
from collections.abc import Coroutine
from typing import TYPE_CHECKING

from relay.cli import refused, rules, wording
from relay.cli.arguments import Parser, outputs, wants_json
from relay.cli.failures import Failure as Failed
from relay.cli.failures import Usage
from relay.cli.screen import Screen
from relay.reply import Reply

if TYPE_CHECKING:
    from relay.config import Config
    from suppression.rules import Inactive

_REPLY_LINE = re.compile(r"\s*([2-5]\d\d)(?:[ -]|$)(.*)")
_ENHANCED_CODE = re.compile(r"([245])\.\d{1,3}\.\d{1,3}(?: .*)?", re.DOTALL)  # RFC 3463 2, as bounces quote it
_RULE = re.compile(r"[Rr]\d{4}")
_REFERENCE = re.compile(r"[0-9a-z]{6}")
STEPS = ("connect", "ehlo", "mail", "rcpt", "data", "dot")

# reason class → what it means; what we do; what you can do
MEANINGS = {
    "bad_mailbox": ("The mailbox does not exist or is closed.", "Take the address off your lists."),
    "bad_domain": (
        "The recipient's domain does not exist or takes no mail.",
        "Check the address for a slip of the pen.",
    ),
    "mailbox_full": ("The recipient's mailbox is full.", "Nothing; the recipient has to make room."),
    "greylisted": ("The server wants to see whether we try again. Real relays do.", "Nothing."),
    "throttled": (
        "The server is busy, or takes less from us for now.",
        "Nothing, unless it lasts: then send more slowly.",
    ),
    "network": (
        "The server could not be reached, or the connection broke.",
        "If many domains show this: is outgoing port 25 open? Many providers block it.",
    ),
    "tls": ("The encrypted connection could not be made.", "Nothing, unless a route of yours demands TLS."),
    "dns_temp": (
        "A name could not be looked up just now.",
        "If it lasts: check the DNS of the domain, or your resolver.",
    ),
    "blocked_ip": (
        "The server does not take mail from our address.",
        "Look your address up in the block list that the reply names.",
    ),
    "blocked_content": (
        "The server takes the message for spam or worse.",
        "Look at the content, its links, and who it goes to.",
    ),
    "auth_dmarc": (
        "The server could not verify that the mail comes from its From domain (SPF, DKIM, DMARC).",
        "Set up SPF and DKIM for the From domain.",
    ),
    "too_big": ("The message is larger than the server takes.", "Send a link instead of an attachment."),
    "policy": ("The server's rules refuse it.", "The reply says which rule; its postmaster can tell more."),
    "unknown_permanent": ("The server refused for good and did not say why.", "Ask the recipient's postmaster."),
}
WE_DO = {
    "sent": "count it as delivered.",
    "deferred": "try again later, for as long as delivery.lifetime says; then give up (soft bounce).",
    "hard_bounce": "stop trying: the address or its domain is dead.",
    "soft_bounce": "stop trying; it is no proof that the address is dead.",
}


def add(noun: Parser) -> None:
    """`explain` has no verbs."""
    noun.set_defaults(run=explain)
    noun.examples = (
        "mailtrail explain '550 5.1.1 User unknown'",
        'mailtrail explain "550-5.7.26 Unauthenticated email is not accepted due to domain\'s DMARC policy"',
        "mailtrail explain 5.7.26",
        "mailtrail explain R4105",
    )
    noun.add_argument(
        "what", nargs="+", metavar="REPLY|RULE|REF", help="a server's reply or its enhanced code, R4105, or a reference"
    )
    noun.add_argument("--at", choices=STEPS, default="rcpt", help="the command that was answered (default: rcpt)")
    outputs(noun, "table", "json")


def explain(args: argparse.Namespace, screen: Screen) -> "int | Coroutine[None, None, int]":
    """`explain`."""
    text = " ".join(args.what).strip()
    if _RULE.fullmatch(text):
        return rules.show(args, screen, text.upper())
    if found := parse_reply(text):
        return _reply(args, screen, found)
    if _REFERENCE.fullmatch(text.lower()):
        args.ref = text
        return refused.show(args, screen)
    raise Usage(
        f"{text!r} is neither a reply, nor a rule, nor a reference", "mailtrail explain '550 5.1.1 User unknown'"
    )


def _settings(args: argparse.Namespace) -> "Inactive":
    """Have the operator's own rules read, and say what is done with closed mailboxes; without a configuration, ours."""
    from relay.cli.database import configuration, loaded
    from relay.config_file import ConfigError

    named = bool(getattr(args, "config", None))
    try:
        config = configuration(args) if named else loaded(args).config
    except ConfigError:
        return "suppress"  # none is there, and none was asked for
    return own_rules(config)


def own_rules(config: "Config") -> "Inactive":
    """Judge replies as the relay does: with the operator's own rules; what is done with closed mailboxes."""
    from suppression.replies import BadRules, use

    try:
        use(config.suppression.rules)
    except BadRules as error:
        raise Failed(str(error), "correct the file that suppression.rules names") from None
    return config.suppression.inactive


def parse_reply(text: str) -> Reply | None:
    """A reply as it stands in logs and bounces, on one line or several; None if it is none.

    An enhanced code alone (`5.7.26`) is the reply that has it: 550, 450 or 250.
    """
    if alone := _ENHANCED_CODE.fullmatch(text):
        return Reply.parse(int(alone[1]) * 100 + (0 if alone[1] == "2" else 50), text)
    first = _REPLY_LINE.match(text)
    if first is None:
        return None
    lines = [found[2] if (found := _REPLY_LINE.match(line)) else line for line in text.splitlines()]
    return Reply.parse(int(first[1]), "\n".join(lines))


def _reply(args: argparse.Namespace, screen: Screen, reply: Reply) -> int:
    from relay.deliver.evidence import judged
    from relay.deliver.exchange import Failure, Kind, Sent, Step
    from relay.deliver.outcome import judge

    inactive = _settings(args)
    steps = dict(zip(STEPS, (Step.GREETING, Step.EHLO, Step.MAIL, Step.RCPT, Step.DATA, Step.DOT), strict=True))
    failed = Failure(steps[args.at], Kind.REPLY, "mx.example.net[192.0.2.1]:25", reply=reply)
    verdict = judge(Sent(reply) if reply.positive else failed, more_hops=False, inactive=inactive)
    assert verdict is not None  # only with more hops there is none
    reason_class = verdict.reason_class or ""
    means, you_do = MEANINGS.get(reason_class, ("The server took the message.", "Nothing."))
    judgement = None if reply.positive else judged(reply)
    if wants_json(args):
        body = {
            "status": verdict.status,
            "class": verdict.reason_class,
            "dsn": verdict.dsn,
            "retry_after_s": verdict.retry_after,
            "reply_class": judgement.cls if judgement else None,
            "rule": judgement.rule if judgement else None,
        }
        screen.json(
            "explain", body | {"means": means, "we_do": WE_DO[verdict.status], "you_do": you_do}, args.json or ""
        )
        return 0
    kind = f"class {reason_class} → " if reason_class else ""
    screen.line(kind + screen.paint(wording.status(verdict.status), verdict.status))
    screen.line(f"  Means   {means}")
    if judgement is not None and judgement.rule:
        screen.line(f"  Because {judgement.note} ({judgement.cls}; {judgement.rule})")
    wait = f" The server asks us to wait {wording.span(verdict.retry_after)}." if verdict.retry_after else ""
    screen.line(f"  We do   {WE_DO[verdict.status]}{wait}")
    screen.line(f"  You do  {you_do}")
    return 0
