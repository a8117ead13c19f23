"""The crew: the processes that fill the places among the workers. The supervisor decides; here it is done.

Every place is to have one worker with the present configuration. One with an older
configuration goes when its successor is ready, one after the other. A place whose worker
dies again and again stays empty for a while, and its share of the clients goes to the
others. A worker that gives no sign of life for `hang` seconds is killed. Numbers of
workers are not given again while 1024 others come.
"""

import math
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from relay import lifeline
from relay.child import Signals, end, fork
from relay.config import Config, Endpoint
from relay.lifeline import Lifeline
from relay.listening import Doors
from relay.log import Log
from relay.queue_id import WRITERS

QUICK = 10.0  # seconds; a worker that lives no longer counts as one that dies at once
PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds before a worker that keeps dying is replaced
MARGIN = 2.0  # seconds that a worker has, after the grace time it keeps itself, to close what it has open
SIGNS = 60  # how many signs of life a worker gives before the lack of them means that it hangs

Work = Callable[[Config, Lifeline, Mapping[Endpoint, socket.socket]], None]


@dataclass
class Place:
    """One place among the workers; while nobody fills it, `due` (monotonic seconds) says when somebody will."""

    index: int
    due: float = 0.0
    quick_deaths: int = 0  # one after the other
    died: bool = False  # and nobody has been ready here since


@dataclass
class Worker:
    """A process that fills a place."""

    place: Place
    number: int
    config: Config
    pid: int
    lifeline: int  # our end
    started_at: float  # monotonic seconds
    ready: bool = False
    leaves: bool = False  # it lets nobody in any more
    silent: float = 0.0  # seconds
    kill_at: float | None = None  # monotonic seconds; set when it has been told to go

    @property
    def stays(self) -> bool:
        """It has not been told to go."""
        return self.kill_at is None

    def kill(self) -> bool:
        """End it now; False if that was done before."""
        if self.kill_at == math.inf:
            return False
        self.kill_at = math.inf
        os.kill(self.pid, signal.SIGKILL)  # it is not yet buried, so its pid is still its own
        return True


class Crew:
    """All workers and their places; `selector` hears of those that are not ready yet, or have not left."""

    def __init__(
        self, work: Work, signals: Signals, doors: Doors, selector: selectors.BaseSelector, log: Log, hang: float
    ) -> None:
        self._work = work
        self._signals = signals
        self._doors = doors
        self._selector = selector
        self.log = log
        self._hang = hang
        self._config = Config("")
        self._next_number = 0
        self.places: list[Place] = []
        self.workers: dict[int, Worker] = {}  # by pid

    def turn_to(self, config: Config) -> None:
        """From now on workers have this configuration, and there are as many places as it wants."""
        self._config = config
        count = places(config)
        self.places = self.places[:count] + [Place(index) for index in range(len(self.places), count)]
        for place in self.places:
            place.due = 0.0

    def fill(self) -> bool:
        """Do what can be done now; True when every place has a worker that is ready, with this configuration.

        And nobody else lets clients in.
        """
        settled = True
        coming = any(not worker.ready for worker in self.staying())
        for place in self.places:
            here = [worker for worker in self.staying() if worker.place.index == place.index]
            fresh = next((worker for worker in here if worker.config is self._config), None)
            if fresh and fresh.ready:
                for worker in here:
                    if worker is not fresh:
                        self.send_away(worker)
                continue
            settled = False
            # Where an older one still works there is no hurry: one after the other.
            if not fresh and place.due <= time.monotonic() and not (here and coming):
                coming = self._start(place) or coming
        return settled and all(worker.leaves for worker in self.workers.values() if not worker.stays)

    def staying(self) -> Iterator[Worker]:
        """Those that have not been told to go."""
        return iter([worker for worker in self.workers.values() if worker.stays])

    def send_away(self, worker: Worker) -> None:
        """Let it finish what it has in hand, within its grace time."""
        worker.kill_at = time.monotonic() + worker.config.grace + MARGIN
        if worker.lifeline not in self._selector.get_map():
            self._selector.register(worker.lifeline, selectors.EVENT_READ, worker)
        os.kill(worker.pid, signal.SIGTERM)

    def dismiss(self) -> None:
        """Everybody goes, and nobody comes any more."""
        self.places = []
        for worker in self.staying():
            self.send_away(worker)

    def overdue(self) -> list[Worker]:
        """Those that have been told to go and whose time is over."""
        now = time.monotonic()
        return [worker for worker in self.workers.values() if worker.kill_at is not None and worker.kill_at <= now]

    def next_moment(self) -> float:
        """When something is to be done here without being asked: monotonic seconds."""
        filled = {worker.place.index for worker in self.staying()}
        due = [place.due for place in self.places if place.index not in filled]
        due += [worker.kill_at for worker in self.workers.values() if worker.kill_at is not None]
        return min(due, default=math.inf)

    # --- one worker ------------------------------------------------------------------------------------------

    def _start(self, place: Place) -> bool:
        config, number = self._config, self._number()
        reader, writer = lifeline.pipe()

        def live() -> None:
            self._selector.close()
            os.close(reader)
            doors = self._doors.enter(place.index, addresses(config))
            self._work(config, Lifeline(number, writer, self._hang / SIGNS), doors)

        try:
            pid = fork(live, str(number), self._signals, self.tell)
        except OSError as error:  # no memory, too many processes: not a reason to give up those that work
            os.close(reader)
            place.due = time.monotonic() + PAUSES[-1]
            self.log.warning("cannot start a worker", reason=error.strerror)
            return False
        finally:
            os.close(writer)
        self.workers[pid] = worker = Worker(place, number, config, pid, reader, time.monotonic())
        self._selector.register(reader, selectors.EVENT_READ, worker)
        return True

    def _number(self) -> int:
        living = {worker.number for worker in self.workers.values()}
        while self._next_number in living:
            self._next_number = (self._next_number + 1) % WRITERS
        number, self._next_number = self._next_number, (self._next_number + 1) % WRITERS
        return number

    def tell(self, name: str, error: BaseException) -> None:
        """In a child: why it ends. The parent's log bears the parent's pid, so this is another."""
        while isinstance(error, BaseExceptionGroup):  # of a task group: the first failure has ended the others
            error = error.exceptions[0]
        log = Log(self._config)
        log.error(f"worker {name} failed" if name.isdigit() else f"{name} failed", error)
        log.close()

    def listen_to(self, worker: Worker) -> None:
        """It has said something, or has ended."""
        said = lifeline.heard(worker.lifeline)
        if said:
            worker.silent = 0.0
        worker.leaves |= lifeline.LEAVING in (said or b"")
        if said == b"" or worker.leaves or (worker.stays and lifeline.READY in (said or b"")):
            self._listen_no_more(worker)  # it says nothing any more that is worth waking up for
        if lifeline.READY in (said or b""):
            worker.ready = True
            if worker.place.died:
                worker.place.died = False
                self.log.note("worker replaced", number=worker.number, worker_pid=worker.pid)

    def _listen_no_more(self, worker: Worker) -> None:
        if worker.lifeline in self._selector.get_map():
            self._selector.unregister(worker.lifeline)

    def look(self, seconds: float) -> bool:
        """`seconds` after the last look: who has given no sign of life since? True if everybody is well.

        Looks are counted and not the time itself, so that a machine that was asleep takes nobody for dead.
        """
        for worker in self.workers.values():
            worker.silent += seconds
            self.listen_to(worker)
            if worker.silent >= self._hang:
                worker.silent = 0.0
                self.log.error("worker hangs, killing it", number=worker.number, worker_pid=worker.pid)
                os.kill(worker.pid, signal.SIGKILL)
        filled = {worker.place.index for worker in self.staying() if worker.ready and not worker.silent}
        return all(place.index in filled for place in self.places)

    def bury(self) -> Iterator[tuple[Worker, int]]:
        """Every worker that has ended, with its wait status; as process 1 of a container, those of others too."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if worker := self.workers.pop(pid, None):
                self._listen_no_more(worker)
                os.close(worker.lifeline)
                yield worker, status

    def replace(self, worker: Worker, status: int) -> None:
        """It has died: say when another one comes."""
        place = worker.place
        place.died = True
        quick = time.monotonic() - worker.started_at < QUICK
        place.quick_deaths = place.quick_deaths + 1 if quick else 0
        pause = PAUSES[min(place.quick_deaths, len(PAUSES)) - 1] if quick else 0.0
        place.due = time.monotonic() + pause
        if pause and place in self.places:
            self._doors.renew(place.index)
        again = f"in {pause:g} s" if pause else "now"
        self.log.warning("worker died", number=worker.number, worker_pid=worker.pid, end=end(status), replaced=again)


def places(config: Config) -> int:
    """How many workers a configuration wants."""
    return config.workers or os.cpu_count() or 1


def addresses(config: Config) -> tuple[Endpoint, ...]:
    """Where a configuration listens."""
    submission = config.submission
    return submission.listen + submission.listen_tls + config.inbound.listen + config.tracking.listen
