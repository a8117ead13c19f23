"""Content: where it ends, what its line ends become, and what it may cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.accept.body import Body, Budget, normalised

LIMIT = 100_000
# Made of what could be mistaken for an end of data.
TRICKY = st.lists(st.sampled_from([b"\r", b"\n", b".", b"a", b"\r\n", b"..", b"\r\n."]), max_size=30).map(b"".join)
CUTS = st.lists(st.integers(min_value=1, max_value=5), max_size=40)


def collect(stream: bytes, cuts: list[int]) -> tuple[bytes, bytes] | None:
    """The content and what follows it, of a stream fed in pieces; None if it never ended."""
    body = Body(LIMIT, Budget(LIMIT))
    position = 0
    for size in [*cuts, len(stream)]:
        chunk = stream[position : position + size]
        position += len(chunk)
        rest = body.feed(chunk)
        if rest is not None:
            return body.unstuffed(), rest + stream[position:]
    return None


def stuffed(content: bytes) -> bytes:
    """What a client sends for lines that all end in CRLF: RFC 5321 4.5.2."""
    return b"".join(b"." + line if line.startswith(b".") else line for line in content.splitlines(keepends=True))


@given(TRICKY, CUTS)
def test_data_ends_at_the_first_crlf_dot_crlf_and_nowhere_else(stream: bytes, cuts: list[int]) -> None:
    """RFC 5321 4.1.1.4: whatever the chunks, whatever looks like it."""
    end = (b"\r\n" + stream).find(b"\r\n.\r\n")
    found = collect(stream, cuts)
    if end < 0:
        assert found is None
    else:
        assert found is not None
        assert found[1] == stream[end + 3 :]


@given(st.lists(st.sampled_from([b".", b"..", b"", b"a", b".a", b"a."]), max_size=12), CUTS)
def test_what_was_stuffed_comes_out_as_it_was(lines: list[bytes], cuts: list[int]) -> None:
    """RFC 5321 4.5.2: the dots that the client added are taken off, no other."""
    content = b"".join(line + b"\r\n" for line in lines)
    assert collect(stuffed(content) + b".\r\nQUIT\r\n", cuts) == (content, b"QUIT\r\n")


@given(TRICKY, CUTS)
def test_no_bare_line_end_is_ever_kept(stream: bytes, cuts: list[int]) -> None:
    """Every CR is followed by LF and every LF preceded by CR, and content ends in both."""
    found = collect(stream.replace(b"\r\n.\r\n", b"") + b"\r\n.\r\n", cuts)
    assert found is not None
    bare = found[0].replace(b"\r\n", b"")
    assert b"\r" not in bare and b"\n" not in bare
    assert not found[0] or found[0].endswith(b"\r\n")


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        (b"", b""),
        (b"a", b"a\r\n"),
        (b"a\r", b"a\r\n"),
        (b"a\n", b"a\r\n"),
        (b"a\rb\nc\r\nd", b"a\r\nb\r\nc\r\nd\r\n"),
        (b"\r\r\n\n", b"\r\n\r\n\r\n"),
        (b"\n.\n", b"\r\n.\r\n"),
    ],
)
def test_bare_line_ends_become_crlf(given_: bytes, kept: bytes) -> None:
    """One line end for each CR, LF or CRLF."""
    assert normalised(given_) == kept


@given(TRICKY)
def test_settling_line_ends_twice_changes_nothing(content: bytes) -> None:
    """What is settled stays as it is."""
    assert normalised(normalised(content)) == normalised(content)


# A dot alone on the first line would be the end itself.
@given(st.binary(max_size=200).filter(lambda b: b"\n" not in b and b != b"."), CUTS)
def test_over_the_limit_octets_are_dropped_and_the_end_is_still_found(content: bytes, cuts: list[int]) -> None:
    """A client that sends too much gets its reply after its dot, and we kept no more than the limit."""
    budget = Budget(LIMIT)
    body = Body(10, budget)
    stream = content + b"\r\n.\r\nNOOP"
    rest = None
    position = 0
    for size in [*cuts, len(stream)]:
        chunk = stream[position : position + size]
        position += len(chunk)
        rest = body.feed(chunk)
        assert budget.taken <= 10 + 5  # and what may be the end
        if rest is not None:
            break
    assert rest is not None
    assert (rest + stream[position:]) == b"NOOP"
    assert body.too_big == (len(content) + 2 > 10)
    body.close()
    assert budget.taken == 0


def test_content_that_grows_over_the_limit_when_its_line_ends_are_settled_is_too_big() -> None:
    """The limit holds for what we keep, not only for what came."""
    body = Body(10, Budget(LIMIT))
    body.add(b"\n" * 8)
    assert not body.too_big
    assert len(body.plain()) == 16
    assert body.too_big


def test_the_budget_of_all_sessions_is_one() -> None:
    """What one session holds another cannot have; what it gives back it can."""
    budget = Budget(100)
    one, two = Body(LIMIT, budget), Body(LIMIT, budget)
    one.add(b"x" * 80)
    two.add(b"x" * 30)
    assert two.no_memory and not one.no_memory
    one.close()
    assert budget.taken == 0
