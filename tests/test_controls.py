"""What applications ask for in header fields: ours, and those they know from other services."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.controls import READERS, SILENCE, Wishes, is_control, read


@pytest.mark.parametrize(
    ("field", "wishes"),
    [
        ("X-Mailtrail-Track-Opens: no", Wishes(opens=False)),
        ("X-Mailtrail-Track-Opens: YES", Wishes(opens=True)),
        ("X-Mailtrail-Track-Clicks: no", Wishes(clicks=False)),
        ("X-Mailtrail-Unsubscribe: yes", Wishes(unsubscribe=True)),
        ("X-Mailtrail-Unsubscribe: no", Wishes(unsubscribe=False)),
        ("X-PM-TrackOpens: false", Wishes(opens=False)),
        ("X-PM-TrackLinks: None", Wishes(clicks=False)),
        ("X-PM-TrackLinks: TextOnly", Wishes(clicks=False)),
        ("X-PM-TrackLinks: HtmlAndText", Wishes(clicks=True)),
        ("X-PM-TrackLinks: HtmlOnly", Wishes(clicks=True)),
        ("X-Mailgun-Track: no", Wishes(opens=False, clicks=False)),
        ("X-Mailgun-Track: yes", Wishes(opens=True, clicks=True)),
        ("X-Mailgun-Track-Opens: false", Wishes(opens=False)),
        ("X-Mailgun-Track-Clicks: htmlonly", Wishes(clicks=True)),
        ("X-Mailgun-Track-Clicks: no", Wishes(clicks=False)),
        ('X-SMTPAPI: {"filters": {"clicktrack": {"settings": {"enable": 0}}}}', Wishes(clicks=False)),
        ('X-SMTPAPI: {"filters":\r\n {"opentrack": {"settings":\r\n\t{"enable": "0"}}}}', Wishes(opens=False)),
        ('X-SMTPAPI: {"filters": {"subscriptiontrack": {"settings": {"enable": 1}}}}', Wishes(unsubscribe=True)),
        ('X-MSYS-API: {"options": {"open_tracking": false, "click_tracking": true}}', Wishes(False, True)),
        ("X-MC-Track: opens", Wishes(opens=True, clicks=False)),
        ("X-MC-Track: opens, clicks_htmlonly", Wishes(opens=True, clicks=True)),
        ("X-MC-Track: clicks_textonly", Wishes(opens=False, clicks=False)),
    ],
)
def test_every_service_s_words_are_understood(field: str, wishes: Wishes) -> None:
    """Names and values as the services document them, in any case, folded or not."""
    name, _, value = field.partition(":")
    assert read([(name.lower().encode(), value.encode())]) == wishes
    assert is_control(name)


@pytest.mark.parametrize(
    "field",
    [
        "X-Mailtrail-Track-Opens: perhaps",
        "X-Mailtrail-Track-Opens:",
        "X-PM-TrackLinks: all",
        "X-SMTPAPI: no JSON",
        "X-SMTPAPI: [0]",
        'X-SMTPAPI: {"filters": {"clicktrack": {"settings": {"enable": 2}}}}',
        'X-SMTPAPI: {"filters": {"clicktrack": {"settings": {"enable": 0.0}}}}',
        'X-SMTPAPI: {"filters": [{"clicktrack": 0}]}',
        'X-MSYS-API: {"options": {"open_tracking": null}}',
        "X-MSYS-API: " + '{"options":' * 5000,
        "X-MSYS-API: " + "[" * 60_000,
        "X-SMTPAPI: " + "9" * 60_000,
        "X-MC-Track: none of it",
        "X-Track-Opens: no",
    ],
)
def test_odd_values_mean_nothing(field: str) -> None:
    """What nobody has defined is neither yes nor no, and never an error."""
    name, _, value = field.partition(":")
    assert read([(name.lower().encode(), value.encode())]) == SILENCE


def test_a_value_is_read_up_to_its_bound() -> None:
    """JSON that goes on beyond 64 KiB is not read at all."""
    said = {"options": {"open_tracking": False}, "substitution_data": "x" * 60_000}
    assert read([(b"x-msys-api", json.dumps(said).encode())]) == Wishes(opens=False)
    said["substitution_data"] = "x" * 70_000
    assert read([(b"x-msys-api", json.dumps(said).encode())]) == SILENCE


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"x-mailtrail-track-opens", b"x-pm-trackopens", b"x-mailgun-track-opens"]),
            st.sampled_from([b"yes", b"no", b"true", b"false", b"maybe"]),
        )
    )
)
def test_no_wins_in_any_order(fields: list[tuple[bytes, bytes]]) -> None:
    """One "no" is enough; without one, one "yes" is."""
    said = {value for _, value in fields}
    expected = False if said & {b"no", b"false"} else True if said & {b"yes", b"true"} else None
    assert read(fields).opens is expected


@given(st.lists(st.tuples(st.sampled_from(sorted(READERS)), st.binary())))
def test_no_value_makes_it_fail(fields: list[tuple[bytes, bytes]]) -> None:
    """Whatever the octets are."""
    assert isinstance(read(fields), Wishes)


@pytest.mark.parametrize(
    "name",
    [
        *(name.decode() for name in READERS),
        "X-Mailtrail-Tag",
        "X-Mailtrail-Metdata",
        "X-PM-Tag",
        "X-PM-Metadata-customer",
        "X-PM-Message-Stream",
        "X-Mailgun-Variables",
        "X-MC-Metadata",
        "X-SES-CONFIGURATION-SET",
        "X-SES-MESSAGE-TAGS",
    ],
)
def test_what_is_said_to_a_relay_stays_there(name: str) -> None:
    """All fields that are read, and their families: also those that we do not act on."""
    assert is_control(name) and is_control(name.upper()) and is_control(name.lower())


@pytest.mark.parametrize(
    "name", ["X-Mailer", "X-Mailtrail", "X-PM-Message-Id", "X-SES-Outgoing", "List-Unsubscribe", ""]
)
def test_other_fields_are_nobody_s_orders(name: str) -> None:
    """What other relays add on their way, and everything else, leaves as it came."""
    assert not is_control(name)
