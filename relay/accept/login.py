"""AUTH: the dialogue, the check of what it gave, and the answer where it failed.

Who may try is the session's to decide, what is right that of `credentials`.
Standards: RFC 4954 4 and 6 (AUTH), RFC 4616 (PLAIN), draft-murchison-sasl-login (LOGIN).
Fails with `Timeout` and `Hangup`, as the reader does.
"""

from relay.accept import texts
from relay.accept.conversation import MAX_AUTH, Conversation
from relay.accept.credentials import BadEncoding, Login, Logins, WrongLogin, decode, plain, word
from relay.accept.reader import LineTooLong
from relay.accept.texts import Refused
from relay.credential import Credential
from relay.store.errors import StoreUnavailable

MECHANISMS = ("PLAIN", "LOGIN")


async def log_in(session: Conversation, logins: Logins, mechanism: str, initial: str) -> Credential | None:
    """The credential that the client logs in with, by one of `MECHANISMS`; None if it fails, which is answered here."""
    try:
        login = await (_plain if mechanism == "PLAIN" else _login)(session, initial)
    except BadEncoding:
        session.say(texts.AUTH_ENCODING)
        return None
    if login is None:
        return None
    try:
        result = await logins.check(login, session.client.ip)
    except StoreUnavailable as error:
        session.gate.log.database_trouble("cannot check logins, and clients are told to come again", error)
        # RFC 4954 6: a trouble of ours is 454, never a wrong password.
        session.refuse(Refused(texts.CANNOT_CHECK_LOGIN), "AUTH")
        return None
    if isinstance(result, WrongLogin):
        ref = texts.new_ref()
        why = f'{result.why} "{texts.shown(result.name)}" [{texts.LOGIN_FAILED.number} {ref}]'
        session.gate.log.auth_failed(session.service, session.peer, mechanism, result.name, why)
        session.refuse(Refused(texts.LOGIN_FAILED), "AUTH", ref=ref, logged=True)
        return None
    return result


async def _plain(session: Conversation, initial: str) -> Login | None:
    response = decode(initial) if initial else await _challenge(session, "")
    return None if response is None else plain(response)


async def _login(session: Conversation, initial: str) -> Login | None:
    name = decode(initial) if initial else await _challenge(session, "VXNlcm5hbWU6")  # Username:
    if name is None:
        return None
    secret = await _challenge(session, "UGFzc3dvcmQ6")  # Password:
    return None if secret is None else Login(word(name), word(secret))


async def _challenge(session: Conversation, challenge: str) -> bytes | None:
    """Ask, and decode the answer; None if the client gave up or sent too much. Raises `BadEncoding`."""
    session.say(f"334 {challenge}")
    try:
        line = await session.reader.line(MAX_AUTH, session.loop.time() + session.gate.settings.command_timeout)
    except LineTooLong:
        session.say(texts.AUTH_TOO_LONG)
        session.hang_up(linger=True)
        return None
    answer = line.rstrip(b"\r\n").decode("latin-1")
    if answer == "*":
        session.say(texts.AUTH_CANCELLED)
        return None
    return decode(answer or "=")
