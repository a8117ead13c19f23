"""The runners: a Postfix instance and a Mailtrail, each with a spool of its own and a sink as its only next hop.

A runner is a context manager with a `port` to send to and `settled()`: is nothing left in its queue? Both sync every
message before its 250 and both write their logs, to files in the same file system.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from bench.load import LOOPBACK, Late, answers, free_port, listens, wait_until


class Peer(Protocol):
    """What takes part in the race."""

    name: str
    port: int

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def settled(self) -> bool: ...


@contextmanager
def stopped_on_failure(stop: Callable[[], None]) -> Iterator[None]:
    """What was started and then does not answer does not stay behind."""
    try:
        yield
    except BaseException:
        stop()
        raise


# Postfix as a fast relay: what is set low out of politeness is raised, the machine alone limits it; no DNS, no TLS.
# 20 deliveries at once is its default and was also its best here (5: -10%, 50: -10%, 100: -20%). It keeps its fsync of
# every queue file, its log, and connection caching on demand.
MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {directory}/queue
data_directory = {directory}/data
maillog_file = {directory}/mail.log
maillog_file_prefixes = {directory}
syslog_name = postfix-race
myhostname = postfix.race.test
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mydestination =
alias_maps =
alias_database =
local_transport = error:no local mail
relayhost = [127.0.0.1]:{sink}
disable_dns_lookups = yes
smtp_host_lookup = native
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = none
smtp_tls_security_level = none
local_header_rewrite_clients =
default_process_limit = 200
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
in_flow_delay = 0
qmgr_message_active_limit = 50000
qmgr_message_recipient_limit = 50000
initial_destination_concurrency = {concurrency}
smtp_destination_concurrency_limit = {concurrency}
smtp_connection_cache_on_demand = yes
"""

MASTER_CF = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """A Postfix instance that shares nothing with the system's: own configuration, queue, log and port. Wants root."""

    name = "Postfix"

    def __init__(self, directory: Path, sink_port: int, *, concurrency: int = 20, milter: int = 0) -> None:
        self.port = free_port()
        self._more = f"smtpd_milters = inet:{LOOPBACK}:{milter}\n" if milter else ""
        self._directory = directory
        self._config = directory / "config"
        self._values = {"directory": directory, "sink": sink_port, "port": self.port, "concurrency": concurrency}

    def __enter__(self) -> Self:
        self._config.mkdir(parents=True)
        (self._config / "main.cf").write_text(MAIN_CF.format_map(self._values) + self._more)
        (self._config / "master.cf").write_text(MASTER_CF.format_map(self._values))
        for name in ("queue", "data"):
            (self._directory / name).mkdir()
        shutil.chown(self._directory / "data", "postfix", "postfix")
        self._run("start")
        with stopped_on_failure(lambda: self._run("stop")):
            wait_until(lambda: answers(self.port), "Postfix does not answer", 20)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run("stop")

    def settled(self) -> bool:
        """No file is left in its queues."""
        queues = (self._directory / "queue" / name for name in ("maildrop", "incoming", "active", "deferred"))
        return not any(files for queue in queues for _, _, files in os.walk(queue))

    def _run(self, verb: str) -> None:
        subprocess.run(["postfix", "-c", self._config, verb], check=True, stdin=subprocess.DEVNULL, capture_output=True)


MAILTRAIL_TOML = """\
hostname = "mailtrail.race.test"
data_dir = "{directory}"
workers = {workers}

[database]
url = "{database}"

[submission]
listen = ["127.0.0.1:{port}"]

[delivery]
routes = {{ {routes} }}
{delivery}
{more}
"""


OPENDKIM_CONF = """\
Mode s
Domain bench.test
Selector race
KeyFile {key}
Canonicalization relaxed/relaxed
SignatureAlgorithm rsa-sha256
OversignHeaders From
InternalHosts 127.0.0.1
Socket inet:{port}@127.0.0.1
RequireSafeKeys no
Syslog no
Background no
"""


class OpenDkim:
    """The signing milter that Postfix is used with: `port` to name as its milter."""

    def __init__(self, directory: Path, key: Path) -> None:
        self.port = free_port()
        self._directory = directory
        self._key = key

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True)
        config = self._directory / "opendkim.conf"
        config.write_text(OPENDKIM_CONF.format(key=self._key, port=self.port))
        with (self._directory / "opendkim.log").open("ab") as log:
            command = ["opendkim", "-f", "-x", str(config)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        with stopped_on_failure(self._process.kill):
            wait_until(lambda: listens(self.port), "OpenDKIM does not listen", 20)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(20)


class Mailtrail:
    """`mailtrail serve` with shipping defaults: only addresses and `routes` (destination → port on loopback) are set,
    and what is given in `delivery` (TOML lines of that section) and `more` (other sections). A directory that has been
    used before keeps its queue.
    """

    name = "Mailtrail"

    def __init__(
        self,
        directory: Path,
        routes: Mapping[str, int],
        *,
        workers: int = 2,
        delivery: str = "",
        more: str = "",
        database: str = "sqlite:///mailtrail.db",
    ) -> None:
        self.port = free_port()
        self.database = directory / "data" / "mailtrail.db"
        self._log = directory / "mailtrail.log"
        self._config = directory / "config.toml"
        (directory / "data").mkdir(parents=True, exist_ok=True)
        self._config.write_text(
            MAILTRAIL_TOML.format(
                directory=directory / "data",
                workers=workers,
                port=self.port,
                routes=", ".join(f'"{destination}" = "{LOOPBACK}:{port}"' for destination, port in routes.items()),
                delivery=delivery,
                more=more,
                database=database,
            )
        )

    def __enter__(self) -> Self:
        self.start()
        with stopped_on_failure(self.stop):
            self.wait_until_it_answers()
        return self

    def wait_until_it_answers(self) -> None:
        """Until the submission port greets; a program that ends before that has its log in the error."""

        def ready() -> bool:
            if self.process.poll() is not None:
                raise Late(f"Mailtrail ended with {self.process.returncode}: {self._log.read_text()[-2000:]}")
            return answers(self.port)

        wait_until(ready, "Mailtrail does not answer", 60)

    def start(self) -> None:
        """Start the program; it is not ready yet."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "relay", "serve", "--config", self._config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        """SIGTERM, and wait until it has stopped cleanly."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def command(self, *arguments: str) -> str:
        """The output of another `mailtrail` command on the same configuration."""
        command = [sys.executable, "-m", "relay", *arguments, "--config", str(self._config)]
        return subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout

    def count(self, status: str) -> int:
        """How many deliveries have this status, as the public view has it."""
        return self.number("SELECT count(*) FROM email_status WHERE status = ?", status)

    def settled(self) -> bool:
        """No delivery waits."""
        return self.number("SELECT count(*) FROM queue_now") == 0

    def number(self, sql: str, *values: str) -> int:
        """The one number that this asks the database for."""
        database = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30)
        try:
            number: int = database.execute(sql, values).fetchone()[0]
            return number
        finally:
            database.close()

    def workers(self) -> list[int]:
        """Process ids of the workers: the supervisor's children."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(child) for child in children.split()]
