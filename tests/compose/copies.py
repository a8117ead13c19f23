"""Copies as the tests of this folder make them, and how to take the tracking out of one again."""

import email
import email.policy
import html
import re
from dataclasses import replace
from email.message import Message as Parsed
from typing import Any

from relay.compose.render import Copy, Making, render
from relay.config import Tracking
from relay.envelope import Message
from tests.compose.letters import MESSAGE, NOON, delivery
from tracker.token import Keyring, Purpose, Token

BASE = "https://t.example.com"
KEYRING = Keyring({1: bytes(range(32))})
HEAD = b"From: billing@example.com\r\nSubject: Hi\r\nMIME-Version: 1.0\r\n"
_CLICK = re.compile(rb"https://t\.example\.com/c/([A-Za-z0-9_-]+)")
_PIXEL = re.compile(rb'<img\s+src="https://t\.example\.com/o/([A-Za-z0-9_-]+)"[^>]*>')


def unsigned(content: bytes, domain: str, now: float) -> bytes:
    """What a relay without keys puts on top."""
    return b""


def making(sign: Any = unsigned, bounce_domain: str | None = None, **tracking: Any) -> Making:
    """A worker that tracks what it may."""
    settings = Tracking(**{"base_url": BASE} | tracking)
    return Making("relay.example.com", settings, KEYRING, sign, bounce_domain)


MAKING = making()


def copy_of(
    content: bytes, making: Making = MAKING, *, number: int = 0, message: Message = MESSAGE, **wants: Any
) -> Copy:
    """The copy of `content` for one recipient of a message with these wants."""
    return render(delivery(message=replace(message, **wants), number=number), content, making, NOON)


def multipart(subtype: str, boundary: str, *parts: bytes, preamble: bytes = b"", epilogue: bytes = b"\r\n") -> bytes:
    """A part (or message) that holds these."""
    edge = f"--{boundary}".encode()
    inner = b"".join(edge + b"\r\n" + part + b"\r\n" for part in parts)
    head = f'Content-Type: multipart/{subtype}; boundary="{boundary}"\r\n\r\n'.encode()
    return head + preamble + inner + edge + b"--" + epilogue


def parsed(content: bytes) -> Parsed:
    """As Python's email package reads it."""
    return email.message_from_bytes(content, policy=email.policy.compat32.clone(linesep="\r\n"))


def leaves(content: bytes) -> list[tuple[str, bytes]]:
    """Type and decoded body of every part that holds no others, in order."""
    parts = [part for part in parsed(content).walk() if not part.is_multipart()]
    return [(part.get_content_type(), bytes(part.get_payload(decode=True))) for part in parts]


def html_of(copy: Copy) -> bytes:
    """The first HTML part, decoded."""
    return next(body for kind, body in leaves(copy.content) if kind == "text/html")


def clicks(octets: bytes) -> list[Token]:
    """What the tracker's links in there say; each must be genuine."""
    tokens = [KEYRING.read(Purpose.CLICK, found[1].decode()) for found in _CLICK.finditer(octets)]
    assert None not in tokens
    return [token for token in tokens if token is not None]


def pixels(octets: bytes) -> list[Token | None]:
    """What the pixels in there say."""
    return [KEYRING.read(Purpose.OPEN, found[1].decode()) for found in _PIXEL.finditer(octets)]


def restored(octets: bytes) -> bytes:
    """HTML with the tracking taken out again: links lead where they led, and the pixel is gone."""

    def target(found: re.Match[bytes]) -> bytes:
        token = KEYRING.read(Purpose.CLICK, found[1].decode())
        assert token is not None
        return html.escape(token.target).encode()

    return _PIXEL.sub(b"", _CLICK.sub(target, octets))
