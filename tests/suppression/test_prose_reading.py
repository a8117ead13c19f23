"""How a notice is read for people's words: where it ends, whom a sentence means, and what is no bounce."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from suppression import letter, prose
from suppression.prose import addresses, causes
from suppression.prose.notice import MOST_LINES, divided

ANNOUNCEMENTS = [
    "--- Below this line is a copy of the message.",
    "--- Enclosed is a copy of the message.",
    "------ This is a copy of the message, including all the headers. ------",
    "------ This is a copy of your message, including all the headers. ------",
    "   ----- Unsent message follows -----",
    "   ----- Original message follows -----",
    "   ----- Message header follows -----",
    "----- Original message -----",
    "-----Original Message-----",
    "------- Returned Message --------",
    "---- START OF RETURNED MESSAGE ----",
    "--- The header of the original message is following. ---",
    "|------------------------- Message text follows: ------------------------|",
    " --------Unsent Message below:",
    "Original message follows.",
    "Message headers follow.",
    "Message headers follow:",
    "Original message headers:",
    "Below is a copy of the original message:",
    "Included is a copy of the message header:",
    "Here is a copy of the first part of the message, including",
    "The first 50 lines of your original message follow:",
    "The text of your message follows.",
]


def message(
    words: str, *, sender: str = "MAILER-DAEMON@relay.test", subject: str = "Undeliverable mail"
) -> letter.Letter:
    """A letter of plain text with these words."""
    return letter.read(f"From: {sender}\nTo: owner@lists.test\nSubject: {subject}\n\n{words}".encode())


@pytest.mark.parametrize("announcement", ANNOUNCEMENTS)
def test_a_notice_ends_where_the_copy_is_announced(announcement: str) -> None:
    """However a server says it; what stands behind is the original, and never a recipient or a reason."""
    own, copy = divided(
        f"Could not be delivered to:\n\n<ada@x.test>\n\n{announcement}\n\n<bob@y.test>: 550 5.1.1 unknown\n"
    )
    assert "<ada@x.test>" in own and "<bob@y.test>: 550 5.1.1 unknown" in copy


def test_a_notice_ends_where_a_header_begins_without_an_announcement() -> None:
    """A trace field, or three fields in a row of which one is written by machines only."""
    said = ["Not delivered:", "ada@x.test", ""]
    for header in (["Received: from a by b"], ["Date: now", "From: a@b.test", "Message-Id: <1@b.test>"]):
        assert divided("\n".join(said + header)) == (tuple(said), tuple(header))


def test_a_summary_of_the_original_does_not_end_a_notice() -> None:
    """To, Subject and Sent are how Exchange begins; the recipients follow."""
    words = "Your message\n\n  To:      a@b.test\n  Subject: News\n  Sent:    today\n\ndid not reach:\n\nada@x.test"
    assert divided(words) == (tuple(words.split("\n")), ())


@pytest.mark.parametrize(
    ("sentence", "named"),
    [
        ("Your message could not be delivered to <ada@x.test>.", ["ada@x.test"]),
        ("The following message, addressed to 'ada@x.test', failed", ["ada@x.test"]),
        ("Could not deliver to ada@x.test. Please contact postmaster@y.test for help.", ["ada@x.test"]),
        ("If you have questions, write to help@y.test or see mailto:help@y.test", []),
        ("Mail from owner@lists.test was not accepted for o'hara+tag=1@x.test", ["o'hara+tag=1@x.test"]),
    ],
)
def test_a_sentence_means_the_recipients_and_not_who_helps_or_who_sent(sentence: str, named: list[str]) -> None:
    """Whom to ask, and who sent it, stands in notices as often as who failed."""
    assert addresses.recipients(sentence) == named


@pytest.mark.parametrize(
    ("line", "indent", "address", "rest"),
    [
        ("  <ada@x.test>: 550 no", 2, "ada@x.test", ": 550 no"),
        ("  * ada@x.test", 2, "ada@x.test", ""),
        ('"Ada Byron" <ada@x.test>', 0, "ada@x.test", ""),
        ("[SMTP:ada@x.test]", 0, "ada@x.test", ""),
        ("\tada@x.test (user not found)", 8, "ada@x.test", "(user not found)"),
        ("ada@x.test<mailto:ada@x.test>", 0, "ada@x.test", ""),
    ],
)
def test_an_address_may_begin_a_line_in_many_dresses(line: str, indent: int, address: str, rest: str) -> None:
    """Brackets, bullets, names, schemes."""
    assert addresses.head(line) == (indent, address, rest)


@pytest.mark.parametrize(
    ("words", "action"),
    [
        ("Your message has not yet been delivered. We will continue to try.", "delayed"),
        ("This is just a warning, you do not need to take any action.", "delayed"),
        ("Your message could not be delivered. I've given up.", "failed"),
        ("I'm not going to try again; this message has been in the queue too long.", "failed"),
        ("Your message was successfully delivered to ada@x.test", "delivered"),
        ("Your message could not be delivered to ada@x.test", "failed"),
    ],
)
def test_a_notice_says_whether_it_is_over(words: str, action: str) -> None:
    """A delay must never look like a failure, nor a failure like a delay."""
    assert causes.action("", words) == action


def test_a_reason_goes_to_its_own_recipient() -> None:
    """Words about one are not taken for the other, who would be suppressed for nothing."""
    words = (
        "   ----- Transcript of session follows -----\n>>> RCPT To:<ada@x.test>\n<<< 550 5.1.1 unknown\n"
        "550 <ada@x.test>... User unknown\n\n   ----- Recipients of this delivery -----\n<ada@x.test>\n<bob@x.test>\n\n"
    )
    ada, bob = prose.read(message(words))
    assert (ada.address, ada.status) == ("ada@x.test", "5.1.1")
    assert (bob.address, bob.status, bob.code) == ("bob@x.test", "", None)


def test_of_two_paragraphs_the_one_with_a_cause_is_the_reason() -> None:
    """A server says first that, and then why."""
    words = "There was an error with your mail to <ada@x.test>.\n\nThe host mx.x.test could not be found.\n"
    (ada,) = prose.read(message(words))
    assert ada.diagnostic == "The host mx.x.test could not be found."


def test_a_notice_about_one_gives_the_reason_elsewhere() -> None:
    """What stands apart from the only address is its reason where it is plain, and no reason where it is a guess."""
    words = "Undeliverable to ada@x.test\n\n{}\n"
    (ada,) = prose.read(message(words.format("This is what we got:\n550 mailbox full")))
    assert (ada.diagnostic[-16:], ada.code) == ("550 mailbox full", 550)
    (ada,) = prose.read(message(words.format("Perhaps the user is unknown.")))
    assert ada.diagnostic == "Undeliverable to ada@x.test"


@pytest.mark.parametrize("printed", ["deliver.local: unknown user: ada", "lmtpd: mailbox is full"])
def test_what_a_local_mailer_prints_is_a_reason(printed: str) -> None:
    """sendmail repeats it above a reply that says only that it failed; it goes to the address below it."""
    words = (
        "   ----- The following addresses had permanent fatal errors -----\n<ada@x.test>\n<bob@x.test>\n\n"
        "   ----- Transcript of session follows -----\n"
        f"{printed}\n554 <ada@x.test>... Service unavailable\n554 <bob@x.test>... Too many hops\n"
    )
    ada, bob = prose.read(message(words))
    assert ada.diagnostic == f"{printed} 554 <ada@x.test>... Service unavailable"
    assert printed not in bob.diagnostic


def test_a_number_is_no_reason_where_the_transcript_has_one() -> None:
    """`(reason: 255)` is what a program returned; the transcript says what it printed."""
    words = (
        "   ----- The following addresses had permanent fatal errors -----\n<ada@x.test>\n    (reason: 255)\n\n"
        "   ----- Transcript of session follows -----\n550 5.1.1 <ada@x.test>... User unknown\n"
    )
    (ada,) = prose.read(message(words))
    assert "User unknown" in ada.diagnostic


def test_the_name_that_we_wrote_to_is_kept_beside_the_one_that_failed() -> None:
    """Or a forwarded recipient would not be found among those of the message."""
    words = "Your message cannot be delivered:\n\n  Recipient address: ada@inner.test\n  Original address: ada@x.test\n"
    (one,) = prose.read(message(words + "  Reason: over quota\n"))
    assert (one.address, one.also) == ("ada@inner.test", ("ada@x.test",))


ORDINARY = [
    "Hello Ada,\n\ncan you write to bob@x.test about the delivery of the chairs? He could not be reached.\n\nEve\n",
    "ada@x.test wrote:\n> I cannot find the file.\n\nIt is attached.\n",
    "The following people have registered:\n\nada@x.test\nbob@y.test\n",
]


@pytest.mark.parametrize("words", ORDINARY)
def test_ordinary_mail_is_no_bounce(words: str) -> None:
    """Addresses and words of failure in a letter from a person are no report."""
    assert prose.read(message(words, sender="Eve <eve@x.test>", subject="Chairs")) == []


LINES = st.sampled_from(
    [
        "<ada@x.test>: 550 5.1.1 no",
        "  ada@x.test",
        "    (generated from bob@y.test)",
        "The following address(es) failed:",
        "   ----- Transcript of session follows -----",
        ">>> RCPT TO:<ada@x.test>",
        "<<< 550",
        "ada@x.test on 1/2/2026 10:00",
        "      c=US;dda:SMTP=ada@x.test; on",
        "Generating server: x",
        "#550 5.1.1 no##",
        "Recipient: [SMTP:ada@x.test]",
        "could not be delivered to",
        "",
        " ",
        "@",
        "<@>:",
        "a@b",
        "--- Below this line is a copy of the message.",
    ]
)


@given(st.lists(LINES | st.text(max_size=60), max_size=40))
@example(["This message was created automatically by", "failed:", "  pipe to |x"])
@settings(max_examples=300)
def test_nothing_that_a_server_may_say_stops_the_reader(lines: list[str]) -> None:
    """Every recipient stands in the letter, and no code that does not stand in its diagnostic."""
    words = "\n".join(lines)
    for one in prose.read(message(words)):
        assert one.address and one.address.lower() in words.lower() + "owner@lists.test"
        assert one.status in one.diagnostic and (one.code is None or str(one.code) in one.diagnostic)


@pytest.mark.parametrize(
    "piece", ["a@b ", "<a@b>:\n", "((((", ", a@b", "ada@x.test on 1/2/2026 1\n", "- - ", "could not be "]
)
def test_a_hostile_letter_is_read_as_far_as_it_is_bounded(piece: str) -> None:
    """Lines and their number are cut, so that no letter can keep the reader busy."""
    own, copy = divided(piece * 200_000)
    assert len(own) + len(copy) <= MOST_LINES
    assert len(prose.read(message("could not be delivered\n\n" + piece * 200_000))) <= MOST_LINES
