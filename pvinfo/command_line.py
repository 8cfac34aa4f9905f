"""What the three commands have in common: how they end, and how they write files."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Final

from .errors import GvtError, SetupError, UsageError

__all__ = ("end_with_status", "write_whole")

_INTERRUPTED: Final = 128 + signal.SIGINT
_READER_GONE: Final = 128 + signal.SIGPIPE


def end_with_status(program: str, body: Callable[[], int]) -> int:
    """Run ``body`` and return the command's exit status.

    An error of ours becomes one line on standard error: status 2 for what the user asked or has not set up, 1 for
    everything else. SIGTERM and SIGHUP unwind the run as Ctrl-C does, so that nothing is left behind.
    """
    try:
        with _signals_unwind():
            status = body()
            sys.stdout.flush()
            return status
    except (UsageError, SetupError) as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return 2
    except GvtError as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read our output has seen enough; keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _READER_GONE
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return _INTERRUPTED


@contextlib.contextmanager
def _signals_unwind() -> Iterator[None]:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file at once or not at all. Raises: SetupError naming the file and why it cannot be written."""
    data = content.encode() if isinstance(content, str) else content
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with open(handle, "wb") as file:
                file.write(data)
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror}") from error


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
