"""Tell systemd how we are: sd_notify(3) in a few lines, without its library.

Does nothing where nobody asked to be told (`$NOTIFY_SOCKET`), and never raises: a relay
that cannot report is still a relay.
"""

import math
import os
import socket
import time


def notify(*assignments: str) -> None:
    """Send `READY=1`, `STATUS=…`, `STOPPING=1`, … in one message."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):  # the abstract namespace
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door:
            door.connect(address)
            door.send("\n".join(assignments).encode())
    except OSError:
        return


def reloading() -> None:
    """The configuration is being read again; `notify("READY=1")` ends it."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def stopping(seconds: float) -> None:
    """We are going, and may take so many seconds about it."""
    notify("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}", "STATUS=finishing what is in hand")


def watchdog() -> float:
    """The seconds within which systemd wants to hear `WATCHDOG=1` (WatchdogSec=); infinity where it does not."""
    asked = os.environ.get("WATCHDOG_USEC", "")
    ours = os.environ.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
    return int(asked) / 1_000_000 if ours and asked.isdecimal() and int(asked) else math.inf
