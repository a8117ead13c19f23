"""Lists of addresses from elsewhere, read."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.cli.address_lists import Bad, Found, decoded, read

AT = 1_577_836_800.0  # 2020-01-01


def found(text: str) -> list[Found | Bad]:
    """All rows."""
    return list(read(text))


def test_a_text_has_an_address_in_each_line() -> None:
    """Blank lines and remarks are none; a whole domain is one; what is wrong is told with its line."""
    text = "# from the old system\n\nada@x.test\r\n  Bob <bob@y.test>\n@z.test\nbob@@x.test\n# end\n"
    assert found(text) == [
        Found("line 3", "ada@x.test"),
        Found("line 4", "bob@y.test"),
        Found("line 5", "@z.test"),
        Bad("line 6", "bob@@x.test", "the part before the @ is not valid"),
    ]


@pytest.mark.parametrize(
    ("text", "row"),
    [
        # SendGrid: bounces, spam reports, unsubscribes
        (
            "status,reason,email,created\n5.1.1,550 5.1.1 No such user,ada@x.test,1577836800\n",
            Found("line 2", "ada@x.test", "hard_bounce", since=AT, reply="5.1.1 550 5.1.1 No such user"),
        ),
        ("email,ip,created\nada@x.test,192.0.2.1,1577836800\n", Found("line 2", "ada@x.test", since=AT)),
        (
            '[{"created":1577836800,"email":"ada@x.test","reason":"550 no","status":"5.0.0"}]',
            Found("item 1", "ada@x.test", "hard_bounce", since=AT, reply="5.0.0 550 no"),
        ),
        # Mailgun
        (
            "address,code,error,created_at\nada@x.test,550,No such mailbox,2020-01-01T00:00:00Z\n",
            Found("line 2", "ada@x.test", "hard_bounce", since=AT, reply="550 No such mailbox"),
        ),
        (
            '{"items":[{"address":"ada@x.test","tags":["*"],"created_at":"Wed, 01 Jan 2020 00:00:00 UTC"}],"p":{}}',
            Found("item 1", "ada@x.test", since=AT),
        ),
        (
            '{"items":[{"address":"ada@x.test","tags":["news"],"created_at":"Wed, 01 Jan 2020 00:00:00 UTC"}]}',
            Found("item 1", "ada@x.test", scope="news", since=AT),
        ),
        # Postmark
        (
            '{"Suppressions":[{"EmailAddress":"ada@x.test","SuppressionReason":"SpamComplaint","Origin":"Recipient",'
            '"CreatedAt":"2019-12-31T19:00:00-05:00"}]}',
            Found("item 1", "ada@x.test", "complaint", since=AT, source="Recipient"),
        ),
        (
            "Email Address;Reason;Created At\nada@x.test;HardBounce;2020-01-01\n",
            Found("line 2", "ada@x.test", "hard_bounce", since=AT),
        ),
        # Amazon SES
        (
            '{"SuppressedDestinationSummaries":[{"EmailAddress":"ada@x.test","Reason":"BOUNCE","LastUpdateTime":1577836800.0}]}',
            Found("item 1", "ada@x.test", "hard_bounce", since=AT),
        ),
        (
            '{"emailAddress":"ada@x.test","reason":"COMPLAINT"}\n',
            Found("item 1", "ada@x.test", "complaint"),
        ),
        ("ada@x.test,COMPLAINT\n", Found("line 1", "ada@x.test", "complaint")),
        # Others, and spreadsheets
        ("\ufeffE-Mail\tComment\nada@x.test\tby phone\n", Found("line 2", "ada@x.test", note="by phone")),
        ('["ada@x.test"]', Found("item 1", "ada@x.test")),
    ],
)
def test_what_other_services_export_is_understood(text: str, row: Found) -> None:
    """By the names of their columns, whatever their order: address, reason, when, what the server said."""
    assert found(decoded(text.encode())) == [row]


def test_one_address_can_have_unsubscribed_from_several_tags() -> None:
    """Each of them is a row."""
    rows = found('{"items":[{"address":"ada@x.test","tags":["news","offers"]}]}')
    assert rows == [Found("item 1", "ada@x.test", scope="news"), Found("item 1", "ada@x.test", scope="offers")]


@pytest.mark.parametrize("kind", ["SoftBounce", "Transient", "Blocked", "DnsError", "blue"])
def test_what_proves_nothing_about_an_address_is_left_out(kind: str) -> None:
    """Other services list soft bounces and blocks as well; nobody is suppressed for these, nor for a word unknown."""
    (row,) = found(json.dumps([{"Email": "ada@x.test", "Type": kind, "Details": "421 try later"}]))
    assert isinstance(row, Bad) and repr(kind) in row.why


def test_one_bad_row_harms_no_other() -> None:
    """JSON lines, a row without an address, a time that is none."""
    assert [type(row) for row in found('{"email":"a@x.test"}\n{"ema\n{"email":"b@x.test"}\n')] == [Found, Bad, Found]
    assert found("address,created\n,2020-01-01\nada@x.test,yesterday\n") == [
        Bad("line 2", "", "there is no @ in it"),
        Found("line 3", "ada@x.test"),
    ]
    assert [type(row) for row in found('[1, null, "a@x.test", {"email": ["b@x.test"]}]')] == [Bad, Bad, Found, Found]


def test_a_list_from_a_spreadsheet_may_be_utf_16() -> None:
    """With its byte order mark, either way round."""
    for encoding in ("utf-16", "utf-8-sig", "utf-8"):
        assert found(decoded("address\nädä@x.test\n".encode(encoding))) == [Found("line 2", "ädä@x.test")]


def test_the_line_of_a_row_is_the_one_it_begins_at() -> None:
    """A field may hold line ends."""
    rows = found('address,note\na@x.test,"one\ntwo"\nno\n')
    assert [row.where for row in rows] == ["line 2", "line 4"]


@given(st.binary(max_size=400))
def test_whatever_a_file_holds_it_is_read(octets: bytes) -> None:
    """Rows or errors, and never an exception."""
    for row in read(decoded(octets)):
        assert row.where.split(" ")[0] in ("line", "item")


@given(st.text(max_size=60), st.sampled_from(["csv", "json", "lines"]))
def test_whatever_a_field_holds_it_harms_no_other_row(junk: str, form: str) -> None:
    """The row after it is found."""
    if form == "csv":
        out = io.StringIO()
        csv.writer(out).writerows([["address", "created"], [junk, junk], ["ada@x.test", ""]])
        text = out.getvalue()
    else:
        items = [{"address": junk, "created": junk}, {"address": "ada@x.test"}]
        text = json.dumps(items) if form == "json" else "".join(json.dumps(item) + "\n" for item in items)
    assert found(text)[-1].where and isinstance(found(text)[-1], Found)
