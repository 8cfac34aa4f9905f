"""What the machine around us runs out of: the system's errors as :class:`~.errors.ResourceExhausted`, with what is left and who has the rest."""

from __future__ import annotations

import errno
import os
import resource
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from .errors import ResourceExhausted
from .units import MIB

__all__ = ("naming_what_ran_out", "what_ran_out")

_MOST_COUNTED: Final = 1 << 14
"""Descriptors that are looked at: who has more of them knows what for."""


def _descriptors() -> ResourceExhausted:
    """Of this process: what each of them is, as far as the system tells."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: Counter[str] = Counter()
    # Asked one by one: a list of them would take a descriptor.
    for number in range(_MOST_COUNTED):
        with suppress(OSError):
            held[_kind(os.readlink(f"/proc/self/fd/{number}"))] += 1
    return ResourceExhausted("file descriptors of this process", 1, 0, "descriptors", f"of {limit}, ulimit -n", held)


def _kind(target: str) -> str:
    for start, kind in (("socket:", "sockets"), ("/memfd:", "memory of guests"), ("anon_inode:[eventfd", "event descriptors"), ("pipe:", "pipes")):
        if target.startswith(start):
            return kind
    return "other files"


def _machine_descriptors() -> ResourceExhausted:
    taken, _, most = map(int, Path("/proc/sys/fs/file-nr").read_text().split())
    return ResourceExhausted("file descriptors of this machine", 1, max(most - taken, 0), "descriptors", f"of {most}, fs.file-max", {"all processes": taken})


def _memory(size: int) -> ResourceExhausted:
    page = os.sysconf("SC_PAGE_SIZE")
    left = os.sysconf("SC_AVPHYS_PAGES") * page // MIB
    whole = os.sysconf("SC_PHYS_PAGES") * page // MIB
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    own = int(Path("/proc/self/statm").read_text().split()[0]) * page // MIB
    bounded = limit != resource.RLIM_INFINITY
    if bounded:
        left = min(left, max(limit // MIB - own, 0))
    hint = f"of {whole}; this process may address {limit // MIB}" if bounded else f"of {whole}"
    return ResourceExhausted("memory of this machine", -(-size // MIB), left, "MiB", hint, {"the address space of this process": own})


def what_ran_out(error: BaseException, size: int = 0) -> ResourceExhausted | None:
    """What of the machine ran out, by the system's ``error``; None where it is about something else. ``size``: bytes that were asked for."""
    number = error.errno if isinstance(error, OSError) else errno.ENOMEM if isinstance(error, MemoryError) else None
    if number == errno.EMFILE:
        return _descriptors()
    if number == errno.ENFILE:
        return _machine_descriptors()
    if number in (errno.ENOMEM, errno.ENOBUFS):
        return _memory(size)
    return None


@contextmanager
def naming_what_ran_out(size: int = 0) -> Iterator[None]:
    """Let ResourceExhausted come out where the system says that something of the machine ran out. ``size``: bytes that are asked for."""
    try:
        yield
    except (OSError, MemoryError) as error:
        exhausted = what_ran_out(error, size)
        if exhausted is None:
            raise
        raise exhausted from None
