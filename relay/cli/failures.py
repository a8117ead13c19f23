"""What ends a command early, each with its exit code.

Exit codes: 0 done, 1 failed, 2 the command itself is wrong, 3 nothing matched, 4 not confirmed,
5 the relay is not running, 6 a check found problems. Every failure says what happened and why
(`str(failure)`) and, where there is something to type, what (`hint`). `code` is the word that
`--json` shows, and only grows.
"""

OK = 0
PROBLEMS_FOUND = 6

MEANINGS = {
    0: "done",
    1: "failed; the message on standard error says why and what to type",
    2: "the command itself is wrong: an unknown word, option, filter or value",
    3: "nothing matched: no such message, credential or recipient",
    4: "not confirmed: nothing was changed",
    5: "the relay is not running",
    6: "a check found problems (config check, db check, domain check), or rows of an import were left out",
}


class Failure(Exception):
    """The command could not be done."""

    exit = 1
    code = "failed"

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class Usage(Failure):
    """The command is written wrongly; nothing was done."""

    exit = 2
    code = "usage"


class NothingMatched(Failure):
    """What was asked for does not exist."""

    exit = 3
    code = "nothing_matched"


class NotConfirmed(Failure):
    """A change was not agreed to; nothing was done."""

    exit = 4
    code = "not_confirmed"


class NotRunning(Failure):
    """Only a running relay could do it."""

    exit = 5
    code = "not_running"
