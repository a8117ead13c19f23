"""The simulator's addresses, judged by the same table as everybody's."""

import pytest

from relay.address import parse_address
from relay.deliver.conversation import Conversation
from relay.deliver.exchange import Sent
from relay.deliver.outcome import judge
from relay.deliver.simulator import FATES, Act, answer
from tests.deliver.test_client_transaction import CONTENT, delivery

FATE = """
delivered@sim.test        1  sent         None
delivered+a+b@SIM.test    1  sent         None
Delivered@sim.test        1  sent         None
deferred@sim.test         1  deferred     throttled
deferred@sim.test         2  deferred     throttled
deferred+x@sim.test       3  sent         None
hardbounce@sim.test       1  hard_bounce  bad_mailbox
softbounce@sim.test       1  soft_bounce  policy
mailboxfull@sim.test      1  soft_bounce  mailbox_full
blocked@sim.test          1  soft_bounce  blocked_ip
slow@sim.test             1  sent         None
latebounce@sim.test       1  sent         None
Complaint+x@sim.test      1  sent         None
autoreply@sim.test        1  sent         None
opens@sim.test            1  sent         None
clicks@sim.test           1  sent         None
unsubscribes@sim.test     1  sent         None
nobody@sim.test           1  hard_bounce  bad_mailbox
"""


@pytest.mark.parametrize("row", FATE.strip().splitlines())
def test_every_address_has_its_fate(row: str) -> None:
    """The local part says what happens, whatever its case and label, in the sandbox and outside."""
    address, attempt, status, reason_class = row.split()
    for sandbox in (False, True):
        simulated = answer(parse_address(address), int(attempt), sandbox=sandbox)
        assert simulated is not None
        verdict = judge(simulated.play(delivery(address), CONTENT, Conversation()), more_hops=False)
        assert verdict is not None
        assert (verdict.status, str(verdict.reason_class)) == (status, reason_class)


def test_only_the_sandbox_simulates_the_rest_of_the_world() -> None:
    """Outside the sandbox a real address is a real delivery; inside it is as good as delivered."""
    real = parse_address("ada@example.org")
    assert answer(real, 1, sandbox=False) is None
    assert answer(real, 1, sandbox=True) == FATES["delivered"]
    assert answer(parse_address("a@sub.sim.test"), 1, sandbox=False) is None


def test_a_wrong_name_is_told_the_right_ones() -> None:
    """The refusal lists what there is."""
    simulated = answer(parse_address("hardbonce@sim.test"), 1, sandbox=False)
    assert simulated is not None
    assert simulated.reply.line == (
        '550 5.1.1 The simulator has no mailbox "hardbonce"; '
        "it has delivered@sim.test, deferred@sim.test, hardbounce@sim.test, softbounce@sim.test, "
        "mailboxfull@sim.test, blocked@sim.test, slow@sim.test, "
        "latebounce@sim.test, complaint@sim.test, autoreply@sim.test, "
        "opens@sim.test, clicks@sim.test, unsubscribes@sim.test"
    )


def test_slow_asks_the_caller_to_wait() -> None:
    """Only `slow` takes time, and it is the caller who takes it."""
    assert [name for name, fate in FATES.items() if fate.delay] == ["slow"]


def test_who_does_something_afterwards_has_accepted() -> None:
    """Each act is one address's, and comes after a yes."""
    acts = {name: fate.then for name, fate in FATES.items() if fate.then}
    assert sorted(acts.values()) == sorted(Act)
    assert all(FATES[name].reply.positive for name in acts)


def test_the_conversation_is_a_whole_one() -> None:
    """From the connection to the reply after the dot, content as its size."""
    conversation = Conversation(clock=lambda: 0.0)
    exchange = FATES["delivered"].play(delivery("delivered@sim.test"), CONTENT, conversation)
    assert isinstance(exchange, Sent) and exchange.dsn
    assert [f"{line.who} {line.text}" for line in conversation.lines] == [
        "= connecting to mx.sim.test[127.0.0.1]:25",
        "= simulated; nothing leaves this machine",
        "C EHLO",
        "S 250 mx.sim.test",
        "C MAIL FROM:<s@y.test> SIZE=26",
        "S 250 2.1.0 Ok",
        "C RCPT TO:<delivered@sim.test> ORCPT=rfc822;delivered@sim.test",
        "S 250 2.1.5 Ok",
        "C DATA",
        "S 354 Go ahead",
        "C <26 bytes>",
        "S 250 2.0.0 Ok: taken by the simulator",
    ]
