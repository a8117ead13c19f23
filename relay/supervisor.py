"""The supervisor: starts the workers, replaces the dead, reloads, and does nothing else.

It has no event loop, no thread, no database connection and no mail, so there is little in
it that can fail; whatever can fail happens in its children. Workers are made by `os.fork`
and not by starting the program anew: nothing exists yet that a fork could break, all
workers share the memory of the code that was loaded once, and a worker replaced after an
upgrade runs the same code as its brothers, not what half an upgrade has left on disk.

    lock data_dir → open the doors → prepare (a child) → start N workers → all ready: one line → wait for signals

A dead worker is replaced at once, and more and more slowly if it dies again and again;
one that cannot even start makes the supervisor give up. One that gives no sign of life
for a minute hangs, and is killed.

SIGHUP reloads (`relay/reloading.py`): each worker goes as soon as one with the new
configuration is ready in its place. Whatever is wrong with the new configuration is said,
and the old one stays. SIGTERM or SIGINT: the workers finish what is in hand; a second one,
or the end of the grace time, kills them (nothing accepted is lost by that). Workers get
SIGTERM from the supervisor alone, ignore the terminal's SIGINT, and are killed by the kernel
if the supervisor dies.

Ends with 0 after a clean stop, 1 if it could not start or had to kill.
"""

import contextlib
import gc
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable, Iterable

from relay import data_dir, systemd
from relay.child import Signals, call_me, end, fork
from relay.config import Config, Endpoint
from relay.crew import MARGIN, Crew, Work, Worker, places
from relay.listening import CannotListen, Doors
from relay.log import Log
from relay.reloading import Reload, Reloading, unopened

TRIES = 3  # quick deaths before the first readiness until we give up
HANG = 60.0  # seconds without a sign of life after which a worker hangs
LOOKS = 4  # how often we look for signs in that time

Prepare = Callable[[Config], None]


class CannotStart(Exception):
    """A reason, in words, not to go on."""


def run(
    config: Config,
    prepare: Prepare,
    work: Work,
    finish: Prepare,
    *,
    warnings: Iterable[object] = (),
    reload: Reload | None = None,
    hang: float = HANG,
) -> int:
    """Supervise until told to stop; the exit code.

    `prepare(config)` runs once, in a process of its own, before any worker, and
    `finish(config)` after the last. `work(config, lifeline, doors)` is a worker's whole
    life: it returns after SIGTERM, has called `lifeline.ready()` when every listener
    answered, and gives signs of life; `doors` has the bound sockets of the addresses in
    `config`. Each fails by raising. `reload()` reads the configuration again on SIGHUP
    (`ConfigError`); without it SIGHUP stops like SIGTERM. `warnings` are logged first.
    """
    call_me("mailtrail")
    try:
        log = Log(config)
    except OSError as error:
        print(f"mailtrail: {unopened(error)}", file=sys.stderr)
        return 1
    try:
        with Signals() as signals, data_dir.held(config.data_dir), contextlib.closing(Doors()) as doors:
            for warning in warnings:
                log.warning(str(warning))
            return _Supervisor(config, work, signals, doors, log, reload, hang).serve(prepare, finish)
    except (CannotListen, CannotStart, data_dir.InUse) as error:
        log.error(str(error))
        if config.log.file:  # then nobody at the terminal has seen it
            print(f"mailtrail: {error}", file=sys.stderr)
        return 1


class _Supervisor:
    def __init__(
        self,
        config: Config,
        work: Work,
        signals: Signals,
        doors: Doors,
        log: Log,
        reload: Reload | None,
        hang: float,
    ) -> None:
        self._signals = signals
        self._doors = doors
        self._reload = reload
        self._selector = selectors.DefaultSelector()
        self._selector.register(signals.reader, selectors.EVENT_READ)
        self._crew = Crew(work, signals, doors, self._selector, log, hang)
        self._reloading = Reloading(config, self._crew, doors)
        self._pause = min(hang / LOOKS, systemd.watchdog() / 2)  # seconds between two looks
        self._next_look = time.monotonic() + self._pause
        self._announced = False
        self._again = False  # SIGHUP came at a moment that does not suit
        self._stopping = False
        self._failed = False

    @property
    def _config(self) -> Config:
        return self._reloading.config

    @property
    def _log(self) -> Log:
        return self._crew.log  # a reload opens another one

    def serve(self, prepare: Prepare, finish: Prepare) -> int:
        """From the preparation to the last worker's end, and what comes after it."""
        if not self._prepared(prepare):
            return 0
        gc.collect()
        gc.freeze()  # what is loaded now is shared by all workers, and no collector writes to it
        while self._crew.workers or not self._stopping:
            if not self._stopping and self._crew.fill():
                self._settled()
            for event, _ in self._selector.select(max(0.0, self._next_moment() - time.monotonic())):
                if isinstance(event.data, Worker):
                    self._crew.listen_to(event.data)
            for number in self._signals.arrived():
                self._hear(number)
            for worker, status in self._crew.bury():
                self._ended(worker, status)
            self._kill_overdue()
            self._look()
        try:
            finish(self._config)
        except Exception as error:  # whatever it is, it is told, and the next start cleans up
            self._log.error("not left in good order", error)
            self._failed = True
        self._log.note("stopped", clean=not self._failed)
        return 1 if self._failed else 0

    def _prepared(self, prepare: Prepare) -> bool:
        """Run `prepare` in a child; False if we were told to stop meanwhile."""
        pid = fork(lambda: prepare(self._config), "prepare", self._signals, self._crew.tell)
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

    def _next_moment(self) -> float:
        return min(self._next_look, self._crew.next_moment())

    def _settled(self) -> None:
        """Every place has its worker."""
        if not self._announced:
            self._announced = True
            self._say("ready")
        if self._reloading.under_way and self._reloading.finish():
            self._say("reloaded")
        if self._again and self._reload:
            self._again = False
            self._reloading.start(self._reload)

    def _say(self, what: str) -> None:
        submission = self._config.submission
        self._log.note(
            what,
            hostname=self._config.hostname,
            submission=_several(submission.listen),
            submission_tls=_several(submission.listen_tls),
            inbound=_several(self._config.inbound.listen),
            tracking=_several(self._config.tracking.listen),
            workers=places(self._config),
        )
        systemd.notify("READY=1", f"STATUS=accepting mail with {places(self._config)} workers")

    def _ended(self, worker: Worker, status: int) -> None:
        bad = os.waitstatus_to_exitcode(status) != 0
        if self._stopping:
            # SIGTERM itself ends a worker that has not come as far as to listen for it. A kill of ours is counted.
            self._failed |= os.waitstatus_to_exitcode(status) not in (0, -signal.SIGTERM, -signal.SIGKILL)
        elif not worker.stays:
            if bad and worker.ready:
                self._log.warning("worker died at its end", number=worker.number, end=end(status))
        elif not self._announced and worker.place.quick_deaths >= TRIES - 1:
            again = f"a worker ended {TRIES} times before it was ready"
            self._log.error(f"giving up, {again}, the last time with {end(status)}")
            self._failed = True
            self._stop()
        elif not self._reloading.turned_back(worker, end(status)):
            self._crew.replace(worker, status)

    def _look(self) -> None:
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + self._pause
            if self._crew.look(self._pause):
                systemd.notify("WATCHDOG=1")

    # --- stopping --------------------------------------------------------------------------------------------

    def _hear(self, number: int) -> None:
        if number == signal.SIGHUP and self._reload:
            if self._reloading.under_way or not self._announced:
                self._again = True
            else:
                self._reloading.start(self._reload)
        elif number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if self._stopping:
                self._kill(list(self._crew.workers.values()), f"{signal.Signals(number).name} came again")
            else:
                self._log.note("stopping", signal=signal.Signals(number).name, grace=f"{self._config.grace:g}s")
                self._stop()

    def _stop(self) -> None:
        self._stopping = True
        systemd.stopping(self._config.grace + 2 * MARGIN)
        self._doors.close()
        self._crew.dismiss()

    def _kill_overdue(self) -> None:
        late = self._crew.overdue()
        if late and self._stopping:
            self._kill(late, f"the grace time of {self._config.grace:g} s is over")
        for worker in late:
            if worker.kill():
                self._log.warning("worker did not finish within its grace time, killed", number=worker.number)

    def _kill(self, workers: list[Worker], why: str) -> None:
        self._failed = True
        self._log.warning(f"leaving at once, {why}", workers=len(workers))
        for worker in workers:
            worker.kill()


def _several(endpoints: tuple[Endpoint, ...]) -> str | None:
    return " ".join(map(str, endpoints)) or None
