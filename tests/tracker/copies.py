"""Copies for the tests: HTML rewritten with real tokens, and read back."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from tracker.rewrite import Policy, Rewritten, rewrite
from tracker.token import Keyring, Purpose, Token

BASE = "https://t.example.com"
KEYRING = Keyring({1: bytes(range(32))})
QUEUE_ID = "3gqf3x0vk1s8"
PIXEL = f"{BASE}/o/{KEYRING.write(Purpose.OPEN, Token(QUEUE_ID, 2))}"
PLAIN = Policy(own=BASE)
ALL = Policy(visible_urls=True, own=BASE)
NEWSLETTERS = Path(__file__).with_name("newsletters")


def link(target: str, number: int) -> str:
    """The tracker's URL of a link, as the relay makes it."""
    return f"{BASE}/c/{KEYRING.write(Purpose.CLICK, Token(QUEUE_ID, 2, number, target))}"


def token(url: str) -> Token:
    """What a URL of ours says; it must be one."""
    said = KEYRING.read(Purpose.CLICK, url.removeprefix(f"{BASE}/c/"))
    assert said is not None, url
    return said


@dataclass(frozen=True)
class Copied:
    """HTML, its edits, and what comes of them."""

    html: bytes
    made: Rewritten

    @property
    def after(self) -> bytes:
        """The copy."""
        return edited(self.html, self.made)

    @property
    def tokens(self) -> list[Token]:
        """What the tracked links say, in order."""
        starts = (edit.new.find(BASE.encode() + b"/c/") for edit in self.made.edits)
        urls = [edit.new[at:] for edit, at in zip(self.made.edits, starts, strict=True) if at >= 0]
        return [token(url.split(b'"')[0].split(b"'")[0].split(b"\r")[0].decode()) for url in urls]

    @property
    def targets(self) -> list[str]:
        """Where they lead."""
        return [said.target for said in self.tokens]


def copied(
    html: bytes,
    charset: str = "utf-8",
    *,
    policy: Policy = PLAIN,
    clicks: bool = True,
    pixel: str | None = None,
    first: int = 1,
    unsubscribe: Collection[str] = (),
    longest: int | None = None,
) -> Copied:
    """The copy of an HTML part; without a pixel unless asked for."""
    made = rewrite(
        html,
        charset,
        link=link if clicks else None,
        pixel=pixel,
        policy=policy,
        first=first,
        unsubscribe=unsubscribe,
        longest=longest,
    )
    return Copied(html, made)


def edited(html: bytes, made: Rewritten) -> bytes:
    """`html` with the edits made."""
    parts, at = [], 0
    for edit in made.edits:
        parts += [html[at : edit.start], edit.new]
        at = edit.end
    return b"".join(parts) + html[at:]


def undone(html: bytes, made: Rewritten) -> bytes:
    """The copy with the rewriting taken out again, found by what was written and where."""
    copy, moved = edited(html, made), 0
    for edit in made.edits:
        start = edit.start + moved
        assert copy[start : start + len(edit.new)] == edit.new
        copy = copy[:start] + html[edit.start : edit.end] + copy[start + len(edit.new) :]
    return copy
