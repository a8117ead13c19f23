"""`queue shape`: Postfix's qshape, to the character."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.cli.shape import Shape
from tests.cli.conftest import Cli

QSHAPE = shutil.which("qshape", path="/usr/sbin:/usr/bin")

# Domain and minutes of age: every bucket, its edges, a long name, totals of one to four digits.
QUEUE = [
    *(
        ("gmail.com", minutes)
        for minutes in (0.5, 4.5, 5.5, 9, 11, 19, 21, 39, 41, 79, 81, 161, 321, 641, 1279, 1281, 9000)
    ),
    *[("example.org", 30.0)] * 120,
    *[("busy.example.net", 2.0)] * 1100,
    ("a-very-long-name-that-no-column-of-this-table-could-ever-hold." + "x" * 40 + ".example", 100.0),
]


@pytest.mark.skipif(QSHAPE is None, reason="Postfix is not installed")
@pytest.mark.parametrize("options", [[], ["-b", "6", "-t", "10"], ["-b", "1"]])
def test_the_table_is_what_the_real_qshape_prints(options: list[str], tmp_path: Path) -> None:
    """The same queue, as Postfix queue files for qshape and as ages for us: the same characters."""
    now = int(time.time())
    for number, (domain, minutes) in enumerate(QUEUE):
        _queue_file(tmp_path / f"ABCDEF{number:06d}", now - int(minutes * 60), f"u{number}@{domain}")
    real = subprocess.run([str(QSHAPE), *options, str(tmp_path)], capture_output=True, text=True, check=True).stdout
    chosen = dict(zip(options[::2], map(int, options[1::2]), strict=True))
    ours = Shape(chosen.get("-b", 10), chosen.get("-t", 5))
    for domain, minutes in QUEUE:
        ours.add(domain, int(minutes * 60))
    # Domains with equal totals and lengths stand in no order in qshape; here no two have them.
    assert "\n".join(ours.lines()) + "\n" == real


def _queue_file(path: Path, at: int, recipient: str) -> None:
    """The records that qshape reads: size, time, sender, recipient, message, extracted, end."""
    records = (
        ("C", f"{0:15d} {0:15d}"),
        ("T", str(at)),
        ("S", "a@sender.test"),
        ("R", recipient),
        ("M", ""),
        ("X", ""),
        ("E", ""),
    )
    path.write_bytes(b"".join(kind.encode() + _length(text) + text.encode() for kind, text in records))
    path.chmod(0o700)


def _length(text: str) -> bytes:
    number, encoded = len(text), b""
    while number > 127:
        encoded += bytes([number & 127 | 128])
        number >>= 7
    return encoded + bytes([number])


@given(st.lists(st.tuples(st.sampled_from(["a.test", "b.example", "c"]), st.floats(-5, 1e7)), max_size=50))
def test_the_buckets_add_up(queue: list[tuple[str, float]]) -> None:
    """Every delivery is in exactly one bucket of its domain and of the total, whatever its age."""
    shape = Shape()
    for domain, age in queue:
        shape.add(domain, age)
    assert sum(counts[0] for _, counts in shape.rows()) == len(queue)
    assert all(counts[0] == sum(counts[1:]) for _, counts in shape.rows())


def test_the_queue_is_counted_by_recipient_or_by_sender(cli: Cli) -> None:
    """The table, the same by sender, and the same as JSON."""
    out = cli("queue", "shape").out.splitlines()
    assert out[0].split() == ["T", "5", "10", "20", "40", "80", "160", "320", "640", "1280", "1280+"]
    assert all(len(line) == 80 for line in out)
    assert out[1].split()[:2] == ["TOTAL", "4"]
    assert "sender.test" in cli("queue", "shape", "-s").out
    body = json.loads(cli("queue", "shape", "status:held", "--json").out)
    assert body["items"] == [{"domain": "example.net", "T": 1, "1280+": 1} | dict.fromkeys(out[0].split()[1:-1], 0)]
