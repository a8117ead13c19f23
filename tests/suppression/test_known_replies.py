"""What servers are known to say has its class, and no living address is taken for a dead one by misleading words."""

import tomllib
from pathlib import Path

import pytest

from suppression.replies import classify

HERE = Path(__file__).parent
RULES = [
    rule
    for name in ("replies", "replies_about_us", "replies_misleading", "replies_tongues")
    for rule in tomllib.loads((HERE / f"{name}.toml").read_text())["rule"]
]
KNOWN = [(rule["class"], rule["why"], reply) for rule in RULES for reply in rule["replies"]]
DEAD = ("hard", "inactive")
LIVING = [(why, reply) for cls, why, reply in KNOWN if cls not in DEAD]
# In front of a reply, or behind it: what a report or a server in between adds, and what changes nothing.
FRAMES = [
    "smtp; {}",
    "{} - abc123.45",
    "host mx.x.test[198.51.100.7] said: {} (in reply to RCPT TO command)",
    "SMTP error from remote mail server after RCPT TO:<ada@x.test>: host mx.x.test [198.51.100.7]: {}",
    "198.51.100.7 does not like recipient. Remote host said: {} Giving up on 198.51.100.7.",
    "Remote Server returned '{}'",
    "<ada@x.test>: {}",
]
# What is not the recipient, and what is said of recipients who are dead.
OURS = [
    "your IP address", "your domain", "the sender domain", "the sending server", "your certificate", "your hostname",
    "the URL in your message", "your reply-to address", "the HELO name", "your return path", "the attachment",
    "this command", "the mail server", "our database", "the session", "the From address", "envelope sender",
    "the client host", "your account", "sender's mailbox", "sending account", "the network", "the token",
    "the content type", "MAIL FROM address", "your DKIM key",
]  # fmt: skip
SAID = [
    "unknown", "does not exist", "not found", "could not be found", "is not known here", "is not local", "isn't valid",
    "is invalid", "is disabled", "is inactive", "is not active", "was suspended", "was terminated", "is frozen",
    "is closed", "is blocked", "has expired", "has been deleted", "has moved", "is unavailable", "is no longer valid",
    "is no longer available", "cannot be resolved", "is malformed",
]  # fmt: skip


@pytest.mark.parametrize(("cls", "why", "reply"), KNOWN)
def test_a_known_reply_has_its_class(cls: str, why: str, reply: str) -> None:
    """The class is what the rule of its group says."""
    found = classify(reply)
    assert found.cls == cls, f"{why}; but {found.rule}"


@pytest.mark.parametrize("frame", FRAMES)
def test_a_living_address_stays_alive_however_the_reply_is_passed_on(frame: str) -> None:
    """What is no proof about the address is none in a report either."""
    assert [reply for _, reply in LIVING if classify(frame.format(reply)).cls in DEAD] == []


@pytest.mark.parametrize("ours", OURS)
def test_what_is_ours_or_theirs_is_not_the_recipient_whatever_is_said_of_it(ours: str) -> None:
    """A certificate that is unknown, a server that has moved, a sender who does not exist: nobody is dead."""
    assert [said for said in SAID if classify(f"550 {ours} {said}").cls in DEAD] == []


@pytest.mark.parametrize("frame", FRAMES)
def test_a_dead_address_is_found_however_the_reply_is_passed_on(frame: str) -> None:
    """What is proof stays proof."""
    dead = [reply for cls, _, reply in KNOWN if cls in DEAD]
    assert [reply for reply in dead if classify(frame.format(reply)).cls not in DEAD] == []


@pytest.mark.parametrize(
    "words", ["mailbox unavailable", "mailbox disabled", "recipient does not exist", "domain not found"]
)
def test_for_now_is_no_proof(words: str) -> None:
    """RFC 5321 4.2.1: a 4yz reply says that it may go well later; only the plainest words outweigh it."""
    assert classify(f"550 {words}").cls in DEAD
    assert classify(f"450 {words}").cls not in DEAD
    assert classify("Sorry, the mailbox is disabled. (#4.2.1)").cls not in DEAD
    assert classify("450 4.1.1 user unknown").cls == "hard"
