"""What servers say, and its class; the tables, and an operator's own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suppression.phrase import Phrase
from suppression.replies import CLASSES, BadRules, classify, use

ROOT = Path(__file__).parents[2]

# class, and replies that have it; written for this test in the way of servers of many makes and countries
SAID = """
hard      550 5.1.1 <ada@example.org>: Recipient address rejected: User unknown in virtual mailbox table
hard      550 No such person at this address
hard      550 Requested action not taken: mailbox unavailable
hard      550 Unrouteable address
hard      550 Der Empfänger ada@example.org ist hier unbekannt
hard      550 El destinatario no existe
hard      550 该用户不存在
hard      550 5.1.2 unknown host
hard      556 domain does not accept mail
hard      550 5.1.1
inactive  550 The account of this customer has been suspended
hard      550 #5.1.0 Address rejected.
inactive  550 5.2.1 mailbox disabled
full      452 4.2.2 quota exceeded
full      550 La boîte de ce destinataire est pleine
full      552
size      552 Message is larger than the maximum size allowed
soft      451 4.3.0 Temporary system failure
soft      421 service not available
soft      554 5.4.6 Too many hops
soft      conversation with mx.example.org timed out while sending RCPT TO
rate      421 4.7.0 Too many connections from your host
rate      451 4.7.1 Greylisting in action
block     550 5.1.1 rejected, your IP is on our blacklist; user unknown
block     554 5.7.1 Client host [192.0.2.9] blocked using bl.example.org
block     550 5.7.25 no PTR
auth      550 5.7.26 From domain fails DMARC
auth      550 SPF check failed for example.org
spam      554 message scored as spam
virus     552 the attachment carries a virus
policy    550 Sender address rejected: user unknown in local recipient table
policy    550 refused by local policy
policy    553 5.1.8 domain of sender address does not exist
policy    530 authentication required
relay     554 5.7.1 <ada@example.org>: Relay access denied
protocol  503 5.5.1 Bad sequence of commands
protocol  502 command not implemented
unclassified  554 Transaction failed
unclassified  550
"""


@pytest.mark.parametrize("row", SAID.strip().splitlines())
def test_a_reply_has_its_class(row: str) -> None:
    """What is said about us counts before what is said of the recipient, words before codes, precise before vague."""
    cls, reply = row.split(maxsplit=1)
    assert classify(reply).cls == cls


@pytest.mark.parametrize("code", ["550", "553", "554", "550 5.0.0", "550 5.1.0", "550 5.2.0", "550 5.7.1", "450"])
def test_vague_codes_alone_condemn_nobody(code: str) -> None:
    """Without words a bare number or a code that says only "something about the address" is no proof."""
    assert classify(code).cls not in ("hard", "inactive")


def test_our_own_address_quoted_means_us() -> None:
    """A refusal that quotes our address is about us, whatever it says of the recipient; in a link it says nothing."""
    reply = "550 user unknown, says 192.0.2.7 to you"
    assert classify(reply).cls == "hard"
    assert classify(reply, ours=["192.0.2.7"]).cls == "block"
    assert classify(reply, ours=["192.0.2.77", "2.0.2.7", "x.test"]).cls == "hard"
    assert classify("550 user unknown https://x.test/?ip=192.0.2.7", ours=["192.0.2.7"]).cls == "hard"


def test_the_status_of_a_report_counts_after_the_words() -> None:
    """Words first; a Status field with nothing beside it is a code as any other."""
    assert classify("550 mailbox is full", status="5.1.1").cls == "full"
    assert classify("", status="5.1.1").cls == "hard"
    assert classify("", status="5.0.0").cls == "unclassified"


@pytest.mark.parametrize("reply", [row.split(maxsplit=1)[1] for row in SAID.strip().splitlines()])
def test_case_and_line_ends_do_not_matter(reply: str) -> None:
    """Servers shout, and fold."""
    assert classify(reply.upper()).cls == classify(reply.replace(" ", "\r\n\t")).cls == classify(reply).cls


@given(st.text(max_size=400))
def test_every_reply_has_a_class(reply: str) -> None:
    """Nothing that a server can say is an error, and a judgement says which rule made it."""
    found = classify(reply)
    assert found.cls in CLASSES and bool(found.rule) == (found.cls != "unclassified")


OWN = """
[[rule]]
class = "hard"
note = "our own host says it like this"
words = ["gone fishing"]
host = ["mail.example"]

[[rule]]
class = "full"
code = ["599"]
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.toml"
    path.write_text(OWN, "utf-8")
    return path


def test_an_operator_s_own_rules_come_first(own: Path) -> None:
    """They win over ours, only where their host said it, and go as they came."""
    try:
        use(own)
        found = classify("550 SPAM: gone fishing", mx_host="MX1.mail.example.")
        assert (found.cls, found.rule, found.note) == ("hard", 'own: "gone fishing"', "our own host says it like this")
        assert classify("550 SPAM: gone fishing", mx_host="mx.example").cls == "spam"
        assert classify("599").cls == "full"
    finally:
        use(None)
    assert classify("599").cls == "unclassified"


MISTAKES = [
    ("[[rule]]\nclass = 'dead'\nwords = ['x y']", "'dead' is no class"),
    ("[[rule]]\nclass = 'hard'\nword = ['x y']", "no key 'word'. A rule has class, note, words, unless, "),
    ("[[rule]]\nwords = ['x y']", "it has no class: auth block"),
    ("[[rules]]\nclass = 'hard'\nwords = ['x y']", "no key 'rules'. Each rule is opened by [[rule]]"),
    ("[[rule]]\nclass = 'hard'", "fits everything"),
    ("[[rule]]\nclass = 'hard'\nwords = 'x y'", "words is a list"),
    ("[[rule]]\nclass = 'hard'\nwords = ['(a+)+$']", "is not a phrase"),
    ("[[rule]]\nclass = 'hard'\nstatus = ['5.1']", "'5.1' is no code"),
    ("rule", "own.toml"),
    ("rule = 7", "rule is a list of tables"),
]


@pytest.mark.parametrize(("text", "words"), MISTAKES)
def test_a_wrong_table_is_refused_whole(own: Path, text: str, words: str) -> None:
    """The message names the file and the rule; what was in use stays."""
    own.write_text(text, "utf-8")
    with pytest.raises(BadRules, match=r"own\.toml") as raised:
        use(own)
    assert words in str(raised.value)
    assert classify("550 user unknown").cls == "hard"


PHRASES = [
    ("mailbox .. full", " the mailbox of ada is full ", True),
    ("mailbox .. full", " mailbox one two three four five six seven full ", False),
    ("mailbox full", " mailboxes full ", False),
    ("exceed* quota", " exceeding quota ", True),
    ("(no|unknown) (such )?user", " no such user ", True),
    ("(no|unknown) (such )?user", " unknown user ", True),
    ("(no|unknown) (such )?user", " user ", False),
    ("e-mail n'existe pas", " email nexiste pas ", True),
    ("不存在", " 用户不存在了 ", True),
    ("(用户|邮箱)(已)?(停用|冻结)", " 该用户已冻结了 ", True),
    ("over ?quota", " overquota ", True),
    ("skrzynka pełna", " skrzynka pelna ", True),
]


@pytest.mark.parametrize(("phrase", "words", "fits"), PHRASES)
def test_a_phrase_is_words_gaps_and_choices(phrase: str, words: str, fits: bool) -> None:
    """`..` is up to six words, `*` the rest of a word, `(a|b)` a choice, `(a )?` may be missing."""
    assert Phrase(phrase).fits(words) is fits


@pytest.mark.parametrize(("phrase", "words"), [row[:2] for row in PHRASES if row[2]])
def test_a_phrase_that_fits_is_looked_at(phrase: str, words: str) -> None:
    """One of its handles is said, or it has none."""
    assert not Phrase(phrase).handles or Phrase(phrase).handles & set(words.split())


def test_the_program_answers_a_line_for_a_line() -> None:
    """A JSON string a line in, a JSON object a line out."""
    given = "\n".join(json.dumps(reply) for reply in ("550 user unknown", "452 quota exceeded"))
    command = [sys.executable, "-m", "suppression", "classify"]
    done = subprocess.run(command, cwd=ROOT, input=given, capture_output=True, text=True, timeout=60, check=True)
    assert [json.loads(line)["class"] for line in done.stdout.splitlines()] == ["hard", "full"]
