"""Lists of addresses from elsewhere, read."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.cli.address_columns import Bad, Found, Row, Skipped
from relay.cli.address_lists import decoded, read

AT = 1_577_836_800.0  # 2020-01-01


def found(text: str) -> list[Row]:
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
            Found("line 2", "ada@x.test", "hard_bounce", since=AT, reply="550 5.1.1 No such user"),
        ),
        (
            "email,ip,created\nada@x.test,192.0.2.1,1577836800\n",
            Found("line 2", "ada@x.test", since=AT, implied="complaint"),
        ),
        (
            '[{"created":1577836800,"email":"ada@x.test","ip":"192.0.2.1"}]',
            Found("item 1", "ada@x.test", since=AT, implied="complaint"),
        ),
        ("email,created\nada@x.test,1577836800\n", Found("line 2", "ada@x.test", since=AT, implied="unsubscribe")),
        (
            '[{"created":1577836800,"email":"ada@x.test","reason":"550 unknown user","status":"5.0.0"}]',
            Found("item 1", "ada@x.test", "hard_bounce", since=AT, reply="5.0.0 550 unknown user"),
        ),
        # Mailgun
        (
            "address,code,error,created_at\nada@x.test,550,No such mailbox,2020-01-01T00:00:00Z\n",
            Found("line 2", "ada@x.test", "hard_bounce", since=AT, reply="550 No such mailbox"),
        ),
        (
            '{"items":[{"address":"ada@x.test","tags":["*"],"created_at":"Wed, 01 Jan 2020 00:00:00 UTC"}],"p":{}}',
            Found("item 1", "ada@x.test", since=AT, implied="unsubscribe"),
        ),
        (
            '{"items":[{"address":"ada@x.test","tags":["news"],"created_at":"Wed, 01 Jan 2020 00:00:00 UTC"}]}',
            Found("item 1", "ada@x.test", scope="news", since=AT, implied="unsubscribe"),
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


@pytest.mark.parametrize(
    ("written", "scopes"),
    [
        ('"[""weekly"",""news""]"', ["weekly", "news"]),
        ('"[""*""]"', [""]),
        ("[*]", [""]),
        ('"[weekly, news]"', ["weekly", "news"]),
        ("\"['weekly', 'weekly']\"", ["weekly"]),
        ('"[""news"",""*""]"', [""]),
        ("[]", [""]),
        ("*", [""]),
        ("news", ["news"]),
        ("", [""]),
    ],
)
def test_one_address_can_have_unsubscribed_from_several_tags(written: str, scopes: list[str]) -> None:
    """Each of them is an entry, however the list of them is written; "*" or none is everything."""
    rows = found(f"address,tags,created_at\nada@x.test,{written},\n")
    assert rows == [Found("line 2", "ada@x.test", scope=scope, implied="unsubscribe") for scope in scopes]
    rows = found('{"items":[{"address":"ada@x.test","tags":["news","offers"]}]}')
    assert [row.scope for row in rows if isinstance(row, Found)] == ["news", "offers"]


def test_a_scope_of_ours_is_taken_as_it_is_written() -> None:
    """Whatever it looks like: an export is imported as it was."""
    assert found('address,scope\nada@x.test,"[""a""]"\n') == [Found("line 2", "ada@x.test", scope='["a"]')]


@pytest.mark.parametrize("kind", ["SoftBounce", "Transient", "Blocked", "DnsError"])
def test_what_proves_nothing_about_an_address_is_left_out(kind: str) -> None:
    """Other services list soft bounces and blocks as well; nobody is suppressed for these, nor for a word unknown."""
    (row,) = found(json.dumps([{"Email": "ada@x.test", "Type": kind, "Details": "421 try later"}]))
    assert isinstance(row, Skipped) and repr(kind) in row.why and row.row is None
    (row,) = found(f"ada@x.test,{kind}\n")
    assert isinstance(row, Skipped)
    (row,) = found('[{"Email": "ada@x.test", "Type": "blue"}]')
    assert row == Bad("item 1", "ada@x.test", "unknown reason 'blue'")


@pytest.mark.parametrize(
    ("status", "said", "cls"),
    [
        ("4.2.2", "552 4.2.2 mailbox full", "full"),
        ("5.7.1", "550 5.7.1 blocked, see spamhaus", "block"),
        ("5.7.26", "550 5.7.26 DMARC", "auth"),
        ("5.0.0", "no, never", "unclassified"),
    ],
)
def test_a_bounce_is_judged_as_our_own_are(status: str, said: str, cls: str) -> None:
    """What is no proof that the address is dead is no hard bounce, whoever lists it; a person may know better."""
    (row,) = found(f'status,reason,email,created\n{status},"{said}",ada@x.test,1577836800\n')
    assert isinstance(row, Skipped) and f"({cls})" in row.why and said in row.why
    assert row.row == Found("line 2", "ada@x.test", since=AT, reply=said if status in said else f"{status} {said}")


def test_a_service_s_own_word_counts_where_the_reply_says_nothing() -> None:
    """With an unclear text "HardBounce" is one; with a text that says otherwise it is none."""

    def bounce(details: str) -> Row:
        (row,) = found(json.dumps([{"Email": "ada@x.test", "Type": "HardBounce", "Details": details}]))
        return row

    assert isinstance(bounce("gone, they say"), Found)
    assert isinstance(bounce("550 5.7.1 blocked, see spamhaus"), Skipped)


def test_a_closed_mailbox_is_judged_by_the_setting() -> None:
    """`suppression.inactive`."""
    text = "status,reason,email,created\n5.2.1,550 5.2.1 mailbox disabled,ada@x.test,\n"
    assert [type(row) for row in read(text, "suppress")] == [Found]
    assert [type(row) for row in read(text, "soft")] == [Skipped]


def test_a_status_may_be_a_word() -> None:
    """Lists of contacts have those who unsubscribed beside those who did not."""
    rows = found("email,status\na@x.test,unsubscribed\nb@x.test,active\n")
    assert [type(row) for row in rows] == [Found, Skipped] and rows[0] == Found("line 2", "a@x.test", "unsubscribe")


@pytest.mark.parametrize("octets", [b"ad\xe4@x.test", b"ada\0@x.test", b"ada@x\x85.test", "ada\u200b@x.test".encode()])
def test_an_address_that_cannot_be_read_is_an_error(octets: bytes) -> None:
    """Latin-1, NUL and what nobody can see: such an entry would protect nobody. The other rows are not touched."""
    for head in (b"", b"address,note\n"):
        *_, one, two = found(decoded(head + octets + b"\nbob@x.test\n"))
        line = 1 + head.count(b"\n")
        assert isinstance(one, Bad) and one.where == f"line {line}" and "UTF-8" in one.why
        assert two == Found(f"line {line + 1}", "bob@x.test")
    (one,) = found('["a\\u0000b@x.test"]')
    assert isinstance(one, Bad)


def test_a_tag_that_cannot_be_read_is_an_error() -> None:
    """Nobody's mail bears it."""
    (row,) = found(decoded(b"address,tag\nada@x.test,B\xfccher\n"))
    assert isinstance(row, Bad) and "UTF-8" in row.why


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("ada@x.test\n", "addresses"),
        ("email,ip,created\nada@x.test,,\n", "SendGrid, spam reports"),
        ("email,created\nada@x.test,\n", "SendGrid, unsubscribes"),
        ("address,tags,created_at\nada@x.test,,\n", "Mailgun, unsubscribes"),
        ("status,reason,email,created\n4.2.2,mailbox full,ada@x.test,\n", "SendGrid, bounces or blocks"),
        ("Address,Created at\nada@x.test,\n", "columns address, createdat"),
    ],
)
def test_whose_columns_these_are_is_known(text: str, form: str) -> None:
    """By their names; those of nobody known are named."""
    (row,) = found(text)
    assert isinstance(row, Found | Skipped) and row.form == form


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
