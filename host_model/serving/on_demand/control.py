"""The control socket of a server's devices: a line of JSON, an array of words, is answered by a line of JSON, and the connection ends.

The answer is ``{"lines": […]}``, or ``{"error": "why", "status": N}`` with the exit status of the command that asked.
"""

from __future__ import annotations

import json
import selectors
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, final

from pvinfo.errors import GvtError, SetupError, UsageError

from ...clock import HostClock
from ...vfio.user.listener import Listener

__all__ = ("CONTROL", "Control", "Refusal", "ask")

CONTROL: Final = "control"
"""Name of the socket in the folder."""
_LONGEST_REQUEST: Final = 4096
_MOST_ASKING: Final = 8
"""How many may be in the middle of asking: who has been silent longest goes."""
_PATIENCE_S: Final = 30.0


class Refusal(GvtError):
    """What a server refused; ``status`` is what the command that asked ends with."""

    def __init__(self, why: str, status: int) -> None:
        self.status = status
        super().__init__(why)


@final
class Control:
    """The server's end: ``answer`` is asked between turns of the loop, so that it may end whatever is served there.

    Raises: SetupError when there can be no socket at ``path``.
    """

    def __init__(self, path: Path, selector: selectors.BaseSelector, clock: HostClock, answer: Callable[[Sequence[str]], list[str]]) -> None:
        self._listener = Listener(path)
        self._selector = selector
        self._clock = clock
        self._answer = answer
        self._asking: dict[socket.socket, bytes] = {}
        selector.register(self._listener.socket, selectors.EVENT_READ, self._accept)

    def _accept(self, events: int) -> None:
        try:
            client, _ = self._listener.socket.accept()
        except OSError:
            # Whoever it was asks again; what is served goes on.
            return
        if len(self._asking) >= _MOST_ASKING:
            self._hang_up(next(iter(self._asking)))
        client.setblocking(False)
        self._asking[client] = b""
        self._selector.register(client, selectors.EVENT_READ, lambda events: self._read(client))

    def _read(self, client: socket.socket) -> None:
        if client not in self._asking:
            return
        try:
            data = client.recv(_LONGEST_REQUEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        said = self._asking[client] + data
        if b"\n" in data:
            self._selector.unregister(client)
            del self._asking[client]
            self._clock.call_after(0, lambda: self._reply(client, said.partition(b"\n")[0]))
        elif not data or len(said) > _LONGEST_REQUEST:
            self._hang_up(client)
        else:
            self._asking[client] = said

    def _hang_up(self, client: socket.socket) -> None:
        self._selector.unregister(client)
        del self._asking[client]
        client.close()

    def _reply(self, client: socket.socket, request: bytes) -> None:
        with client:
            answer = json.dumps(self._answer_to(request)).encode() + b"\n"
            try:
                client.sendall(answer)
            except OSError:
                # Who does not wait for the answer does not get it. What was asked is done.
                pass

    def _answer_to(self, request: bytes) -> dict[str, object]:
        try:
            words: object = json.loads(request)
            if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
                raise UsageError("a request is a JSON array of words")
            return {"lines": self._answer(words)}
        except ValueError as error:
            # Among them UsageError.
            return {"error": str(error), "status": 2}
        except SetupError as error:
            return {"error": str(error), "status": 2}
        except GvtError as error:
            return {"error": str(error), "status": 1}

    def close(self) -> None:
        """Answer nobody any more, and remove the socket."""
        for client in list(self._asking):
            self._hang_up(client)
        self._selector.unregister(self._listener.socket)
        self._listener.close()


def ask(folder: Path, words: Sequence[str]) -> list[str]:
    """Ask the server whose folder this is; the lines of its answer. Raises: Refusal; SetupError when no server answers."""
    path = folder / CONTROL
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
            server.settimeout(_PATIENCE_S)
            server.connect(str(path))
            server.sendall(json.dumps(list(words)).encode() + b"\n")
            with server.makefile("rb") as replies:
                line = replies.readline()
        answer: object = json.loads(line)
    except (OSError, ValueError) as error:
        raise SetupError(f"no server answers at {path} (host-model serve --mdev {folder}): {error}") from None
    if not isinstance(answer, dict):
        raise SetupError(f"what answers at {path} is no server of ours: {answer!r}")
    if "error" in answer:
        raise Refusal(str(answer["error"]), 2 if answer.get("status") == 2 else 1)
    return [str(line) for line in answer.get("lines", [])]
