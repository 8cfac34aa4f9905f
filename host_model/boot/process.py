"""A QEMU process that never outlives its guest's run."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import Final, final

from pvinfo.errors import SetupError

__all__ = ("QemuProcess",)


@final
class QemuProcess:
    """A started QEMU in a session of its own; leaving the context kills all that it started.

    ``messages_fd`` is the write end of a pipe for what it says on its standard output and error;
    it is the caller's to close.

    Raises:
        SetupError: the program cannot be started.
    """

    def __init__(self, command: Sequence[str], messages_fd: int) -> None:
        try:
            self._process: Final = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=messages_fd,
                stderr=messages_fd,
                start_new_session=True,
            )
        except OSError as error:
            raise SetupError(f"{command[0]} cannot be started: {error.strerror}") from error

    def status(self) -> int | None:
        """The exit status, negative for a signal; None while it runs.

        Only looked at, and not by ``Popen.poll``: an interrupt in the midst of that leaves a lock behind, for which ``wait`` waits.
        """
        if self._process.returncode is not None:
            return self._process.returncode
        ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def kill(self) -> None:
        """Ends QEMU and everything in its session, and waits until QEMU is gone.

        The group is killed even when QEMU has ended by itself: what it started may not have.
        """
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> QemuProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
