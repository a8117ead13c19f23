"""The words every part speaks: replies, queue ids, the moves of a delivery, credentials."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.credential import PREFIX, Credential, Secret, digest, new_secret
from relay.delivery import BOUNCED, MOVES, OPEN, WAITING, Status
from relay.queue_id import EPOCH, WRITERS, QueueIds
from relay.reply import MAX_TEXT, Reply, printable

S = Status

# Replies


def test_a_reply_keeps_its_code_its_enhanced_code_and_its_text_apart() -> None:
    """RFC 2034 4: the enhanced code opens the text, and is not part of it."""
    assert Reply.parse(550, "5.1.1 User unknown") == Reply(550, "5.1.1", "User unknown")


def test_a_reply_of_several_lines_repeats_its_enhanced_code() -> None:
    """RFC 2034 4: every line has it; the first one counts, and all are taken off."""
    reply = Reply.parse(550, "5.7.1 Blocked\n5.7.1 see https://example.org\n5.7.0 end")
    assert reply == Reply(550, "5.7.1", "Blocked\nsee https://example.org\nend")
    assert reply.line == "550 5.7.1 Blocked see https://example.org end"


@pytest.mark.parametrize("text", ["4.2.1 later", "5.1 x", "5.1.1x", "5.1234.1 x", "see 5.1.1"])
def test_what_is_no_enhanced_code_stays_text(text: str) -> None:
    """RFC 2034 4: its class is the first digit of the code, and it stands alone at the start."""
    assert Reply.parse(550, text) == Reply(550, None, text)


def test_an_enhanced_code_may_stand_alone() -> None:
    """A reply without text is shown without trailing blanks."""
    assert Reply.parse(250, "2.1.5") == Reply(250, "2.1.5", "")
    assert Reply.parse(250, "2.1.5").line == "250 2.1.5"
    assert Reply.parse(250, "").line == "250"


@pytest.mark.parametrize(
    ("code", "kind"), [(250, "positive"), (354, "positive"), (451, "transient"), (550, "permanent")]
)
def test_the_first_digit_says_what_a_reply_means(code: int, kind: str) -> None:
    """RFC 5321 4.2.1: exactly one of positive, transient and permanent."""
    reply = Reply(code, None, "")
    assert [name for name in ("positive", "transient", "permanent") if getattr(reply, name)] == [kind]


@pytest.mark.parametrize("trick", ["\x1b", "\x9b", "\r", "\u2028", "\u202e", "\u2066", "\udcff"])
def test_a_reply_cannot_forge_what_a_person_reads(trick: str) -> None:
    """Nothing in it moves the cursor, ends the line or turns the reading direction."""
    assert Reply.parse(550, f"no{trick}such user").line == "550 no?such user"


@given(st.integers(200, 599), st.text(max_size=3000))
def test_any_text_makes_a_reply_that_can_be_shown(code: int, text: str) -> None:
    """Whatever a server says is on one line, without control characters, encodable, and not endless."""
    reply = Reply.parse(code, text)
    assert reply.code == code
    assert len(reply.text) <= MAX_TEXT + 1
    assert printable(reply.line) == reply.line
    reply.line.encode("utf-8")


@given(st.text(alphabet="abc 5.17\n", max_size=200))
def test_a_reply_that_was_shown_reads_the_same(text: str) -> None:
    """The line of a reply, read as a reply, is that reply on one line."""
    reply = Reply.parse(550, text)
    again = Reply.parse(550, reply.line.removeprefix("550").lstrip())
    assert again.line == reply.line or reply.enhanced is None


# Queue ids


@given(st.integers(0, 5000), st.lists(st.integers(-50, 3000), max_size=40))
def test_queue_ids_sort_by_time_and_never_come_twice(writer: int, steps: list[int]) -> None:
    """Whatever the clock does, back or not at all, each id of a writer is above the one before."""
    clock = {"ms": EPOCH + 200_000_000_000}
    ids = QueueIds(writer, lambda: clock["ms"] / 1000)
    made = []
    for step in steps:
        clock["ms"] += step
        made += [ids.next(), ids.next()]
    assert made == sorted(set(made))
    assert all(re.fullmatch(r"[0-9a-z]{12}", name) for name in made)


def test_one_millisecond_has_room_for_more_than_its_numbers() -> None:
    """When the 2,048 numbers of a millisecond are used up, the next one's are taken: still no id twice."""
    ids = QueueIds(1, lambda: 1_795_262_400.0)
    made = [ids.next() for _ in range(10_000)]
    assert made == sorted(set(made))


def test_two_writers_never_make_the_same_id() -> None:
    """The writer's number is in the id."""
    one, other = (QueueIds(writer, lambda: 1_795_262_400.0) for writer in (3, WRITERS - 1))
    assert not {one.next() for _ in range(5000)} & {other.next() for _ in range(5000)}


def test_queue_ids_have_twelve_characters_until_2089() -> None:
    """The last millisecond of 41 bits still fits."""
    last = (EPOCH + 2**41 - 1) / 1000
    assert len(QueueIds(WRITERS - 1, lambda: last).next()) == 12


# Moves


def test_every_status_is_in_the_table_and_can_be_reached() -> None:
    """No status is forgotten, and each one follows from another."""
    assert set(MOVES) == set(Status)
    assert frozenset[Status]().union(*MOVES.values()) == set(Status)


def test_from_every_status_that_waits_a_decision_can_be_reached() -> None:
    """Nothing waits forever: what is open or held can be sent, bounced, rejected or cancelled."""
    for status in WAITING:
        assert {S.SENT, S.HARD_BOUNCE, S.SOFT_BOUNCE, S.REJECTED, S.CANCELLED} <= MOVES[status]


def test_a_bounce_is_final() -> None:
    """What has bounced stays so; and what was sent can bounce late, but waits no more."""
    assert all(not MOVES[status] for status in BOUNCED)
    assert MOVES[S.SENT] == BOUNCED
    assert not MOVES[S.SENT] & WAITING


def test_held_is_waiting_but_no_attempt_will_come() -> None:
    """The queue counts what is held; the dispatcher does not try it."""
    assert {S.HELD} == WAITING - OPEN
    assert {str(status) for status in Status} == {
        *("creating", "spooled", "deferred", "held", "sent"),
        *("hard_bounce", "soft_bounce", "rejected", "cancelled"),
    }


# Credentials

APP = Credential("app", (Secret(digest("mt_one")),), created_at=0)


def test_new_secrets_differ_and_can_be_recognised() -> None:
    """No secret comes twice; each has our prefix and 192 bits of chance."""
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(secret.startswith(PREFIX) and len(secret) == len(PREFIX) + 32 for secret in made)


def test_a_credential_keeps_no_secret() -> None:
    """What is stored does not contain what was shown."""
    assert "mt_one" not in repr(APP)


@given(st.text())
def test_only_its_secret_matches(secret: str) -> None:
    """Any other text, broken UTF-8 included, is wrong."""
    assert APP.matches("mt_one", now=1)
    assert APP.matches(secret, now=1) is (secret == "mt_one")
    assert not APP.matches("\udcff", now=1)


def test_a_rotated_secret_is_good_until_its_grace_time_ends() -> None:
    """During a rotation both secrets work; at its end only the new one."""
    app = replace(APP, secrets=(Secret(digest("new")), Secret(digest("old"), expires_at=100.0)))
    assert app.matches("new", now=99)
    assert app.matches("old", now=99)
    assert app.matches("new", now=100)
    assert not app.matches("old", now=100)


def test_a_revoked_credential_matches_nothing() -> None:
    """Revoked is revoked, for every secret."""
    assert not replace(APP, revoked_at=5.0).matches("mt_one", now=6)


def test_networks_bound_where_a_credential_comes_from() -> None:
    """Without networks it may come from everywhere; with them from there alone, IPv4 and IPv6 apart."""
    assert APP.may_come_from("203.0.113.9")
    app = replace(APP, networks=("192.0.2.0/24", "2001:db8::/32"))
    assert [ip for ip in ("192.0.2.7", "192.0.3.7", "2001:db8::1", "::1") if app.may_come_from(ip)] == [
        "192.0.2.7",
        "2001:db8::1",
    ]


@pytest.mark.parametrize(
    ("allowed", "domain", "may"),
    [
        ((), "anything.example", True),
        (("shop.example",), "shop.example", True),
        (("shop.example",), "mail.shop.example", False),
        (("shop.example",), "myshop.example", False),
        ((".shop.example",), "shop.example", True),
        ((".shop.example",), "mail.shop.example", True),
        ((".shop.example",), "myshop.example", False),
        (("a.example", "b.example"), "b.example", True),
    ],
)
def test_domains_bound_what_a_credential_sends_from(allowed: tuple[str, ...], domain: str, may: bool) -> None:
    """Exactly the domains it names; a leading dot adds the subdomains; without any, all."""
    assert replace(APP, domains=allowed).may_send_from(domain) is may
