"""The language of filters, and the SQL that it becomes."""

import re
import sqlite3
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.filters import ANY, KEYS, Filter, FilterError, Term, parse, seconds
from relay.store.search import where

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC).timestamp()
BERLIN = timezone(timedelta(hours=1))

FREE = [key for key in KEYS if key not in ("status", "domain", "code", "dsn", "after", "before")]


def one(text: str) -> Term:
    (term,) = parse(text, NOW).terms
    return term


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("to:ada@", Term("to", ("ada@",))),
        ("status:deferred,soft_bounce", Term("status", ("deferred", "soft_bounce"))),
        ("status:soft-bounce", Term("status", ("soft_bounce",))),
        ('subject:"receipt 47"', Term("subject", ("receipt 47",))),
        ('subject:"a, \\"b\\" \\\\"', Term("subject", ('a, "b" \\',))),
        ("-tag:newsletter", Term("tag", ("newsletter",), negated=True)),
        ("!tag:newsletter", Term("tag", ("newsletter",), negated=True)),
        ("to:=ada@example.com", Term("to", ("ada@example.com",), exact=True)),
        ('to:="ada@example.com"', Term("to", ("ada@example.com",), exact=True)),
        ("receipt", Term(ANY, ("receipt",))),
        ('-"the receipt"', Term(ANY, ("the receipt",), negated=True)),
        ("domain:Bücher.DE", Term("domain", ("xn--bcher-kva.de",))),
        ("code:5xx", Term("code", ("5",))),
        ("dsn:5.7", Term("dsn", ("5.7",))),
        ("id:3KQ7MVT2Z0HY", Term("id", ("3kq7mvt2z0hy",))),
        ("msgid:<a@b.c>", Term("msgid", ("<a@b.c>",))),
        ("STATUS:sent", Term("status", ("sent",))),
        ("after:7d", Term("after", at=NOW - 7 * 86400)),
        ("before:2026-11-20T18:00+01:00", Term("before", at=datetime(2026, 11, 20, 17, tzinfo=UTC).timestamp())),
    ],
)
def test_a_term_is_a_key_and_its_values(text: str, term: Term) -> None:
    """Keys, alternatives, quotes, negation, whole values and dates are read as the page about filters says."""
    assert one(text) == term


def test_a_date_without_an_offset_is_in_the_callers_zone() -> None:
    """`after:2026-11-20` begins at midnight where the person is."""
    (term,) = parse("after:2026-11-20", NOW, BERLIN).terms
    assert term.at == datetime(2026, 11, 19, 23, tzinfo=UTC).timestamp()


def test_several_texts_must_all_hold() -> None:
    """Arguments of a command are read one by one, so that a quote in one cannot swallow the next."""
    assert parse(["to:a status:sent", "tag:x"], NOW) == parse("to:a status:sent tag:x", NOW)


@pytest.mark.parametrize(
    ("text", "problem", "hint"),
    [
        ("statsu:sent", "unknown filter statsu:", "status:"),
        ("is:opened", "unknown filter is:", "the filters are"),
        ("link:/invoice/", "unknown filter link:", None),
        ("status:defered", "unknown status 'defered'", "status:deferred"),
        ("to:", "'to:' has no value", None),
        ("to:a,", "'to:a,' has no value", None),
        ("-", "'-' has no value", None),
        ('""', "has no value", None),
        ('subject:"never closed', "never closed", "close it"),
        ('subject:"a"b', "cannot read", "quotes"),
        ("hello, world", "cannot read", "quotes"),
        ("code:99", "'99' is not a reply code", "code:550"),
        ("dsn:hello", "'hello' is not an enhanced code", "dsn:5.1.1"),
        ("after:yesterday-ish", "is not a moment", "after:7d"),
        ("after:1d,2d", "takes one moment", None),
        ("to:a\x00b", "control characters", None),
        ("to:a\udc80", "broken UTF-8", None),
        ("to:" + "a" * 1001, "too long", None),
    ],
)
def test_what_is_not_understood_is_never_passed_over(text: str, problem: str, hint: str | None) -> None:
    """A filter that cannot be read says what is wrong, and what was probably meant."""
    with pytest.raises(FilterError) as caught:
        parse(text, NOW)
    assert problem in str(caught.value)
    if hint:
        assert hint in (caught.value.hint or "")


def test_lengths_of_time_have_a_unit() -> None:
    """`90s`, `10m`, `24h`, `7d`, `2w`; a bare number is nobody's guess."""
    assert [seconds(text) for text in ("90s", "10m", "24h", "7d", "2w")] == [90, 600, 86400, 604800, 1209600]
    with pytest.raises(FilterError):
        seconds("90")


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from([*KEYS, ":", '"', "=", "-", ",", "a", " ", "\\", "7d"])).map("".join)
)
def test_any_text_is_a_filter_or_a_filter_error(text: str) -> None:
    """Nothing that anybody types leads to another exception, and what is read can be written and read again."""
    try:
        found = parse(text, NOW)
    except FilterError:
        return
    assert parse(str(found), NOW) == found


values = st.lists(
    st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=20).filter(str.strip),
    min_size=1,
    max_size=3,
)


@given(st.sampled_from([*FREE, ANY]), values, st.booleans(), st.booleans())
def test_what_people_type_is_only_ever_a_parameter(key: str, typed: list[str], negated: bool, exact: bool) -> None:
    """The SQL depends on the shape of the filter alone: other values of the same shape give the same text."""
    if key == ANY:
        typed = typed[:1]
    found = Filter((Term(key, tuple(typed), negated, exact),))
    harmless = Filter((Term(key, tuple("x" for _ in typed), negated, exact),))
    text, params = where(found)
    assert text == where(harmless)[0]
    assert set(re.findall(r":(p\d+)", text)) == set(params)
    _runs(text, params)


@given(
    st.lists(
        st.sampled_from(
            [
                "domain:a.b",
                "domain:a",
                "domain:=a.b",
                "code:4,55",
                "dsn:5.1",
                "dsn:=5.1.1",
                "after:7d",
                "-before:1h",
                "status:sent,held",
                "id:3kq7mvt2z0hy",
                "-mx:x",
            ]
        )
    )
)
def test_every_combination_is_sql_that_runs(texts: list[str]) -> None:
    """Terms can stand beside each other in any number; none at all chooses everything."""
    _runs(*where(parse(texts, NOW)))


def _runs(text: str, params: dict[str, str | float | int]) -> None:
    """Runs on a table with the columns that conditions may name, and finds nothing in it but what stands there."""
    db = sqlite3.connect(":memory:")
    columns = (
        "queue_id recipient recipient_domain status reason_class smtp_code dsn mx_host mx_ip sender "
        "envelope_from subject message_id tag credential received_ts"
    )
    db.execute(f"CREATE TABLE email_status ({', '.join(columns.split())})")
    db.execute(f"SELECT count(*) FROM email_status WHERE {text}", params).fetchone()
    db.close()
