"""What operators and recipients did, in the log: a line a message, and one for all that are too many to name.

Changes of the suppression list have their own lines (`supp`), everything else is `admin`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from relay.event import Action
from relay.log import Log

NAMED = 100  # messages with a line of their own, each time


def log_actions(log: Log, actions: Sequence[Action]) -> None:
    """Write the lines; `actions` are oldest first."""
    for action in actions[:NAMED]:
        if "scope" in action.detail:
            _log_suppression(log, action)
            continue
        reason, fields = _fields(action)
        recipients = action.deliveries if action.deliveries > 1 else None
        log.admin(action.event, action.queue_id or None, action.actor, reason, recipients=recipients, **fields)
    # What a command did to many differs in nothing but the message; what it listed, in nothing but the address.
    rest: dict[str, list[Action]] = {}
    for action in actions[NAMED:]:
        what = action.detail["reason"] if "scope" in action.detail else action.detail
        rest.setdefault(f"{action.event} {action.actor} {what}", []).append(action)
    for alike in rest.values():
        reason, fields = _fields(alike[0])
        if "scope" in fields:
            fields = {}
        recipients = sum(action.deliveries for action in alike)
        log.admin(alike[0].event, None, alike[0].actor, reason, more=len(alike), recipients=recipients, **fields)


def _log_suppression(log: Log, action: Action) -> None:
    fields = dict(action.detail)
    address, scope = str(fields.pop("address")), str(fields.pop("scope"))
    # Whose link was followed; the mail that caused the entry stands at the line's beginning.
    link_of, _ = fields.pop("queue_id", None), fields.pop("number", None)
    if link_of not in (None, action.queue_id):
        fields["link_of"] = link_of
    expires_at = fields.pop("expires_at", None)
    if expires_at is not None:
        fields["expires"] = datetime.fromtimestamp(float(expires_at), UTC).date().isoformat()
    log.suppression(action.event, action.queue_id or None, action.actor, address, scope, **fields)


def _fields(action: Action) -> tuple[str | None, dict[str, object]]:
    fields = dict(action.detail)
    reason = fields.pop("reason", None)
    return (None if reason is None else str(reason)), fields
