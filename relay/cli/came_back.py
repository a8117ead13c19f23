"""What came back by mail about a delivery, for `mailtrail message show`: one line for each event.

A bounce that came after the message had been sent, what a server reported on the way, and automatic answers. Attempts
and what readers did are shown elsewhere.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from relay.cli.screen import Screen, plain

_REPORTED = "reported_"  # in front of an action of RFC 3464 2.3.3: delayed, delivered, relayed, expanded

Row = Mapping[str, Any]


def came_back(screen: Screen, events: Iterable[Row], recipient: str) -> Iterator[str]:
    """The lines of one recipient; `events` are those of the message, in order."""
    sent = ""
    for event in events:
        if event["recipient"] != recipient:
            continue
        detail, at = json.loads(event["detail"] or "{}"), screen.clock(event["at"])
        if event["event"] == "sent":
            sent = at
        elif detail.get("late"):
            yield f"{at}  the bounce came back by mail{f'; it had been sent {sent}' if sent else ''}"
        elif event["event"] == "auto_reply":
            subject = f' "{plain(detail["subject"])}"' if detail.get("subject") else ""
            yield f"{at}  automatic answer{subject}"
        elif event["event"].startswith(_REPORTED):
            said = f": {plain(detail['diagnostic'])}" if detail.get("diagnostic") else ""
            yield f"{at}  a server reports: {event['event'].removeprefix(_REPORTED)}{said}"
