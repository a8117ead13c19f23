"""Recipients and their programs: a mail as it is read, and requests as they come to the public web.

    letter = Letter(mx.messages[0].content)
    web = Web(program.tracking)
    await web.get(letter.pixel)                      # a person with a browser
    await web.get(letter.links[0], SCANNER)
    await web.one_click(letter.unsubscribe)

All links begin with `BASE`, a name that nobody asks the DNS for: a proxy stands before the relay, which tells it
where visitors come from, and `Web` is that proxy.
"""

import email.policy
import re
from dataclasses import dataclass
from email.message import EmailMessage
from html import unescape
from typing import Any

from aiohttp import ClientSession, DummyCookieJar, FormData

BASE = "https://t.shop.test"
TRACKING = {"listen": ["127.0.0.1:0"], "base_url": BASE, "trusted_proxies": ["127.0.0.1"]}


@dataclass(frozen=True)
class Visitor:
    """What it calls itself, and where it comes from."""

    agent: str
    address: str = "203.0.113.7"


PERSON = Visitor(
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
)
GMAIL = Visitor(
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", "66.249.84.1"
)
APPLE = Visitor("Mozilla/5.0", "104.28.40.1")
SCANNER = Visitor("Mozilla/5.0 (compatible; Barracuda Link Protection)", "198.51.100.9")


class Letter:
    """A mail as its recipient's program sees it."""

    def __init__(self, content: bytes) -> None:
        message = email.message_from_bytes(content, policy=email.policy.SMTP)
        assert isinstance(message, EmailMessage)
        self.message = message

    def text(self, subtype: str) -> str:
        """The first text part of this subtype; empty where there is none."""
        for part in self.message.walk():
            if part.get_content_type() == f"text/{subtype}":
                assert isinstance(part, EmailMessage)
                return str(part.get_content())
        return ""

    @property
    def links(self) -> list[str]:
        """Where links lead, in order."""
        found = re.findall(r"""<a\b[^>]*\bhref=(["'])(.*?)\1""", self.text("html"), re.IGNORECASE)
        return [unescape(target) for _, target in found]

    @property
    def pixel(self) -> str:
        """The picture that is fetched when the mail is shown; empty: none of ours is in it."""
        found = re.search(rf'<img\b[^>]*\bsrc="({re.escape(BASE)}/o/[^"]*)"', self.text("html"))
        return unescape(found[1]) if found else ""

    @property
    def unsubscribe(self) -> str:
        """RFC 8058: where one click unsubscribes; empty where that is not offered."""
        if self.message["List-Unsubscribe-Post"] != "List-Unsubscribe=One-Click":
            return ""
        found = re.search(r"<(https:[^>]*)>", self.message["List-Unsubscribe"])
        return found[1] if found else ""


@dataclass(frozen=True)
class Answer:
    """What the public web said."""

    status: int
    target: str  # of a redirect
    body: bytes

    @property
    def text(self) -> str:
        """A page's words."""
        return self.body.decode()


class Web:
    """The way to a relay's public web at `address` (host, port)."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._here = "http://{}:{}".format(*address)

    async def get(self, url: str, visitor: Visitor = PERSON, *, method: str = "GET") -> Answer:
        """Follow a link, or fetch a picture."""
        return await self._ask(method, url, visitor)

    async def press(self, url: str, button: str, visitor: Visitor = PERSON, **fields: str) -> Answer:
        """Press a button of the page at `url`."""
        return await self._ask("POST", url, visitor, data={"do": button, **fields})

    async def one_click(self, url: str, visitor: Visitor = PERSON, *, multipart: bool = False) -> Answer:
        """RFC 8058 3.1: as mail programs do it, in both encodings."""
        form = FormData(default_to_multipart=multipart)
        form.add_field("List-Unsubscribe", "One-Click")
        return await self._ask("POST", url, visitor, data=form)

    async def _ask(self, method: str, url: str, visitor: Visitor, **what: Any) -> Answer:
        assert url.startswith(f"{BASE}/"), f"{url!r} does not lead to us"
        headers = {"User-Agent": visitor.agent, "X-Forwarded-For": visitor.address}
        async with (
            ClientSession(cookie_jar=DummyCookieJar()) as client,
            client.request(
                method, self._here + url.removeprefix(BASE), headers=headers, allow_redirects=False, **what
            ) as said,
        ):
            return Answer(said.status, said.headers.get("Location", ""), await said.read())
