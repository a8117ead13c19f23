"""The HTML document that says what a plain text says, so that opening it can be seen.

Line breaks, runs of blanks and quotes look as they did; URLs can be clicked and lead where the
text says. Nothing is added: no title, no colour, no font of its own, but that text whose columns
are lined up by blanks keeps letters of one width. The pixel is put in by others.

Rules: every character of the text is in the document, escaped, save controls that show nothing.
`format=flowed` is undone: a paragraph is one line, and every mail program wraps it as wide as its
window. Time is linear.
Standards: RFC 3676 (flowed), HTML 4.01 as old mail programs have it. Never raises.
"""

import html
import re
from collections.abc import Iterator

_HEAD = (
    '<!DOCTYPE html>\r\n<html>\r\n<head>\r\n<meta http-equiv="Content-Type" content="text/html; charset=utf-8">\r\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\r\n</head>\r\n'
    '<body>\r\n<div dir="auto"{style}>\r\n'
)
_TAIL = "</div>\r\n</body>\r\n</html>\r\n"
_ONE_WIDTH = ' style="font-family:monospace"'

_LINE_END = re.compile(r"\r\n|\r|\n")
_INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f]")
_COLUMNS = re.compile(r"\S(?:   |\t)[ \t]*+\S")  # two blanks only end a sentence, as some people write
_URL = re.compile(r"(?:https?://|mailto:)[^\s<>\"\x00-\x1f\x7f]+", re.IGNORECASE)
_RUN = re.compile(r" {2,}")
_PAIRS = {")": "(", "]": "[", "}": "{"}


def twin(text: str, *, flowed: bool = False, delsp: bool = False) -> str:
    """`text` as a whole HTML document in UTF-8. `flowed`, `delsp`: what its Content-Type says (RFC 3676 4)."""
    lines = _LINE_END.split(text)
    if lines[-1] == "":
        lines.pop()
    if flowed:
        lines = list(_paragraphs(lines, delsp=delsp))
    style = _ONE_WIDTH if _COLUMNS.search(text) else ""
    return _HEAD.format(style=style) + "".join(f"{_shown(line)}<br>\r\n" for line in lines) + _TAIL


def _paragraphs(lines: list[str], *, delsp: bool) -> Iterator[str]:
    """RFC 3676 4: lines that end in a blank go on in the next one of the same depth of quotes."""
    said: list[str] = []
    depth = 0
    for line in lines:
        rest = line.lstrip(">")
        quotes = len(line) - len(rest)
        rest = rest.removeprefix(" ")  # RFC 3676 4.4: stuffed with a blank
        signature = rest == "-- "  # RFC 3676 4.3: never flows, either way
        if said and (quotes != depth or signature):
            yield _quoted(said, depth)
            said = []
        depth = quotes
        flows = rest.endswith(" ") and not signature
        said.append(rest[:-1] if flows and delsp else rest)
        if not flows:
            yield _quoted(said, depth)
            said = []
    if said:
        yield _quoted(said, depth)


def _quoted(said: list[str], depth: int) -> str:
    return (">" * depth + " " if depth else "") + "".join(said)


def _shown(line: str) -> str:
    """One line as HTML: its URLs as links, its blanks as wide as they were."""
    line = _INVISIBLE.sub("", line).replace("\t", "    ")
    text = line.lstrip(" ")
    shown = ["&nbsp;" * (len(line) - len(text))]
    position = 0
    for found in _URL.finditer(text):
        url = _trimmed(found[0])
        if _URL.fullmatch(url):
            link = html.escape(url)
            shown += (_escaped(text[position : found.start()]), f'<a href="{link}">{link}</a>')
            position = found.start() + len(url)
    shown.append(_escaped(text[position:]))
    return "".join(shown)


def _trimmed(url: str) -> str:
    """Without what ends the sentence around it: points, quotes, and brackets that it does not open itself."""
    open_for = {bracket: url.count(opening) - url.count(bracket) for bracket, opening in _PAIRS.items()}
    end = len(url)
    while end and (url[end - 1] in ".,;:!?'*" or open_for.get(url[end - 1], 0) < 0):
        end -= 1
        if url[end] in open_for:
            open_for[url[end]] += 1
    return url[:end]


def _escaped(text: str) -> str:
    """`text` with runs of blanks made fast, which HTML would swallow; the last one may still end a line."""
    text = html.escape(text, quote=False)
    return _RUN.sub(lambda run: "&nbsp;" * (len(run[0]) - 1) + " ", text) if "  " in text else text
