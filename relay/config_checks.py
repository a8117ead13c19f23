"""What no single value of the configuration can tell: whether the values fit each other, and the machine.

Reads the files that are named (certificate, key, rules); changes nothing. Problems forbid a start,
warnings do not. Both go to functions that take the key and a sentence.
"""

import ssl
from collections.abc import Callable
from pathlib import Path

from relay.config import Config, Submission, Tracking
from suppression import replies

Report = Callable[[str, str], None]

_ANY = ("0.0.0.0", "::")  # every address of the machine
_LONGEST_HEADER = 256 * 1024  # octets; no part of the relay reads further


def check(config: Config, problem: Report, warning: Report) -> None:
    """Report all that does not fit."""
    _check_name(config.hostname, warning)
    _check_listeners(config.submission, problem, warning)
    _check_tls("submission", config.submission, problem)
    _check_tls("tracking", config.tracking, problem)
    _check_tracking(config, problem, warning)
    _check_inbound(config, problem, warning)
    _check_routes(config, warning)
    _check_rules(config.suppression.rules, problem)
    _check_sizes(config.submission, problem)
    if config.delivery.lifetime < config.delivery.retry[0]:
        warning("delivery.lifetime", "is shorter than the first wait of delivery.retry: nothing is tried twice")
    if config.data_dir.exists() and not config.data_dir.is_dir():
        problem("data_dir", f"{config.data_dir} is no directory")
    for key, file in (("log.file", config.log.file), ("log.json_file", config.log.json_file)):
        if file is not None and not file.parent.is_dir():
            problem(key, f"the directory {file.parent} does not exist. Make it, or name another file")


def _check_name(hostname: str, warning: Report) -> None:
    # RFC 5321 2.3.5: only fully qualified names are spoken; many servers refuse others.
    if "." not in hostname:
        warning(
            "hostname", f'"{hostname}" is no full name; many servers refuse it. Write one like "mx1.yourdomain.org"'
        )
    elif hostname.endswith((".example.com", ".example.net", ".example.org")):
        warning("hostname", f'"{hostname}" is an example. Write the name that this machine\'s address resolves to')


def _check_listeners(submission: Submission, problem: Report, warning: Report) -> None:
    if not submission.listen and not submission.listen_tls:
        warning("submission.listen", "is empty, and listen_tls too: no application can hand over mail")
    for endpoint in submission.listen_tls:
        if endpoint.port and endpoint in submission.listen:
            problem(
                "submission.listen_tls", f"{endpoint} is in submission.listen too. A port has TLS from the start or not"
            )


def _check_tracking(config: Config, problem: Report, warning: Report) -> None:
    tracking, submission = config.tracking, config.submission
    for endpoint in tracking.listen:
        if endpoint.port and endpoint in (*submission.listen, *submission.listen_tls):
            problem("tracking.listen", f"{endpoint} takes mail already ([submission]). The web needs a port of its own")
    if tracking.listen and not tracking.base_url:
        warning("tracking.base_url", 'is not set: nothing is tracked. Write it like "https://t.example.com"')
    if tracking.base_url and not tracking.listen and config.database_url.startswith("sqlite:"):
        warning("tracking.listen", "is empty: no other program answers what tracking.base_url leads to")
    if tracking.base_url.startswith("http://") and not config.sandbox:
        # RFC 8058 3.1: the URI of a one-click unsubscribe is an https one.
        warning("tracking.base_url", "is not https: mail programs then show no unsubscribe button, and warn of links")


def _check_inbound(config: Config, problem: Report, warning: Report) -> None:
    inbound = config.inbound
    taken = {
        endpoint: section
        for section, endpoints in (
            ("submission", config.submission.listen + config.submission.listen_tls),
            ("tracking", config.tracking.listen),
        )
        for endpoint in endpoints
    }
    for endpoint in inbound.listen:
        if endpoint.port and endpoint in taken:
            problem("inbound.listen", f"{endpoint} is in [{taken[endpoint]}] too. What comes back needs its own port")
    if inbound.listen and not inbound.bounce_domain:
        warning("inbound.bounce_domain", "is empty: no mail is taken. Write a domain that leads here, for this alone")
    if inbound.bounce_domain and not inbound.listen:
        warning("inbound.listen", "is empty: nobody here takes the bounces that go to inbound.bounce_domain")
    if inbound.bounce_domain and inbound.forward_to.lower().endswith(f"@{inbound.bounce_domain}"):
        problem("inbound.forward_to", "is in bounce_domain itself: mail would go in circles. Name another address")
    senders = {*(key.domain for key in config.dkim), *config.tracking.senders}
    if inbound.bounce_domain in senders or f".{config.hostname}".endswith(f".{inbound.bounce_domain or '?'}"):
        warning(
            "inbound.bounce_domain",
            f'is "{inbound.bounce_domain}", and all mail to it comes here. If people have addresses there, take a name '
            f'for this alone, like "bounce.{inbound.bounce_domain}"',
        )


def _check_routes(config: Config, warning: Report) -> None:
    """A route back to this relay sends mail in circles, until it has too many Received fields."""
    ours = (*config.submission.listen, *config.submission.listen_tls, *config.inbound.listen)
    for destination, route in config.delivery.routes.items():
        for end in ours:
            near = route.host in ("localhost", config.hostname, "127.0.0.1", "::1") and end.host in _ANY
            if end.port and route.port == end.port and (route.host == end.host or near):
                warning(f'delivery.routes."{destination}"', f"leads to {end}, where this relay listens itself")


def _check_rules(rules: Path | None, problem: Report) -> None:
    if rules is not None:
        try:
            replies.check(rules)
        except replies.BadRules as error:
            problem("suppression.rules", str(error))


def _check_tls(section: str, settings: Submission | Tracking, problem: Report) -> None:
    certificate, key = settings.tls_certificate, settings.tls_key
    if isinstance(settings, Submission) and settings.listen_tls and certificate is None:
        problem("submission.listen_tls", "needs submission.tls_certificate and submission.tls_key")
    if certificate is None and key is None:
        return
    if certificate is None or key is None:
        present, missing = ("tls_key", "tls_certificate") if certificate is None else ("tls_certificate", "tls_key")
        problem(f"{section}.{present}", f"needs {section}.{missing} beside it")
        return
    readable = [
        _check_readable(f"{section}.{name}", file, problem)
        for name, file in (("tls_certificate", certificate), ("tls_key", key))
    ]
    if all(readable):
        _check_pair(section, certificate, key, problem)


def _check_readable(key: str, file: Path, problem: Report) -> bool:
    try:
        with file.open("rb"):
            return True
    except OSError as error:
        problem(key, f"{file} cannot be read: {error.strerror}")
        return False


def _check_pair(section: str, certificate: Path, key: Path, problem: Report) -> None:
    try:
        # The password is given so that OpenSSL does not ask the terminal for one.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            problem(f"{section}.tls_key", f"{key} does not belong to the certificate {certificate}")
        else:
            problem(
                f"{section}.tls_certificate",
                f"{certificate} and {key} are no certificate and key (PEM, without password) ({error.reason or error})",
            )


def _check_sizes(submission: Submission, problem: Report) -> None:
    if submission.max_header_size > _LONGEST_HEADER:
        problem("submission.max_header_size", "may be 256KiB at most: longer headers are read by no part of the relay")
    if submission.max_header_size > submission.max_message_size:
        problem("submission.max_message_size", "is smaller than submission.max_header_size. Lower that one too")
