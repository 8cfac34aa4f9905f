"""The requests of one engine that wait for their turn: by priority, then in the order in which they came."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from .request import Request

__all__ = ("RequestQueue",)


@final
class RequestQueue:
    """Requests that are ready and not handed over."""

    def __init__(self) -> None:
        self._lists: dict[int, deque[Request]] = {}

    def __iter__(self) -> Iterator[Request]:
        for priority in sorted(self._lists, reverse=True):
            yield from self._lists[priority]

    def __bool__(self) -> bool:
        return bool(self._lists)

    @property
    def top(self) -> int | None:
        """The highest priority that waits; None in an empty queue."""
        return max(self._lists, default=None)

    def first(self) -> Request | None:
        """Whose turn it is."""
        return self._lists[max(self._lists)][0] if self._lists else None

    def append(self, request: Request) -> None:
        """Put ``request`` behind those of its priority."""
        self._lists.setdefault(request.priority, deque()).append(request)
        request.queued = True

    def push(self, request: Request) -> None:
        """Put ``request`` before those of its priority."""
        self._lists.setdefault(request.priority, deque()).appendleft(request)
        request.queued = True

    def remove(self, request: Request) -> None:
        """Take ``request`` out."""
        waiting = self._lists[request.priority]
        waiting.remove(request)
        request.queued = False
        if not waiting:
            del self._lists[request.priority]

    def defer(self, request: Request) -> None:
        """Put ``request``, and what must come after it, behind all others of its priority (``defer_request``)."""
        moved, contexts = {request}, {request.context}
        behind: list[Request] = []
        for other in self._lists[request.priority]:
            if other.context in contexts or not moved.isdisjoint(other.after):
                moved.add(other)
                contexts.add(other.context)
                behind.append(other)
        for other in behind:
            self.remove(other)
        for other in behind:
            self.append(other)
