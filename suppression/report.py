"""What a message that came back is, and what it says of whom: `parse(message) -> Report`.

Only reading: whose delivery it is (our token says that, never the text) and what follows is for `relay/feedback.py`.
What a recipient's diagnostic means is `replies` and `rules`; `class_of` asks them.

Rules. Evidence counts in the order of `_judged`: forms made for machines before words, failures before automatic
answers (Exim calls its bounces `auto-replied`). Of what is said about a recipient that counts which gives a cause, the
fields before the words; but a full mailbox is no dead one, whoever says so. A person's letter is never a bounce,
whatever it talks about or quotes, unless it passes one on whole. Header and enclosed message are never scanned as if
they were the report.
Standards: RFC 3464, RFC 5965, RFC 3834, RFC 8098. Never raises; time and memory are bounded by `letter`.
"""

import re
from dataclasses import replace
from typing import Literal

from suppression import auto_reply, feedback_report, mail_system, notification, prose, status_report
from suppression.found import Original, Recipient, Report, line
from suppression.letter import Header, Letter, header_of, read
from suppression.prose import causes
from suppression.replies import classify
from suppression.rules import consequence

Class = Literal["hard", "soft", "complaint", "auto-reply", "none"]

_DEEPEST = 3  # reports inside of something that is inside of something
_WORDS = 16384  # characters of text in which a contradiction is looked for
_MOST_REPORTS = 20  # enclosed in one message
_FORWARDED = re.compile(r"\s*(?:fwd?|wg|tr|rv|enc|vs|i|doorst)\s*:", re.IGNORECASE)
_PASSED_ON = re.compile(r"^From:[^\n]*(?:daemon|postmaster|mail delivery)", re.IGNORECASE | re.MULTILINE)
_QUOTED = re.compile(r"^> ?", re.MULTILINE)
_COPIED_HEADER = re.compile(r"^(?:Received|Return-Path|Message-ID|From|Date|To|Subject):", re.IGNORECASE | re.MULTILINE)
_OF_MAIL = {"received", "return-path", "message-id", "from", "date", "to", "subject", "mime-version"}
_ID = re.compile(r"<([^<>\s]{1,998})>")


def parse(message: bytes) -> Report:
    """What `message` is. Never raises; bytes that are no report of any kind are `none`."""
    letter = read(message)
    found = _judged(letter, _DEEPEST)
    if found.kind == "none":
        return found
    about = found.original if found.original != Original() else _original(letter)
    reporter = found.reporter or status_report.reporter(letter) or line(letter.header.get("from"))[:255]
    return replace(found, original=about, reporter=reporter)


def class_of(report: Report, recipient: Recipient) -> Class:
    """What a report says about a recipient's address. Hard: it is dead. Soft: anything else that stopped the mail."""
    match report.kind:
        case "feedback":
            return "complaint" if feedback_report.is_complaint(report.feedback_type) else "none"
        case "vacation":
            return "auto-reply"
        case "none":
            return "none"
    if recipient.action == "failed":
        judgement = classify(recipient.diagnostic, status=recipient.status, mx_host=recipient.mta)
        return "hard" if consequence(judgement).status == "hard_bounce" else "soft"
    return "soft" if recipient.action == "delayed" else "none"


def _judged(letter: Letter, depth: int) -> Report:
    """What is it?

    1. Fields of a feedback report, or a provider's older form      → feedback
    2. A read receipt: the mail arrived                             → none
    3. Fields of a delivery report, in their part or in the text    → bounce
    4. A provider's notification                                    → bounce or feedback
    5. A mail system's words of failure                             → bounce
    6. An automatic answer                                          → vacation
    7. One of these, passed on whole                                → what it was
    """
    if feedback := feedback_report.read(letter):
        return Report("feedback", feedback[1], feedback[0])
    if auto_reply.is_receipt(letter):
        return Report("none")
    if delivery := _delivery(letter):
        return delivery
    if notified := notification.read(letter):
        return notified
    if words := _words(letter):
        return words
    if auto_reply.is_auto_reply(letter):
        return Report("vacation", _answerer(letter))
    return _passed_on(letter, depth) if depth else Report("none")


def _delivery(letter: Letter) -> Report | None:
    """A report with the fields of RFC 3464, completed by its words where the fields leave something out."""
    declared = any(status_report.is_status(part) for part in letter.parts)
    declared = declared or letter.parameters.get("report-type", "").lower() == "delivery-status"
    if not declared and not mail_system.is_mail_system(letter.header):
        return None  # somebody's letter that talks about such fields
    recipients = status_report.read(letter)
    if not recipients and not declared:
        return None
    # The words are read where the fields give no cause, or might be contradicted.
    if not all(map(_is_explained, recipients)) or not recipients or causes.no_room(letter.text[:_WORDS]):
        recipients = _with_words(recipients, letter)
    return Report("bounce", tuple(one for one in recipients if one.address))


def _is_explained(one: Recipient) -> bool:
    """Do the fields say who it is, and why it failed?"""
    if not (one.address and one.diagnostic):
        return False
    return one.action != "failed" or causes.weight(one.diagnostic, one.status, one.mta) > 1


def _with_words(recipients: tuple[Recipient, ...], letter: Letter) -> tuple[Recipient, ...]:
    """What the fields name, with the diagnostics that stand in the text only; all from there where they name nobody."""
    told = _completed(prose.read(letter))
    if not any(one.address for one in recipients):
        nameless = recipients[0] if len(recipients) == len(told) == 1 else None
        return tuple(_joined(replace(nameless, address=one.address), one) if nameless else one for one in told)
    said = {name.lower(): one for one in told for name in (one.address, *one.also)}
    alone = told[0] if len(told) == len(recipients) == 1 else None
    if len(recipients) == 1 and not told:  # nobody else can be meant
        alone = Recipient(recipients[0].address, diagnostic=line(prose.sentence(letter)))
    return tuple(_joined(one, said.get(one.address.lower(), alone)) for one in recipients)


def _joined(fields: Recipient, words: Recipient | None) -> Recipient:
    """The fields with the diagnostic of the words, where that says more, or takes the proof away."""
    if words is None or not words.diagnostic:
        return fields
    if fields.diagnostic and not _is_better(words.diagnostic, fields):
        return fields
    status, code = status_report.codes_of(words.diagnostic, fields.status)
    return replace(fields, diagnostic=words.diagnostic, status=status, code=code, mta=fields.mta or words.mta)


def _is_better(said: str, fields: Recipient) -> bool:
    """Does a sentence say more than the diagnostic: a cause instead of none, or that there is no room?"""
    if causes.hedged(said):
        return False
    if causes.no_room(said) and not causes.no_room(fields.diagnostic):
        return consequence(classify(said)).status == "soft_bounce"
    return causes.weight(said) > max(causes.weight(fields.diagnostic, fields.status, fields.mta), 1)


def _words(letter: Letter) -> Report | None:
    """A bounce in prose. Who wrote it decides whether words of failure are believed."""
    header = letter.header
    if not mail_system.is_mail_system(header):
        return None
    failure = mail_system.says_failure(header)
    if not failure and auto_reply.is_auto_reply(letter, declared=not mail_system.bears_the_name(header)):
        return None
    recipients = _completed(prose.read(letter))
    return Report("bounce", recipients) if recipients or failure else None


def _completed(recipients: list[Recipient]) -> tuple[Recipient, ...]:
    """With the codes that their diagnostics hold, each address once."""
    found: dict[str, Recipient] = {}
    for one in recipients:
        status, code = status_report.codes_of(one.diagnostic, one.status)
        found.setdefault(one.address.lower(), replace(one, status=status, code=one.code or code))
    return tuple(found.values())


def _answerer(letter: Letter) -> tuple[Recipient, ...]:
    """Who an automatic answer is from."""
    address = status_report.address(letter.header.get("from").rpartition("<")[2])
    return (Recipient(address, "delivered", "", line(letter.header.get("subject"))),) if "@" in address else ()


def _passed_on(letter: Letter, depth: int) -> Report:
    """A report inside something else: enclosed as it came, or quoted whole under "Fwd:"."""
    inside = [read(part.octets) for part in letter.enclosed[:_MOST_REPORTS]]
    if not inside and _FORWARDED.match(letter.header.get("subject")):
        quoted = _QUOTED.sub("", letter.text)
        if start := _PASSED_ON.search(quoted):
            inside = [read(quoted[start.start() :].encode("utf-8", "replace"))]
    found = [(_judged(one, depth - 1), one) for one in inside]
    reports = [(report, one) for report, one in found if report.kind in ("bounce", "feedback")]
    if not reports:
        return Report("none")
    first, enclosed = reports[0]
    recipients = [one for report, _ in reports if report.kind == first.kind for one in report.recipients]
    return replace(first, recipients=tuple(recipients), original=_original(enclosed))


def _original(letter: Letter) -> Original:
    """The mail that a report is about, as its enclosed or copied header has it."""
    header = letter.original if letter.original.fields else _copied(letter.text)
    found = _ID.search(header.get("message-id"))
    return Original(
        message_id=found[1] if found else header.get("message-id").strip()[:998],
        from_=status_report.address(header.get("from").rpartition("<")[2]),
        to=feedback_report.addresses([header.get("to")]),
        subject=line(header.get("subject")),
        headers=header.fields,
    )


def _copied(text: str) -> Header:
    """The header of the original where it was copied into the words of the report."""
    for tried, start in enumerate(_COPIED_HEADER.finditer(text)):
        header = header_of(text[start.start() : start.start() + 16384])
        if len({name for name, _ in header.fields} & _OF_MAIL) >= 3:
            return header
        if tried == 20:
            break
    return Header()
