"""What operators did, in the log: a line a message, and one for all that are too many to name."""

from collections.abc import Sequence

from relay.event import Action
from relay.log import Log

NAMED = 100  # messages with a line of their own, each time


def log_actions(log: Log, actions: Sequence[Action]) -> None:
    """Write the `admin` lines; `actions` are oldest first."""
    for action in actions[:NAMED]:
        reason, fields = _fields(action)
        recipients = action.deliveries if action.deliveries > 1 else None
        log.admin(action.event, action.queue_id or None, action.actor, reason, recipients=recipients, **fields)
    # What a command did to many differs in nothing but the message.
    rest: dict[str, list[Action]] = {}
    for action in actions[NAMED:]:
        rest.setdefault(f"{action.event} {action.actor} {action.detail}", []).append(action)
    for alike in rest.values():
        reason, fields = _fields(alike[0])
        recipients = sum(action.deliveries for action in alike)
        log.admin(alike[0].event, None, alike[0].actor, reason, more=len(alike), recipients=recipients, **fields)


def _fields(action: Action) -> tuple[str | None, dict[str, object]]:
    fields = dict(action.detail)
    reason = fields.pop("reason", None)
    return (None if reason is None else str(reason)), fields
