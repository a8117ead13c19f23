"""Visits for tests, as plain data."""

import time
from dataclasses import replace
from typing import Any

from tracker.visit import Judged, Visit, new_visit_id


def visit(queue_id: str, number: int = 0, kind: Any = "open", by: Any = "person", **changes: Any) -> Judged:
    """A visit of a delivery just now, judged to be by a person or a machine; a click is one on the first link."""
    fields: dict[str, Any] = {
        "visit_id": new_visit_id(),
        "at": time.time(),
        "ip": "203.0.113.50",
        "agent": "Mozilla/5.0",
    }
    if kind == "click":
        fields |= {"link": 1, "target": "https://shop.test/one"}
    agent_class = "human" if by == "person" else "scanner"
    return Judged(Visit(kind=kind, queue_id=queue_id, number=number, **fields | changes), by, agent_class, "as told")


def judged_otherwise(judged: Judged) -> Judged:
    """The same visit with the opposite verdict."""
    machine = judged.by == "person"
    return replace(
        judged,
        by="machine" if machine else "person",
        agent_class="scanner" if machine else "human",
        reason="all links in a burst" if machine else "only one link",
    )
