"""File systems in files: an ext4 of our own that can be filled up, made unwritable, and copied at an instant.

Wants root and loop devices. `why_not()` says in words what this machine lacks: tests skip with it.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

MIB = 1024 * 1024


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise OSError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")


def why_not() -> str | None:
    """What keeps this machine from mounting an image; None if nothing does."""
    if os.geteuid() != 0:
        return "mounting a file system wants root"
    for program in ("mkfs.ext4", "mount", "umount", "fsfreeze", "chattr"):
        if not shutil.which(program):
            return f"{program} is not installed"
    with tempfile.TemporaryDirectory() as place:
        try:
            with ext4(Path(place) / "image", Path(place) / "mount", size=8 * MIB):
                return None
        except OSError as refused:
            return f"this machine mounts no image: {refused}"


@contextlib.contextmanager
def ext4(image: Path, place: Path, *, size: int) -> Iterator[Path]:
    """A new ext4 of `size` octets in the file `image`, mounted at `place`."""
    with image.open("wb") as file:
        file.truncate(size)
    _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
    with mounted(image, place):
        yield place


@contextlib.contextmanager
def mounted(image: Path, place: Path) -> Iterator[Path]:
    """Mount what is in `image`; one that was not left cleanly replays its journal here, as after a power cut."""
    place.mkdir(exist_ok=True)
    _run("mount", "-o", "loop", image, place)
    try:
        yield place
    finally:
        _run("umount", place)


@contextlib.contextmanager
def frozen(place: Path) -> Iterator[None]:
    """Nothing is written to the file system at `place` meanwhile; writers hang until the end."""
    _run("fsfreeze", "--freeze", place)
    try:
        yield
    finally:
        _run("fsfreeze", "--unfreeze", place)


@contextlib.contextmanager
def full(place: Path) -> Iterator[None]:
    """Not one free block is left at `place` meanwhile."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for step in (MIB, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(step)) == step:
                    pass
        with contextlib.suppress(OSError):
            os.fsync(file.fileno())
    try:
        yield
    finally:
        ballast.unlink()


@contextlib.contextmanager
def unwritable(*files: Path) -> Iterator[None]:
    """Nobody, not even root or who has them open, writes these files meanwhile (the immutable attribute)."""
    _run("chattr", "+i", *files)
    try:
        yield
    finally:
        _run("chattr", "-i", *files)
