"""The configuration: frozen sections with every default and unit.

Reading TOML, checking it and reporting all errors at once is `relay/config_file.py`;
here is only what there is to configure. Sizes are octets, times seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tracker.language import OwnTexts
from tracker.sender import Sender

MIB = 1024 * 1024
MINUTE = 60.0
HOUR = 3600.0
DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to listen or connect: `host` is an IP address (or, for routes, a name)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Submission:
    """How applications hand us mail."""

    listen: tuple[Endpoint, ...] = (Endpoint("0.0.0.0", 587),)
    listen_tls: tuple[Endpoint, ...] = ()
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    trusted_networks: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    max_message_size: int = 25 * MIB
    max_recipients: int = 1000
    max_header_size: int = 256 * 1024
    max_received: int = 50  # hops; RFC 5321 6.3 asks for at least 100 … of what we accept; Postfix has 50
    max_sessions: int = 1000  # all clients together, per worker
    max_sessions_per_client: int = 100  # per worker
    max_errors: int = 20  # commands in error before 421
    command_timeout: float = 5 * MINUTE
    data_timeout: float = 5 * MINUTE  # without a byte
    min_data_rate: int = 500  # octets per second, over the whole DATA
    memory: int = 256 * MIB  # contents being received at once, per worker; above it 452
    hide_client_address: bool = False  # leave the client's address out of Received


@dataclass(frozen=True, slots=True)
class Inbound:
    """What comes back: bounces, complaints and requests to unsubscribe, at addresses of `bounce_domain` alone."""

    listen: tuple[Endpoint, ...] = ()
    bounce_domain: str = ""  # the reverse-path of what we send: TOKEN@bounce_domain; empty: as the application gave it
    forward_to: str = ""  # where ordinary mail to these addresses goes; empty: it is dropped
    max_message_size: int = 30 * MIB  # a bounce may bring back the whole message
    max_recipients: int = 100  # RFC 5321 4.5.3.1.8: no fewer
    max_sessions: int = 200  # all clients together, per worker
    max_sessions_per_client: int = 20  # per worker
    max_errors: int = 10  # commands in error before 421
    command_timeout: float = 5 * MINUTE
    data_timeout: float = 5 * MINUTE  # without a byte
    min_data_rate: int = 500  # octets per second, over the whole DATA
    memory: int = 64 * MIB  # contents being received at once, per worker; above it 452


@dataclass(frozen=True, slots=True)
class SuppressionSection:
    """What puts an address on the list of those that are not mailed, and how the list is asked."""

    consecutive_soft_bounces: int = 3  # then the address is marked as spam and suppressed; 0: never
    inactive: Literal["suppress", "soft"] = "suppress"  # a mailbox that exists and is disabled or unused
    hard_bounce_expiry: float = 0.0  # how long an entry of each cause lasts; 0: until somebody removes it
    soft_bounces_expiry: float = 30 * DAY
    complaint_expiry: float = 0.0
    rules: Path | None = None  # the operator's own rules for replies; they come before ours
    plus_labels: bool = True  # ada+news@ is another address than ada@
    refuse_at_rcpt: bool = False  # tell the application at RCPT; False: accept, and record as rejected


@dataclass(frozen=True, slots=True)
class Dns:
    """Who answers our DNS questions; empty: the system's resolvers."""

    nameservers: tuple[Endpoint, ...] = ()
    timeout: float = 10.0  # for one question, over all servers
    max_ttl: float = HOUR
    failure_ttl: float = 30.0  # how long a SERVFAIL or a time-out is remembered


@dataclass(frozen=True, slots=True)
class Route:
    """A next hop set by the operator: no MX look-up, and its address is taken at its word."""

    host: str
    port: int
    tls: str = "opportunistic"  # "none", "opportunistic", "require" (verified), "implicit" (verified)
    user: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """RFC 5321 4.5.3.2: the least a client waits at each step."""

    connect: float = 30.0
    greeting: float = 5 * MINUTE
    ehlo: float = 5 * MINUTE
    tls: float = 1 * MINUTE
    mail: float = 5 * MINUTE
    rcpt: float = 5 * MINUTE
    data: float = 2 * MINUTE
    block: float = 3 * MINUTE
    final_dot: float = 10 * MINUTE
    quit: float = 5.0


@dataclass(frozen=True, slots=True)
class DeliverySection:
    """How mail goes out."""

    port: int = 25
    allow_private_destinations: bool = False
    routes: Mapping[str, Route] = field(default_factory=dict)  # destination, or "*" → next hop
    ipv6: bool = True
    lifetime: float = 5 * DAY
    retry: tuple[float, ...] = (MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR)
    delay_warning: float = 4 * HOUR  # 0: never
    lease: float = 30.0  # a claim that nobody renews comes due after this
    connections_per_destination: int = 20  # over all workers
    messages_per_connection: int = 1000
    idle: float = 5.0  # how long a connection waits for another message
    max_in_hand: int = 10_000  # deliveries claimed by one worker
    timeouts: Timeouts = Timeouts()


@dataclass(frozen=True, slots=True)
class DkimKey:
    """A key that signs what comes from `domain`; the keys of `mailtrail domain add` are in the database instead."""

    domain: str
    selector: str
    key_file: Path  # PEM, RSA or Ed25519


@dataclass(frozen=True, slots=True)
class Tracking:
    """Opens, clicks and unsubscribing: what copies are given, and where visits come in."""

    listen: tuple[Endpoint, ...] = ()
    base_url: str = ""  # without a slash at its end; empty: nothing is tracked
    tls_certificate: Path | None = None  # None: plain HTTP, for a proxy in front
    tls_key: Path | None = None
    trusted_proxies: tuple[str, ...] = ()  # networks whose X-Forwarded-For is believed
    opens: bool = True
    clicks: bool = True
    plain_text: str = "add_html"  # "add_html": text-only mail gets an HTML twin with a pixel; "leave"
    visible_urls: bool = False  # rewrite links whose text is itself a URL
    hidden_link: bool = False  # a link no person sees: who follows it is a machine
    client_address: Literal["whole", "shortened", "none"] = "whole"  # of a visitor; shortened: its /24 or /48
    respect_do_not_track: bool = False
    contact: str = ""  # for abuse and privacy, shown on the web; empty: postmaster at bounce_domain or hostname
    senders: Mapping[str, Sender] = field(default_factory=dict)  # From domain → who people know it by
    streams: Mapping[str, str] = field(default_factory=dict)  # tag → what it is, in a sentence
    texts: OwnTexts | None = None  # the operator's own words on the pages; None: ours

    @property
    def on(self) -> bool:
        """Can anything be tracked at all? Without an address links would lead nowhere."""
        return bool(self.base_url)


@dataclass(frozen=True, slots=True)
class Retention:
    """How long each kind of data is kept, counted from the day it was decided."""

    content: float = 0.0  # after the last delivery is decided; 0: at once
    dropped: float = 7 * DAY  # content that the suppression list has stopped: its entry may have been a mistake
    rows: float = 90 * DAY
    transcripts: float = 30 * DAY
    refused: float = 30 * DAY
    statistics: float = 3 * 365 * DAY


@dataclass(frozen=True, slots=True)
class LogSection:
    """Log lines."""

    format: str = "text"  # "text" (Postfix's shape) or "json"
    syslog_name: str = "postfix-relay"
    file: Path | None = None  # None: standard output
    json_file: Path | None = None  # a second sink with JSON lines
    privacy: str = "full"  # "full", "domain" or "hash": how addresses are shown


@dataclass(frozen=True, slots=True)
class Config:
    """Everything."""

    hostname: str
    data_dir: Path = Path("/var/lib/mailtrail")
    workers: int = 0  # 0: one per core
    grace: float = 30.0  # how long SIGTERM waits for what is in hand
    sandbox: bool = False
    database_url: str = "sqlite:///mailtrail.db"
    submission: Submission = Submission()
    inbound: Inbound = Inbound()
    dns: Dns = Dns()
    delivery: DeliverySection = DeliverySection()
    dkim: tuple[DkimKey, ...] = ()
    tracking: Tracking = Tracking()
    suppression: SuppressionSection = SuppressionSection()
    retention: Retention = Retention()
    log: LogSection = LogSection()

    @property
    def database_path(self) -> Path:
        """Where the SQLite database is: `database.url`, relative to `data_dir`."""
        return self.data_dir / self.database_url.removeprefix("sqlite:///")
