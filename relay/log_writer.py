"""How the log is written: a line in Postfix's shape, a record as JSON, and the files they go to.

    2026-11-21T09:14:03.402118+00:00 mx1 postfix-relay/smtp[812]: …
    {"ts": "2026-11-21T09:14:03.402118Z", "host": "mx1", "stage": "smtp", "event": "sent", "pid": 812, …}

What stands in them is `relay/log.py`'s affair. A line has no more than 2 kB. Nothing here raises or
waits (see `relay/sink.py`), except opening the files: `OSError`.
"""

import json
import os
import time
from collections.abc import Callable

from relay.config import Config
from relay.log_line import MAX_LINE, cut, escape, utc
from relay.sink import Sink


class LogWriter:
    """One log, as text, as JSON, or both: `_text` and `_json` have those that somebody reads."""

    def __init__(self, config: Config, clock: Callable[[], float], stream: int) -> None:
        settings = config.log
        self._clock = clock
        literal = config.hostname.startswith("[")
        self._host = config.hostname.strip("[]") if literal else config.hostname.partition(".")[0]
        self._name = settings.syslog_name
        self._pid = os.getpid()
        self._second = -1
        self._stamp = self._offset = ""
        self._tails: dict[str, str] = {}
        as_json = settings.format == "json"
        main = Sink(settings.file, self._lost_as_json if as_json else self._lost_as_text, stream=stream)
        self._text = None if as_json else main
        self._json = [main] if as_json else []
        if settings.json_file:
            self._json.append(Sink(settings.json_file, self._lost_as_json))

    def flush(self) -> None:
        """Write what is gathered now rather than at the end of the loop's turn."""
        for sink in self._sinks():
            sink.flush()

    def reopen(self) -> None:
        """SIGHUP: open the files anew under their names."""
        for sink in self._sinks():
            sink.reopen()

    def close(self) -> None:
        """Write what is gathered and let go."""
        for sink in self._sinks():
            sink.close()

    def _sinks(self) -> list[Sink]:
        return [self._text, *self._json] if self._text else self._json

    def _line(self, stage: str, text: str) -> None:
        if self._text:
            self._text.write(self._shaped(stage, text))

    def _shaped(self, stage: str, text: str) -> str:
        now = self._clock()
        second = int(now)
        if second != self._second:
            self._turn_to(second)
        tail = self._tails.get(stage) or self._tail(stage)
        line = f"{self._stamp}{int((now - second) * 1e6):06d}{tail}{text}\n"
        return line if len(line) * 4 <= MAX_LINE else cut(line)

    def _turn_to(self, second: int) -> None:
        there = time.localtime(second)
        offset = time.strftime("%z", there)
        if offset != self._offset:
            self._offset = offset
            self._tails.clear()
        self._second = second
        self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S.", there)

    def _tail(self, stage: str) -> str:
        zone = f"{self._offset[:3]}:{self._offset[3:]}"
        self._tails[stage] = f"{zone} {self._host} {self._name}/{stage}[{self._pid}]: "
        return self._tails[stage]

    def _record(self, stage: str, event: str, **keys: object) -> None:
        known = {key: value for key, value in keys.items() if value is not None}
        at = utc(self._clock(), "microseconds")
        line = json.dumps(
            {"ts": at, "host": self._host, "stage": stage, "event": event, "pid": self._pid, **known}, default=str
        )
        for sink in self._json:
            sink.write(line + "\n")

    def _lost_as_text(self, text: str) -> str:
        return self._shaped("relay", f"warning: {escape(text)}")

    def _lost_as_json(self, text: str) -> str:
        at = utc(self._clock(), "microseconds")
        return json.dumps({"ts": at, "host": self._host, "stage": "relay", "event": "warning", "text": text}) + "\n"
