"""Notifications of Amazon SES that come by mail: one JSON object in place of a report.

Bounce, complaint and delivery, bare or inside an SNS envelope. Not its DSNs, which are RFC 3464.

Rules. Only a text that begins with such an object counts. What is missing, of the wrong type or broken is passed over;
a gateway that cuts lines at 990 characters puts "!", a line end and a blank into the middle: taken out. Never raises.
Standards: RFC 8259 (JSON); SES's developer guide, "notification contents".
"""

import json
import re
from collections.abc import Iterator

from suppression.found import Action, Kind, Original, Recipient, Report, line
from suppression.letter import Letter
from suppression.status_report import codes_of

_LONGEST = 64 * 1024  # characters
_MOST_RECIPIENTS = 100
_SUCCESS = re.compile(r"(?<![\w.])2\.\d{1,3}\.\d{1,3}(?![\w.])")


def read(letter: Letter) -> Report | None:
    """The notification that `letter` is, as a report; None where it is none."""
    found = _object(letter.text)
    if found.get("Type") == "Notification":
        found = _object(found.get("Message"))
    mail, original = _dict(found.get("mail")), _dict(_dict(found.get("mail")).get("commonHeaders"))
    kind: Kind = "bounce"
    feedback_type = ""
    # Notifications of an identity say notificationType, those of a configuration set eventType.
    match str(found.get("notificationType") or found.get("eventType")).lower():
        case "bounce":
            bounce = _dict(found.get("bounce"))
            recipients = [_bounced(one) for one in _dicts(bounce.get("bouncedRecipients"))]
        case "complaint":
            complaint = _dict(found.get("complaint"))
            recipients = [
                Recipient(_text(one.get("emailAddress"))) for one in _dicts(complaint.get("complainedRecipients"))
            ]
            kind, feedback_type = "feedback", _text(complaint.get("complaintFeedbackType"))[:40] or "abuse"
        case "delivery":
            delivery = _dict(found.get("delivery"))
            said = line(_text(delivery.get("smtpResponse")))
            status = code[0] if (code := _SUCCESS.search(said)) else ""
            recipients = [Recipient(to, "delivered", status, said) for to in _texts(delivery.get("recipients"))]
        case _:
            return None
    about = Original(
        message_id=_text(original.get("messageId")).strip("<>"),
        from_=_text(mail.get("source")),
        to=tuple(_texts(mail.get("destination"))),
        subject=line(_text(original.get("subject"))),
    )
    return Report(kind, tuple(one for one in recipients if one.address), feedback_type, about)


def _bounced(one: dict[str, object]) -> Recipient:
    action: Action = "delayed" if _text(one.get("action")).lower() == "delayed" else "failed"
    said = line(_text(one.get("diagnosticCode")).removeprefix("smtp;"))
    status, code = codes_of(said, _text(one.get("status")))
    return Recipient(_text(one.get("emailAddress")), action, status, said, code=code)


def _object(text: object) -> dict[str, object]:
    """The JSON object that `text` begins with; empty where it begins with none."""
    start = _text(text).lstrip()
    if not start.startswith("{"):
        return {}
    try:
        found, _ = json.JSONDecoder(strict=False).raw_decode(start.replace("!\n ", "")[:_LONGEST])
    except (ValueError, RecursionError):
        return {}
    return _dict(found)


def _dict(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _dicts(value: object) -> Iterator[dict[str, object]]:
    return (_dict(one) for one in value[:_MOST_RECIPIENTS]) if isinstance(value, list) else iter(())


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> list[str]:
    return [one for one in value[:_MOST_RECIPIENTS] if isinstance(one, str)] if isinstance(value, list) else []
