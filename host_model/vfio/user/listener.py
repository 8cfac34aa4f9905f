"""A Unix socket that listens at a path, and takes the path away with it."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Final, final

from pvinfo.errors import SetupError
from pvinfo.system_limits import naming_what_ran_out

__all__ = ("LONGEST_SOCKET_PATH", "Listener")

LONGEST_SOCKET_PATH: Final = 107
"""Bytes of a Unix socket's path, its closing NUL apart. Source: linux:include/uapi/linux/un.h"""
_BACKLOG: Final = 1024
"""Connections that the system holds until they are accepted: a burst of clients is not turned away."""


@final
class Listener:
    """A socket that listens at ``path``. One that an ended server left behind is replaced.

    Raises: SetupError saying what stands against it; ResourceExhausted when there is no file descriptor left.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        length = len(os.fsencode(path))
        if length > LONGEST_SOCKET_PATH:
            raise SetupError(f"socket path {path} has {length} bytes: the system takes {LONGEST_SOCKET_PATH} at most; use a shorter folder")
        with naming_what_ran_out():
            _remove_stale(path)
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.socket.bind(os.fspath(path))
            self.socket.listen(_BACKLOG)
            self.socket.setblocking(False)
            status = path.stat()
        except OSError as error:
            self.socket.close()
            raise SetupError(f"no socket can be made at {path}: {error.strerror}") from None
        self._identity = (status.st_dev, status.st_ino)

    @property
    def is_open(self) -> bool:
        """It has not been closed."""
        return self.socket.fileno() >= 0

    def close(self) -> None:
        """Listen no more, and remove the socket, unless the path is somebody else's by now."""
        self.socket.close()
        try:
            status = self.path.lstat()
            if (status.st_dev, status.st_ino) == self._identity:
                self.path.unlink()
        except FileNotFoundError:
            pass


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens to any more. Raises: SetupError when the path is in use."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise SetupError(f"no socket can be made at {path}: {error.strerror}") from None
    if not stat.S_ISSOCK(mode):
        raise SetupError(f"no socket can be made at {path}: there is something that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            pass
        except OSError as error:
            raise SetupError(f"the socket at {path} is there already, and cannot be tried: {error.strerror}") from None
        else:
            raise SetupError(f"the socket at {path} is in use: another server listens there")
    try:
        path.unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise SetupError(f"the stale socket at {path} cannot be removed: {error.strerror}") from None
