"""Opening a connection: greeting, EHLO, TLS, login, and every way in which a server can spoil it."""

import ssl

import pytest

from relay.config import Route, Timeouts
from relay.deliver.client import Client, Connection
from relay.deliver.conversation import Conversation
from relay.deliver.exchange import Failure, Kind, Sent, Step
from relay.deliver.mx import Hop
from relay.deliver.tls import TlsContexts
from tests.deliver.test_client_transaction import CLIENT, CONTENT, IMPATIENT, delivery
from tests.parts.certs import Authority
from tests.parts.mx import FakeMx


async def test_the_greeting_and_our_name() -> None:
    """A server is greeted with our host name, and what it offers is known."""
    async with FakeMx(ehlo=("SIZE 1000", "PIPELINING")) as mx:
        connection = await CLIENT.open(mx.hop(), Conversation())
        assert isinstance(connection, Connection)
        assert connection.offers.size == 1000 and connection.offers.pipelining and not connection.offers.dsn
        await connection.close()
        assert mx.commands == ["EHLO relay.test", "QUIT"]


async def test_a_port_where_nobody_listens() -> None:
    """A refused connection is a failure to connect, in the operating system's words."""
    async with FakeMx() as mx:
        hop = mx.hop()
    failure = await CLIENT.open(hop, Conversation())
    assert isinstance(failure, Failure)
    assert (failure.step, failure.kind, failure.text) == (Step.CONNECT, Kind.UNREACHABLE, "Connection refused")


@pytest.mark.parametrize(("at", "step"), [("GREETING", Step.GREETING), ("EHLO", Step.EHLO)])
@pytest.mark.parametrize(
    ("misbehaviour", "kind"),
    [
        ("drop_at", Kind.LOST),
        ("silent_at", Kind.TIMEOUT),
        ("no_crlf_at", Kind.TIMEOUT),
        ("garbage_at", Kind.GARBAGE),
        ("endless_reply_at", Kind.GARBAGE),
    ],
)
async def test_every_misbehaviour_is_a_failure_at_its_step(misbehaviour: str, kind: Kind, at: str, step: Step) -> None:
    """Hanging up, silence and nonsense are values that say where and how, and nothing stays open."""
    async with FakeMx(**{misbehaviour: at}) as mx:  # type: ignore[arg-type]
        failure = await IMPATIENT.open(mx.hop(), Conversation())
        assert isinstance(failure, Failure) and (failure.step, failure.kind) == (step, kind)
        await mx.closed()


@pytest.mark.parametrize("reply", ["421 4.3.2 too busy", "554 5.7.1 no mail from you"])
async def test_a_server_that_refuses_to_talk(reply: str) -> None:
    """A greeting other than 220 is a refusal at the greeting."""
    async with FakeMx(greeting=reply) as mx:
        failure = await CLIENT.open(mx.hop(), Conversation())
        assert isinstance(failure, Failure) and failure.reply
        assert (failure.step, failure.reply.line) == (Step.GREETING, reply)


async def test_a_server_that_knows_only_helo() -> None:
    """RFC 5321 3.2: EHLO refused, HELO is tried, and no extension is used."""
    async with FakeMx(ehlo_reply="502 5.5.1 what?", helo="250 old.test\nSIZE 5") as mx:
        connection = await CLIENT.open(mx.hop(), Conversation())
        assert isinstance(connection, Connection) and connection.offers.size is None
        assert isinstance(await connection.send(delivery(), CONTENT, Conversation()), Sent)
        await connection.close()
        assert mx.commands[:3] == ["EHLO relay.test", "HELO relay.test", "MAIL FROM:<s@y.test>"]


async def test_a_server_that_refuses_ehlo_and_helo() -> None:
    """Both refused: a failure at EHLO with the reply."""
    async with FakeMx(ehlo_reply="550 no", helo="550 5.7.1 not you either") as mx:
        failure = await CLIENT.open(mx.hop(), Conversation())
        assert isinstance(failure, Failure) and failure.reply
        assert (failure.step, failure.reply.text) == (Step.EHLO, "not you either")


async def test_closing_says_quit_and_never_waits_long() -> None:
    """RFC 5321 4.1.1.10: QUIT is said; a server that does not answer it is left alone."""
    async with FakeMx(silent_at="QUIT") as mx:
        connection = await IMPATIENT.open(mx.hop(), Conversation())
        assert isinstance(connection, Connection)
        await connection.close()
        await mx.closed()
        assert mx.commands[-1] == "QUIT" and not connection.usable


# TLS.


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs the servers' certificates."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server_tls(authority: Authority) -> ssl.SSLContext:
    """The server mx.test."""
    return authority.certificate("mx.test").server_context()


@pytest.fixture(scope="module")
def trusting(authority: Authority) -> Client:
    """A client that trusts the authority."""
    return Client("relay.test", Timeouts(), TlsContexts(TlsContexts.system().opportunistic, authority.trust()))


def route(mx: FakeMx, tls: str, user: str | None = None, password: str | None = None) -> Route:
    """The operator's way to `mx`."""
    return Route(mx.host, mx.port, tls, user, password)


async def test_tls_is_used_where_it_is_offered(server_tls: ssl.SSLContext) -> None:
    """Opportunistic: whoever's certificate it is, the mail is encrypted, and version, cipher and name are kept."""
    async with FakeMx(tls=server_tls, host="mx.other.test") as mx:
        conversation = Conversation()
        connection = await CLIENT.open(mx.hop(), conversation)
        assert isinstance(connection, Connection)
        assert isinstance(await connection.send(delivery(), CONTENT, conversation), Sent)
        again = Conversation()
        await connection.send(delivery(), CONTENT, again)
        await connection.close()
        assert mx.messages[0].tls
        assert conversation.tls == again.tls == "TLSv1.3 TLS_AES_256_GCM_SHA384 mx.test"
        assert conversation.ms_tls is not None and again.ms_tls is None


async def test_tls_that_fails_is_left_out() -> None:
    """The same host is tried once more in the clear, and the conversation shows both."""
    async with FakeMx(bad_tls=True) as mx:
        conversation = Conversation()
        connection = await CLIENT.open(mx.hop(), conversation)
        assert isinstance(connection, Connection)
        assert isinstance(await connection.send(delivery(), CONTENT, conversation), Sent)
        await connection.close()
        assert mx.connections == 2 and not mx.messages[0].tls and conversation.tls is None
        assert [line.text for line in conversation.lines if line.text.startswith("connecting")] == [
            f"connecting to mx.test[127.0.0.1]:{mx.port}"
        ] * 2


@pytest.mark.parametrize("misbehaviour", [{"silent_at": "STARTTLS"}, {"drop_at": "STARTTLS"}, {"starttls": "421 no"}])
async def test_starttls_that_goes_wrong_is_left_out(
    misbehaviour: dict[str, object], server_tls: ssl.SSLContext
) -> None:
    """Silence, a hang-up or 421 at STARTTLS: once more in the clear."""
    async with FakeMx(tls=server_tls, **misbehaviour) as mx:  # type: ignore[arg-type]
        connection = await IMPATIENT.open(mx.hop(), Conversation())
        assert isinstance(connection, Connection)
        await connection.close()
        assert mx.connections == 2


async def test_starttls_refused_in_words_goes_on_in_the_clear(server_tls: ssl.SSLContext) -> None:
    """454 to STARTTLS: the same connection goes on without."""
    async with FakeMx(tls=server_tls, starttls="454 4.7.0 not now") as mx:
        connection = await CLIENT.open(mx.hop(), Conversation())
        assert isinstance(connection, Connection)
        await connection.close()
        assert mx.connections == 1


async def test_words_before_the_handshake_are_not_believed(server_tls: ssl.SSLContext, trusting: Client) -> None:
    """RFC 3207 6: what is injected between STARTTLS and the handshake never becomes a reply."""
    async with FakeMx(tls=server_tls, extra_reply_at="STARTTLS") as mx:
        failure = await trusting.open(mx.hop(route(mx, "require")), Conversation())
        assert isinstance(failure, Failure) and failure.kind is Kind.TLS


@pytest.mark.parametrize("policy", ["require", "implicit"])
async def test_a_route_may_demand_proof(policy: str, server_tls: ssl.SSLContext, trusting: Client) -> None:
    """`require` and `implicit` verify the certificate: a known authority and the right name, or no mail."""
    implicit = policy == "implicit"
    async with FakeMx(tls=server_tls, implicit_tls=implicit) as mx:
        connection = await trusting.open(mx.hop(route(mx, policy)), Conversation())
        assert isinstance(connection, Connection), connection
        assert isinstance(await connection.send(delivery(), CONTENT, Conversation()), Sent)
        await connection.close()
        assert mx.messages[0].tls

        stranger = await CLIENT.open(mx.hop(route(mx, policy)), Conversation())
        assert isinstance(stranger, Failure) and stranger.kind is Kind.TLS and "local issuer" in stranger.text

    async with FakeMx(tls=server_tls, implicit_tls=implicit, host="mx.wrong.test") as mx:
        wrong = await trusting.open(mx.hop(route(mx, policy)), Conversation())
        assert isinstance(wrong, Failure) and wrong.kind is Kind.TLS and "mismatch" in wrong.text
        assert mx.connections <= 1  # not a second one in the clear


async def test_tls_that_is_demanded_and_not_offered() -> None:
    """`require` never falls back to the clear."""
    async with FakeMx() as mx:
        failure = await CLIENT.open(mx.hop(route(mx, "require")), Conversation())
        assert isinstance(failure, Failure) and (failure.step, failure.kind) == (Step.STARTTLS, Kind.TLS)
        assert mx.connections == 1


async def test_a_route_may_forbid_tls(server_tls: ssl.SSLContext) -> None:
    """`none` does not even ask."""
    async with FakeMx(tls=server_tls) as mx:
        connection = await CLIENT.open(mx.hop(route(mx, "none")), Conversation())
        assert isinstance(connection, Connection)
        await connection.close()
        assert mx.commands == ["EHLO relay.test", "QUIT"]


# Logins.


@pytest.mark.parametrize("mechanisms", ["PLAIN LOGIN", "LOGIN"])
async def test_a_login_is_made_and_never_shown(mechanisms: str, server_tls: ssl.SSLContext) -> None:
    """RFC 4954: PLAIN or LOGIN over TLS; the conversation shows asterisks."""
    async with FakeMx(tls=server_tls, users={"us": "geheim"}, mechanisms=mechanisms) as mx:
        conversation = Conversation()
        connection = await CLIENT.open(mx.hop(route(mx, "opportunistic", "us", "geheim")), conversation)
        assert isinstance(connection, Connection), connection
        await connection.send(delivery(), CONTENT, conversation)
        await connection.close()
        assert mx.messages[0].user == "us"
    said = [line.text for line in conversation.lines if line.who == "C"]
    shown = ["AUTH PLAIN ********"] if mechanisms.startswith("PLAIN") else ["AUTH LOGIN", "********", "********"]
    assert said[3 : 3 + len(shown)] == shown and said[3 + len(shown)].startswith("MAIL")


async def test_a_wrong_login_is_a_failure_with_the_reply() -> None:
    """535 is the server's reply at AUTH."""
    async with FakeMx(users={"us": "geheim"}) as mx:
        failure = await CLIENT.open(mx.hop(route(mx, "none", "us", "falsch")), Conversation())
        assert isinstance(failure, Failure) and failure.reply
        assert (failure.step, failure.reply.line) == (Step.AUTH, "535 5.7.8 bad credentials")


async def test_a_login_is_not_sent_in_the_clear() -> None:
    """Without TLS no password leaves us, unless the route says that it may."""
    async with FakeMx(users={"us": "geheim"}, bad_tls=True) as mx:
        failure = await CLIENT.open(mx.hop(route(mx, "opportunistic", "us", "geheim")), Conversation())
        assert isinstance(failure, Failure) and failure.kind is Kind.NO_AUTH
        assert not any(command.startswith("AUTH") for command in mx.commands)
        allowed = await CLIENT.open(mx.hop(route(mx, "none", "us", "geheim")), Conversation())
        assert isinstance(allowed, Connection)
        await allowed.close()


async def test_a_login_that_the_server_does_not_know() -> None:
    """No AUTH, or mechanisms that we have not: a failure that says so."""
    async with FakeMx(users={"us": "geheim"}, mechanisms="GSSAPI") as mx:
        failure = await CLIENT.open(mx.hop(route(mx, "none", "us", "geheim")), Conversation())
        assert isinstance(failure, Failure) and failure.kind is Kind.NO_AUTH


async def test_ipv6_works() -> None:
    """A hop may be an IPv6 address."""
    async with FakeMx(listen="::1") as mx:
        connection = await CLIENT.open(Hop("mx.test", "::1", mx.port), Conversation())
        assert isinstance(connection, Connection) and connection.peer == f"mx.test[::1]:{mx.port}"
        await connection.close()
