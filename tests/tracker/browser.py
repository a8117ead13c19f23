"""A real browser for the tests: headless Chromium, which meets nobody but this machine's loopback.

Every document is served from a loopback port with the charset of its part, and shown in a
sandboxed frame, where scripts do not run: as in a mail program. One run of the browser looks
at many documents.
"""

import json
import re
import shutil
import struct
import subprocess
import tempfile
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt install chromium)")

Colour = tuple[int, int, int]

_BLANK_PAGE = "<!DOCTYPE html><title>blank</title>"
_LOOK = """<!DOCTYPE html><meta charset="utf-8"><body><script>
const count = %d, pixel = %s, targets = %s, seen = [];
const resolved = url => targets[url] === undefined ? url : new URL(targets[url]).href;
function bare(doc) {
  const walker = doc.createTreeWalker(doc, NodeFilter.SHOW_COMMENT), comments = [];
  while (walker.nextNode()) comments.push(walker.currentNode);
  for (const comment of comments) comment.remove();
  return doc.documentElement.outerHTML;
}
function look(number) {
  const before = frames[2 * number].document, after = frames[2 * number + 1].document;
  const images = [...after.querySelectorAll('img')].filter(image => image.getAttribute('src') === pixel);
  const found = {
    before: [...before.links].map(link => link.href.replace(before.baseURI, '')),
    after: [...after.links].map(link => resolved(link.href).replace(after.baseURI, '')),
    tracked: [...after.links].filter(link => targets[link.href] !== undefined).length,
    pixels: images.length,
    clickable: images.filter(image => image.closest('a')).length,
  };
  images.forEach(image => image.remove());
  const written = [...before.querySelectorAll('[href]')], rewritten = [...after.querySelectorAll('[href]')];
  if (written.length === rewritten.length)
    written.forEach((link, at) => rewritten[at].setAttribute('href', link.getAttribute('href')));
  found.same = bare(before) === bare(after);
  return found;
}
for (let at = 0; at < 2 * count; at++) {
  const frame = document.createElement('iframe');
  frame.setAttribute('sandbox', 'allow-same-origin');
  frame.src = '/document/' + at;
  document.body.append(frame);
}
onload = () => {
  for (let at = 0; at < count; at++) seen.push(look(at));
  document.body.textContent = '';
  const report = document.createElement('pre');
  report.textContent = JSON.stringify(seen);
  document.body.append(report);
};
</script>"""


@dataclass(frozen=True)
class Pair:
    """A document and its copy."""

    before: bytes
    after: bytes
    charset: str = "utf-8"


@dataclass(frozen=True)
class Seen:
    """What the browser makes of a pair. The links of the copy are those their tokens name."""

    before: list[str]
    after: list[str]
    tracked: int
    pixels: int
    clickable: int  # pixels inside a link
    same: bool  # but for the targets of links, comments and the pixel, is it the same document?


@dataclass(frozen=True)
class Shown:
    """A picture, row by row."""

    rows: list[list[Colour]] = field(repr=False)

    @property
    def colours(self) -> set[Colour]:
        """All that are in it."""
        return {point for row in self.rows for point in row}

    def box(self, colour: Colour) -> tuple[int, int]:
        """Width and height of the smallest box around all points of this colour."""
        points = [(x, y) for y, row in enumerate(self.rows) for x, point in enumerate(row) if point == colour]
        across, down = zip(*points, strict=True)
        return max(across) - min(across) + 1, max(down) - min(down) + 1


def look(pairs: Sequence[Pair], *, targets: dict[str, str], pixel: str) -> list[Seen]:
    """What the browser sees in each pair; `targets` says which URL of ours stands for which target."""
    page = _LOOK % (len(pairs), _script(pixel), _script(targets))
    documents = [(side, pair.charset) for pair in pairs for side in (pair.before, pair.after)]
    with _served(page, documents) as base:
        shown = _chromium("--dump-dom", "--timeout=60000", base + "/")
    report = re.search(r"<pre>(.*)</pre>", shown, re.DOTALL)
    assert report is not None, shown[-2000:]
    return [Seen(**each) for each in json.loads(unescape(report[1]))]


def picture(document: bytes, charset: str, *, width: int = 700, height: int = 2400) -> bytes:
    """What `document` looks like, as a PNG. Nothing but the document itself is fetched."""
    with tempfile.TemporaryDirectory() as folder, _served(_BLANK_PAGE, [(document, charset)]) as base:
        file = Path(folder, "picture.png")
        _chromium(f"--screenshot={file}", f"--window-size={width},{height}", "--hide-scrollbars", base + "/document/0")
        return file.read_bytes()


def shown(url: str, *, width: int, dark: bool = False, height: int = 640) -> Shown:
    """What a page of a server of ours looks like, to somebody who likes it light or dark."""
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "picture.png")
        _chromium(f"--screenshot={file}", f"--window-size={width},{height}", "--hide-scrollbars", scheme, url)
        return _decoded(file.read_bytes())


def _decoded(png: bytes) -> Shown:
    """The points of a picture that Chromium made: RGB, 8 bits, not interlaced (ISO 15948)."""
    assert png[24:29] == b"\x08\x02\x00\x00\x00"
    width, height = struct.unpack(">II", png[16:24])
    packed, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        packed += png[at + 8 : at + 8 + length] if png[at + 4 : at + 8] == b"IDAT" else b""
        at += length + 12
    octets, stride = zlib.decompress(packed), 3 * width
    rows, above = [], bytearray(stride)
    for start in range(0, height * (stride + 1), stride + 1):
        row = _unfiltered(octets[start], bytearray(octets[start + 1 : start + 1 + stride]), above)
        rows.append([(row[x], row[x + 1], row[x + 2]) for x in range(0, stride, 3)])
        above = row
    return Shown(rows)


def _unfiltered(kind: int, row: bytearray, above: bytearray) -> bytearray:
    """ISO 15948 9.2: each octet is the difference to what is foretold from those to the left and above."""
    for at in range(len(row)) if kind else ():
        left, corner = (row[at - 3], above[at - 3]) if at > 2 else (0, 0)
        up = above[at]
        foretold = (0, left, up, (left + up) // 2, _paeth(left, up, corner))[kind]
        row[at] = (row[at] + foretold) & 255
    return row


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda each: abs(guess - each))


def _script(value: object) -> str:
    return json.dumps(value).replace("<", "\\u003c")


def _chromium(*arguments: str) -> str:
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory() as profile:
        run = subprocess.run(
            [
                CHROMIUM,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                f"--user-data-dir={profile}",
                *arguments,
            ],
            capture_output=True,
            timeout=120,
            check=True,
        )
    return run.stdout.decode()


@contextmanager
def _served(page: str, documents: Sequence[tuple[bytes, str]]) -> Iterator[str]:
    """Serve `page` at / and the documents at /document/N; gives the base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            number = self.path.removeprefix("/document/")
            known = number.isdigit() and int(number) < len(documents)
            body, charset = documents[int(number)] if known else (page.encode(), "utf-8")
            self.send_response(200 if known or self.path == "/" else 404)
            self.send_header("Content-Type", f"text/html; charset={charset}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
