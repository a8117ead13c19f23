"""Turning a crew that works to another configuration, and back where it cannot work with that.

    read and check → open its doors → as a new worker is ready, an old one goes → close the doors that are left over
                   → when no old one lets clients in any more, it is done

Whatever is wrong with the new configuration is said, and the old one stays: it cannot be read, it
wants an address or a log that cannot be had, its workers end before they are ready. The data
directory and the database are those of the start, until a restart. When to reload is decided by
the supervisor. Only the first configuration can fail, with `CannotListen`.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice

from relay import systemd
from relay.config import Config
from relay.config_file import ConfigError, LoadedConfig
from relay.crew import Crew, Worker, addresses, places
from relay.listening import CannotListen, Doors
from relay.log import Log

Reload = Callable[[], LoadedConfig]


class Reloading:
    """The configuration that new workers get (`config`, with real ports), and the way to the next one."""

    def __init__(self, config: Config, crew: Crew, doors: Doors) -> None:
        self._crew = crew
        self._doors = doors
        self.under_way = False
        self._before: Config | None = None  # which one we are leaving; None also when we turn back to it
        self.config = self._opened(config)
        crew.turn_to(self.config)

    def start(self, reload: Reload) -> None:
        """Read and check; whatever is wrong with the new configuration, the old one works."""
        systemd.reloading()
        self._crew.log.reopen()
        try:
            loaded = reload()
            fresh = self._opened(self._within_reach(loaded.config))
            log = Log(fresh)
        except ConfigError as error:
            self._not_reloaded(*error.problems)
        except CannotListen as error:
            self._not_reloaded(error)
        except OSError as error:
            self._not_reloaded(unopened(error))
        except Exception as error:  # a mistake of ours in reading it is no reason to end
            self._not_reloaded(f"{type(error).__name__}: {error}")
        else:
            self._crew.log.close()
            self._crew.log = log
            for warning in loaded.warnings:
                log.warning(str(warning))
            self.under_way, self._before, self.config = True, self.config, fresh
            self._crew.turn_to(fresh)

    def finish(self) -> bool:
        """All workers have the same configuration again; what is not in it can go.

        False: something has still to go, or the configuration is the old one.
        """
        self._doors.keep(addresses(self.config), places(self.config))
        too_many = [worker for worker in self._crew.staying() if worker.place.index >= places(self.config)]
        for worker in too_many:
            self._crew.send_away(worker)
        if too_many:
            return False
        turned, self._before = self._before is not None, None
        self.under_way = False
        return turned

    def turned_back(self, worker: Worker, how: str) -> bool:
        """A worker has ended (`how`, in words). Is the new configuration good to read and not to work with?"""
        if self._before is None or worker.ready or worker.config is not self.config:
            return False
        self.config, self._before = self._before, None
        self._not_reloaded(f"worker {worker.number} ended with {how} before it was ready, the line before says why")
        for other in self._crew.staying():
            if not other.ready:
                self._crew.send_away(other)
        self._crew.turn_to(self.config)
        return True

    def _not_reloaded(self, *reasons: object) -> None:
        for reason in reasons:
            self._crew.log.error(f"not reloaded, the old configuration stays: {reason}")
        self._doors.keep(addresses(self.config), places(self.config))
        systemd.notify("READY=1")

    def _within_reach(self, config: Config) -> Config:
        """`config` but for what only a restart can change."""
        old = self.config
        for name, there in (("data_dir", config.data_dir), ("database.url", config.database_url)):
            if there != (old.data_dir if name == "data_dir" else old.database_url):
                self._crew.log.warning(f"{name} has changed, and stays as it was until the relay is restarted")
        return replace(config, data_dir=old.data_dir, database_url=old.database_url)

    def _opened(self, config: Config) -> Config:
        """`config` with real ports, whose doors are ours. Raises `CannotListen`."""
        real = iter(self._doors.open(addresses(config), places(config)))  # in the order of `addresses`
        submission, inbound, tracking = config.submission, config.inbound, config.tracking
        submission = replace(
            submission,
            listen=tuple(islice(real, len(submission.listen))),
            listen_tls=tuple(islice(real, len(submission.listen_tls))),
        )
        inbound = replace(inbound, listen=tuple(islice(real, len(inbound.listen))))
        return replace(config, submission=submission, inbound=inbound, tracking=replace(tracking, listen=tuple(real)))


def unopened(error: OSError) -> str:
    """Why a log could not be opened, in words."""
    return f"cannot open the log {error.filename}: {error.strerror}"
