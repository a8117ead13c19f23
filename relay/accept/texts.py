"""Every reply we give as a server: one table of rules, and the plain answers beside it.

A rule is a refusal that people may ask about: it has a number, is kept in `refused`, and
shows a reference that also stands in the log. Its line reads
`CODE ENHANCED cause. Fix: action. [Rnnnn ref]`, at most 200 characters, because most client
libraries show one line and cut it. The cause names what was wrong and holds no ": "
(pflogsumm cuts reasons there). What a client sent is shown through `shown`, never raw.
Standards: RFC 5321 4.2 (codes), RFC 3463 (enhanced codes), RFC 4954 6 (those of AUTH).
Codes 450, 454, 500, 504, 550 and 554 count against a client in fail2ban's filters, so an
application that is merely set up wrongly gets another one.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_LINE = 200  # characters
MAX_SHOWN = 64  # characters shown of anything that a client sent
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Rule:
    """One reason to refuse. `cause` and `fix` are templates for `str.format`; `closes` ends the session (421)."""

    number: str
    code: int
    enhanced: str
    cause: str
    fix: str = ""

    @property
    def closes(self) -> bool:
        """RFC 5321 3.8: after 421 we hang up."""
        return self.code == 421

    def line(self, ref: str, values: Mapping[str, object]) -> str:
        """The reply with `values` filled in; a cause that grew too long is cut with `...`."""
        start = f"{self.code} {self.enhanced} "
        end = f". [{self.number} {ref}]"
        if self.fix:
            end = f". Fix: {self.fix.format_map(values)}" + end
        cause = self.cause.format_map(values).replace(": ", " ")
        room = MAX_LINE - len(start) - len(end)
        return start + (cause if len(cause) <= room else cause[: room - 3] + "...") + end


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal as a value: the rule, and what its texts name."""

    rule: Rule
    values: Mapping[str, object] = field(default_factory=dict)


LOGIN_REQUIRED = Rule(
    "R4101", 530, "5.7.0", "Login required", "set SMTP user and password (mailtrail credential add NAME)"
)
LOGIN_FAILED = Rule("R4102", 535, "5.7.8", "Login failed, user name or password is wrong")
ENCRYPTION_REQUIRED = Rule(
    "R4103", 538, "5.7.11", "Encryption required before login", "enable STARTTLS on port 587, or TLS on port 465"
)
FOREIGN_SENDER = Rule("R4105", 553, "5.7.1", "Credential {credential} may only send from {allowed}, not {domain}")
BAD_RECIPIENT = Rule("R4106", 501, "5.1.3", 'Recipient "{given}" is not a valid address, {why}')
TOO_MANY_RECIPIENTS = Rule("R4107", 452, "4.5.3", "Too many recipients, limit {limit} per message")
OVER_RATE = Rule(
    "R4108",
    421,
    "4.7.0",
    "Credential {credential} is over its limit of {messages} per {period}, try again in {wait} s",
)
TOO_BIG = Rule(
    "R4109",
    552,
    "5.3.4",
    "Message is {size}, limit is {limit}",
    "raise {setting} or link to the file",
)
CANNOT_STORE = Rule("R4110", 451, "4.3.1", "Relay cannot store mail right now, please retry")
RELAY_DENIED = Rule("R4112", 554, "5.7.1", "Relay access denied")
CANNOT_CHECK_LOGIN = Rule("R4113", 454, "4.7.0", "Login cannot be checked right now, please retry")
TOO_MANY_SESSIONS = Rule("R4114", 421, "4.3.2", "Too many sessions, limit {limit}, please retry")
TOO_MANY_FROM_CLIENT = Rule("R4115", 421, "4.7.0", "Too many sessions from your address, limit {limit}")
TOO_MANY_ERRORS = Rule("R4116", 421, "4.7.0", "Too many commands in error, limit {limit}")
LOOP = Rule("R4117", 554, "5.4.6", "Message has passed {hops} hops, limit is {limit}, so it goes in circles")
HEADER_TOO_BIG = Rule("R4118", 552, "5.3.4", "Header is over its limit of {limit}", "send fewer or shorter fields")
NO_MEMORY = Rule("R4119", 452, "4.3.1", "Relay is receiving too much mail right now, please retry")
ENDLESS_LINE = Rule("R4120", 421, "4.7.0", "A line is over its limit of {limit}")
TOO_SLOW = Rule("R4121", 421, "4.4.2", "Message came slower than {rate} octets per second")
BAD_SENDER = Rule("R4122", 501, "5.1.7", 'Sender "{given}" is not a valid address, {why}')
CREDENTIAL_GONE = Rule("R4123", 421, "4.7.0", "Credential {credential} is not valid any more")
TROUBLE = Rule("R4124", 451, "4.3.0", "Something went wrong in the relay, please retry")
TROUBLE_CLOSING = Rule("R4125", 421, "4.3.0", "Something went wrong in the relay, please come again")
NO_SUCH_ADDRESS = Rule("R4126", 550, "5.1.1", "No such address here, mail for our own reports only")
NOT_OUR_DOMAIN = Rule("R4127", 550, "5.7.1", "Relay access denied")
SUPPRESSED = Rule(
    "R4129",
    553,
    "5.7.1",
    "Recipient {given} is on the suppression list, {why}",
    "mailtrail suppression remove ADDRESS",
)
TOO_EARLY = Rule("R4128", 451, "4.3.0", "The delivery that this is about is not settled yet, please retry")
LETTER_TOO_BIG = Rule("R4130", 552, "5.3.4", "Message is {size}, limit is {limit}")  # of a stranger: no advice for us

RULES = tuple(rule for rule in list(globals().values()) if isinstance(rule, Rule))

# Plain answers: nothing to look up later.
OK = "250 2.0.0 Ok"
SENDER_OK = "250 2.1.0 Sender ok"
RECIPIENT_OK = "250 2.1.5 Recipient ok"
GO_AHEAD = "354 End data with <CR><LF>.<CR><LF>"
BYE = "221 2.0.0 Bye"
START_TLS = "220 2.0.0 Ready to start TLS"
CANNOT_VERIFY = "252 2.5.2 Cannot verify the address, but will take mail for it and try to deliver"
HELP = "214 2.0.0 Commands are AUTH BDAT DATA EHLO HELO HELP MAIL NOOP QUIT RCPT RSET STARTTLS VRFY"
STOPPING = "421 4.3.2 Relay is shutting down, please retry"
IDLE = "421 4.4.2 Nothing came for too long, closing"
UNKNOWN_COMMAND = "500 5.5.1 Command not recognized"
LINE_TOO_LONG = "500 5.5.6 Command line too long"
BARE_LF = "500 5.5.2 A command line ends in CRLF, not in LF alone"
CONTROL_BYTES = "500 5.5.2 A command holds no control characters"
NOT_ASCII = "500 5.5.2 A command is ASCII, or UTF-8 where SMTPUTF8 was asked for"
NOT_IMPLEMENTED = "502 5.5.1 Command not implemented"
NO_ARGUMENT = "501 5.5.4 This command takes no argument"
HELO_SYNTAX = "501 5.5.4 Syntax is {verb} hostname"
MAIL_SYNTAX = "501 5.5.4 Syntax is MAIL FROM:<address> [parameters]"
RCPT_SYNTAX = "501 5.5.4 Syntax is RCPT TO:<address> [parameters]"
VRFY_SYNTAX = "501 5.5.4 Syntax is VRFY address"
BDAT_SYNTAX = "501 5.5.4 Syntax is BDAT size [LAST], closing because the next command cannot be found"
HELLO_FIRST = "503 5.5.1 Send EHLO or HELO first"
EHLO_FIRST = "503 5.5.1 Send EHLO first"
NESTED_MAIL = "503 5.5.1 A message is already under way, send RSET first"
MAIL_FIRST = "503 5.5.1 Send MAIL first"
RCPT_FIRST = "503 5.5.1 Send RCPT first, there is no valid recipient"
BDAT_UNDER_WAY = "503 5.5.1 The message is coming by BDAT, go on with BDAT or send RSET"
TLS_ACTIVE = "503 5.5.1 TLS is active already"
NO_TLS = "502 5.5.1 TLS is not set up on this relay"
AUTH_SYNTAX = "501 5.5.4 Syntax is AUTH mechanism [initial-response]"
AUTH_TWICE = "503 5.5.1 Already logged in"
AUTH_IN_MAIL = "503 5.5.1 Log in before MAIL"
AUTH_UNKNOWN = "504 5.5.4 Mechanism not known, use PLAIN or LOGIN"
AUTH_CANCELLED = "501 5.7.0 Login cancelled"
AUTH_ENCODING = "501 5.5.2 That is not base64 of a login"
AUTH_TOO_LONG = "500 5.5.6 Login line too long"


def shown(text: str, limit: int = MAX_SHOWN) -> str:
    """`text` fit for a reply: printable ASCII only, the rest as escapes, cut after `limit` characters."""
    escaped = "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode("ascii") for c in text[: limit + 1])
    return escaped if len(escaped) <= limit else escaped[: limit - 3] + "..."


def new_ref() -> str:
    """A reference: six characters in base 36, short enough to be read over the telephone."""
    number = random.getrandbits(31)
    return "".join(_DIGITS[number // 36**place % 36] for place in range(6))


def octets(number: int) -> str:
    """A size for people, rounded up: `31 MiB`, `900 KiB`, `12 octets`."""
    for unit, factor in (("MiB", 1024 * 1024), ("KiB", 1024)):
        if number >= factor:
            return f"{-(-number * 10 // factor) / 10:.15g} {unit}"
    return f"{number} octets"
