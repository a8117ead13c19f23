"""What makes a copy trackable: links that lead through the tracker, a pixel, or an HTML twin with one.

Goes over the HTML parts of a message, has each of them rewritten, and writes the edits into it as
it is encoded. A part that cannot be read in one way only is left as it is; so is the whole
message where it is too much for us. The note says so, in words for people.

Rules: links are counted over all parts. The pixel is in one part only, the first that takes it. Signed
and encrypted text is never touched, PGP within a text included.
Pure; cost is capped: at most `MAX_HTML` octets are read, of a message with at most `MAX_TEXTS` of text.
"""

from dataclasses import dataclass

from relay.compose.alternative import PGP, give_twin
from relay.compose.draft import Draft
from relay.compose.parts import Part, Walked, walk
from relay.compose.transfer import LONGEST_LINE, decoded, splice
from relay.config import MIB, Tracking
from relay.return_path import unsubscribe_local
from tracker.rewrite import Policy, rewrite
from tracker.token import Keyring, Purpose, Token
from tracker.unsubscribe import urls

MAX_HTML = 2 * MIB  # octets, decoded, over all parts
MAX_TEXTS = 10 * MIB  # octets as they are encoded, plain text included
MAX_NOTE = 300  # characters


@dataclass(frozen=True, slots=True)
class Links:
    """The addresses in one recipient's copy: each holds a token of this delivery."""

    keyring: Keyring
    base_url: str
    queue_id: str
    number: int

    def click(self, target: str, link: int) -> str:
        """Where link number `link` (from 1; 0: the hidden one) of this copy leads, in place of `target`."""
        token = Token(self.queue_id, self.number, link, target)
        return f"{self.base_url}/c/{self.keyring.write(Purpose.CLICK, token)}"

    @property
    def pixel(self) -> str:
        """The picture that tells that the copy was opened."""
        return f"{self.base_url}/o/{self.keyring.write(Purpose.OPEN, Token(self.queue_id, self.number))}"

    @property
    def unsubscribe(self) -> str:
        """The page, and the one-click address, that stops mail like this."""
        return f"{self.base_url}/u/{self.keyring.write(Purpose.UNSUBSCRIBE, Token(self.queue_id, self.number))}"

    def unsubscribe_address(self, domain: str) -> str:
        """The address at `domain` that does the same for a mail program without a browser."""
        return f"{unsubscribe_local(self.keyring, self.queue_id, self.number)}@{domain}"


@dataclass(frozen=True, slots=True)
class Tracked:
    """What was done: is there a pixel, how many links lead through us, and why (a part of) it was left."""

    trackable: bool = False
    links: int = 0
    note: str = ""


def track(draft: Draft, links: Links, settings: Tracking, *, opens: bool, clicks: bool) -> Tracked:
    """Make the message of `draft` trackable as far as it is wanted and can be."""
    # 1. Walk the parts; closed, or too much: leave it.
    # 2. HTML: rewrite each part.
    # 3. No HTML: a twin, if opens are wanted and nothing is in doubt.
    walked = walk(draft.content, draft.fields, draft.end)
    if walked.closed:
        return Tracked(note=_note([walked.closed]))
    if sum(part.end - part.body for part in walked.parts) > MAX_TEXTS:
        return Tracked(note=f"it has more than {MAX_TEXTS // MIB} MiB of text")
    parts = [part for part in walked.parts if part.media.word == "text/html"]
    if parts:
        return _track_html(draft, parts, walked.doubts, links, settings, opens=opens, clicks=clicks)
    return _track_text(draft, walked, links, settings, opens=opens)


def _track_text(draft: Draft, walked: Walked, links: Links, settings: Tracking, *, opens: bool) -> Tracked:
    if walked.doubts:
        return Tracked(note=_note(walked.doubts))
    if not opens or settings.plain_text != "add_html":
        return Tracked()
    doubt = give_twin(draft, walked, links.pixel, links.queue_id)
    return Tracked(trackable=not doubt, note=doubt)


def _track_html(
    draft: Draft, parts: list[Part], doubts: list[str], links: Links, settings: Tracking, *, opens: bool, clicks: bool
) -> Tracked:
    policy = Policy(settings.visible_urls, settings.hidden_link, links.base_url)
    own = {
        url for field in draft.named("list-unsubscribe") for url in urls(field.value.decode("utf-8", "surrogateescape"))
    }
    pixel, count, octets = (links.pixel if opens else None), 0, 0
    for part in parts:
        raw = draft.content[part.body : part.end]
        # Encoded text has at most three times the octets of what it says; the rest need not be decoded to know.
        html = decoded(part.encoding, raw) if len(raw) <= 3 * MAX_HTML + MIB else None
        if html is None:
            doubts.append("an HTML part has an encoding with errors" if len(raw) <= MAX_HTML else _TOO_MUCH)
            continue
        octets += len(html)
        if octets > MAX_HTML:
            doubts.append(_TOO_MUCH)
            continue
        if PGP in html:
            doubts.append("an HTML part is signed or encrypted")
            continue
        rewritten = rewrite(
            html,
            part.media.parameters.get("charset", "us-ascii"),
            link=links.click if clicks else None,
            pixel=pixel,
            policy=policy,
            first=count + 1,
            unsubscribe=own,
            longest=None if part.encoding in ("quoted-printable", "base64") else LONGEST_LINE,
        )
        if rewritten.doubt:
            doubts.append(rewritten.doubt)
        if rewritten.edits:
            draft.replace(part.body, part.end, splice(part.encoding, raw, rewritten.edits))
        count += rewritten.links
        pixel = None if rewritten.pixel else pixel
    return Tracked(opens and pixel is None, count, _note(doubts))


_TOO_MUCH = f"it has more than {MAX_HTML // MIB} MiB of HTML"


def _note(doubts: list[str]) -> str:
    """All reasons in one line, each once."""
    return "; ".join(dict.fromkeys(doubts))[:MAX_NOTE]
