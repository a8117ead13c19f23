"""The supervisor: starts the workers, replaces the dead, passes signals on, and does nothing else.

It has no event loop, no thread, no database connection and no mail, so there is little in
it that can fail; whatever can fail happens in its children. Workers are made by `os.fork`
and not by starting the program anew: nothing exists yet that a fork could break, all
workers share the memory of the code that was loaded once, and a worker replaced after an
upgrade runs the same code as its brothers, not what half an upgrade has left on disk.

    reserve the addresses → prepare (a child) → start N workers → all ready: one line → wait for signals

A dead worker is replaced at once, and more and more slowly if it dies again and again;
one that cannot even start makes the supervisor give up. SIGHUP reloads. SIGTERM or SIGINT:
the workers finish what is in hand; a second one, or the end of the grace time, kills them
(nothing accepted is lost by that). Workers get SIGTERM from the supervisor alone, ignore
the terminal's SIGINT, and are killed by the kernel if the supervisor dies.

Ends with 0 after a clean stop, 1 if it could not start or had to kill.
"""

import contextlib
import gc
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from relay import systemd
from relay.child import Signals, end, fork
from relay.config import Config, Endpoint
from relay.listening import CannotListen, reserve
from relay.log import Log

QUICK = 10.0  # seconds; a worker that lives no longer counts as one that dies at once
TRIES = 3  # quick deaths before the first readiness until we give up
PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds before a worker that keeps dying is replaced
MARGIN = 2.0  # seconds that a worker has, after the grace time it keeps itself, to close what it has open

Prepare = Callable[[], None]
Work = Callable[[int, Config, Callable[[], None]], None]


class CannotStart(Exception):
    """A reason, in words, not to go on."""


def run(
    config: Config,
    prepare: Callable[[Config], None],
    work: Work,
    finish: Callable[[Config], None],
    *,
    log: Log | None = None,
    reload: Callable[[], Config] | None = None,
) -> int:
    """Supervise until told to stop; the exit code.

    `prepare(config)` runs once, in a process of its own, before any worker, and `finish(config)` after the last. `work(index, config, ready)`
    is a worker's whole life: it returns after SIGTERM and has called `ready()` when every
    listener answered. Either fails by raising. `reload()` reads the configuration again on
    SIGHUP, for workers started later; if it raises, the old one stays.
    """
    try:
        log = log or Log(config)
    except OSError as error:
        print(f"mailtrail: cannot open the log {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    try:
        with Signals() as signals, contextlib.ExitStack() as kept:
            config = _reserve(config, kept)
            code = _Supervisor(config, work, log, signals, reload).serve(lambda: prepare(config))
            finish(config)
            return code
    except (CannotListen, CannotStart) as error:
        log.error(str(error))
        if config.log.file:  # then nobody at the terminal has seen it
            print(f"mailtrail: {error}", file=sys.stderr)
        return 1
    finally:
        log.flush()


def _reserve(config: Config, kept: contextlib.ExitStack) -> Config:
    """`config` with real ports, each held by a socket in `kept`."""

    def held(endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        pairs = [reserve(endpoint) for endpoint in endpoints]
        for bound, _ in pairs:
            kept.enter_context(bound)
        return tuple(endpoint for _, endpoint in pairs)

    submission = config.submission
    return replace(
        config,
        submission=replace(submission, listen=held(submission.listen), listen_tls=held(submission.listen_tls)),
    )


@dataclass
class _Worker:
    """One place among the workers, and the process that fills it (`pid` 0: nobody, until `due`)."""

    index: int
    pid: int = 0
    ready_fd: int = -1
    ready: bool = False
    started_at: float = 0.0
    due: float = 0.0  # monotonic seconds
    quick_deaths: int = 0
    reload: bool = False  # SIGHUP came before it was ready


class _Supervisor:
    def __init__(
        self, config: Config, work: Work, log: Log, signals: Signals, reload: Callable[[], Config] | None
    ) -> None:
        self._config = config
        self._work = work
        self._log = log
        self._signals = signals
        self._reload = reload
        self._workers = [_Worker(index) for index in range(config.workers or os.cpu_count() or 1)]
        self._selector = selectors.DefaultSelector()
        self._selector.register(signals.reader, selectors.EVENT_READ)
        self._announced = False
        self._stopping = False
        self._kill_at: float | None = None  # monotonic seconds
        self._failed = False

    def serve(self, prepare: Prepare) -> int:
        """From the first preparation to the last worker's end."""
        if not self._prepared(prepare):
            return 0
        gc.collect()
        gc.freeze()  # what is loaded now is shared by all workers, and no collector writes to it
        while True:
            self._start_due()
            if self._stopping and not any(worker.pid for worker in self._workers):
                break
            for event, _ in self._selector.select(self._patience()):
                if isinstance(event.data, _Worker):
                    self._is_ready(event.data)
            for number in self._signals.arrived():
                self._hear(number)
            self._reap()
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                self._kill(f"the grace time of {self._config.grace:g} s is over")
        self._log.note("stopped", clean=not self._failed)
        return 1 if self._failed else 0

    # --- children --------------------------------------------------------------------------------------------

    def _prepared(self, prepare: Prepare) -> bool:
        """Run `prepare` in a child; False if we were told to stop meanwhile."""
        pid = fork(prepare, "prepare", self._signals, self._tell)
        asked = False
        while True:
            self._selector.select()
            if {signal.SIGTERM, signal.SIGINT} & set(self._signals.arrived()):
                asked = True
                os.kill(pid, signal.SIGTERM)
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended and asked:
                self._log.note("stopped", clean=True)
                return False
            if ended and status:
                raise CannotStart(f"cannot start, the preparation failed ({end(status)}), the line before says why")
            if ended:
                return True

    def _start_due(self) -> None:
        for worker in self._workers:
            if not worker.pid and not self._stopping and worker.due <= time.monotonic():
                self._start(worker)

    def _start(self, worker: _Worker) -> None:
        reader, writer = os.pipe()

        def live() -> None:
            self._selector.close()
            os.close(reader)
            self._work(worker.index, self._config, lambda: _say_ready(writer))

        try:
            worker.pid = fork(live, f"{worker.index}", self._signals, self._tell)
        except OSError as error:  # no memory, too many processes: not a reason to give up those that work
            os.close(reader)
            worker.due = time.monotonic() + PAUSES[-1]
            self._log.warning("cannot start a worker", index=worker.index, reason=error.strerror)
            return
        finally:
            os.close(writer)
        worker.ready_fd, worker.ready, worker.reload = reader, False, False
        worker.started_at = time.monotonic()
        self._selector.register(reader, selectors.EVENT_READ, worker)

    def _tell(self, name: str, error: BaseException) -> None:
        """In a child: why it ends. The parent's log bears the parent's pid, so this is another."""
        log = Log(self._config)
        log.error(f"worker {name} failed" if name.isdigit() else f"{name} failed", error)
        log.close()

    def _is_ready(self, worker: _Worker) -> None:
        said = os.read(worker.ready_fd, 1)
        self._hang_up(worker)
        if not said:  # it ended without a word
            return
        worker.ready = True
        if worker.reload:
            _send(worker, signal.SIGHUP)
        if self._announced:
            self._log.note("worker replaced", index=worker.index, worker_pid=worker.pid)
        elif all(each.ready for each in self._workers) and not self._stopping:
            self._announce()

    def _announce(self) -> None:
        self._announced = True
        submission = self._config.submission
        self._log.note(
            "ready",
            hostname=self._config.hostname,
            submission=_several(submission.listen),
            submission_tls=_several(submission.listen_tls),
            workers=len(self._workers),
        )
        systemd.notify("READY=1", f"STATUS=accepting mail with {len(self._workers)} workers")

    def _hang_up(self, worker: _Worker) -> None:
        if worker.ready_fd >= 0:
            self._selector.unregister(worker.ready_fd)
            os.close(worker.ready_fd)
            worker.ready_fd = -1

    def _reap(self) -> None:
        """Bury every child that has ended; as process 1 of a container, those of others too."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            for worker in self._workers:
                if worker.pid == pid:
                    self._ended(worker, status)

    def _ended(self, worker: _Worker, status: int) -> None:
        self._hang_up(worker)
        pid, worker.pid = worker.pid, 0
        if self._stopping:
            # SIGTERM itself ends a worker that has not come as far as to listen for it.
            self._failed |= os.waitstatus_to_exitcode(status) not in (0, -signal.SIGTERM)
            return
        quick = time.monotonic() - worker.started_at < QUICK
        worker.quick_deaths = worker.quick_deaths + 1 if quick else 0
        pause = PAUSES[min(worker.quick_deaths, len(PAUSES)) - 1] if quick else 0.0
        worker.due = time.monotonic() + pause
        if not self._announced and worker.quick_deaths >= TRIES:
            reason = f"worker {worker.index} ended {TRIES} times before it was ready, the last time with {end(status)}"
            self._log.error(f"giving up, {reason}")
            self._failed = True
            self._stop()
        else:
            again = f"in {pause:g} s" if pause else "now"
            self._log.warning("worker died", index=worker.index, worker_pid=pid, end=end(status), replaced=again)

    # --- signals ---------------------------------------------------------------------------------------------

    def _hear(self, number: int) -> None:
        if number == signal.SIGHUP and not self._stopping:
            self._reload_all()
        elif number in (signal.SIGTERM, signal.SIGINT):
            if self._stopping:
                self._kill(f"{signal.Signals(number).name} came again")
            else:
                self._log.note("stopping", signal=signal.Signals(number).name, grace=f"{self._config.grace:g}s")
                self._stop()

    def _stop(self) -> None:
        self._stopping = True
        self._kill_at = time.monotonic() + self._config.grace + MARGIN
        systemd.stopping(self._config.grace + 2 * MARGIN)
        for worker in self._workers:
            _send(worker, signal.SIGTERM)

    def _kill(self, why: str) -> None:
        self._kill_at = None
        self._failed = True
        self._log.warning(f"leaving at once, {why}", workers=sum(1 for worker in self._workers if worker.pid))
        for worker in self._workers:
            _send(worker, signal.SIGKILL)

    def _reload_all(self) -> None:
        systemd.reloading()
        self._log.reopen()
        if self._reload:
            try:
                self._config = _with_ports(self._reload(), self._config)
            except Exception as error:  # whatever is wrong with the new configuration, the old one works
                self._log.error("not reloaded, the old configuration stays", error)
        for worker in self._workers:
            worker.reload = True
            if worker.ready:
                _send(worker, signal.SIGHUP)
        self._log.note("reloaded")
        systemd.notify("READY=1")

    def _patience(self) -> float | None:
        """Seconds until something is to be done without being asked; None: never."""
        moments = [worker.due for worker in self._workers if not worker.pid and not self._stopping]
        if self._kill_at is not None:
            moments.append(self._kill_at)
        return max(0.0, min(moments) - time.monotonic()) if moments else None


def _with_ports(fresh: Config, old: Config) -> Config:
    """A reloaded configuration; where we listen stays as it is until the next start."""
    submission = replace(fresh.submission, listen=old.submission.listen, listen_tls=old.submission.listen_tls)
    return replace(fresh, submission=submission)


def _send(worker: _Worker, number: signal.Signals) -> None:
    if worker.pid:  # not yet buried, so the number is still its own
        os.kill(worker.pid, number)


def _say_ready(writer: int) -> None:
    os.write(writer, b"r")
    os.close(writer)


def _several(endpoints: tuple[Endpoint, ...]) -> str | None:
    return " ".join(map(str, endpoints)) or None
