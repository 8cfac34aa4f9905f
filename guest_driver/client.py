"""Clients: whoever has the driver's device node open. Each has an address space, contexts, and memory of its own.

Source: linux:drivers/gpu/drm/i915/gem/i915_gem_context.c, linux:drivers/gpu/drm/i915/gem/i915_gem_execbuffer.c
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple, final

from pvinfo.errors import RequestFailed, StateError, UsageError
from pvinfo.gtt_entry import PPGTT_LEVELS
from pvinfo.platform import Engine
from pvinfo.units import PAGE_SIZE

from .batch import Batch
from .buffer import BufferObject, make_buffer, surface_shape
from .context import BANNED, CLIENT_RING, Context
from .request import Priority, Request
from .state import DriverState
from .tiling import Tiling

if TYPE_CHECKING:
    from .device import Device
    from .streamer import Streamer

__all__ = ("Client", "Submittable")

_CLOSE_TIMEOUT_NS: Final = 10_000_000
"""What a client that closes waits for its contexts to be switched away from, before that is left to be."""

Submittable = Batch | BufferObject | Sequence[int] | bytes
"""What can be submitted: a batch, a buffer that holds one, or the bare dwords."""


class _BatchMemory(NamedTuple):
    """A buffer that batches are copied to, again and again."""

    buffer: BufferObject
    pages: int


@final
class Client:
    """One open device node. A context manager: leaving it closes the client."""

    def __init__(self, device: Device, name: str, *, levels: int = PPGTT_LEVELS) -> None:
        """Open it; the host hears of its address space, which has page tables of so many ``levels`` (``i915_gem_context_open``).

        Raises: UsageError for a number of levels that there is not; DriverError when memory is used up.
        """
        self.name = name
        self.device = device
        self.gt = device.gt
        self.vm = device.gt.create_vm(f"client {name}", levels=levels)
        self.contexts: dict[Engine, Context] = {}
        """The one of each engine that work goes to unless another is named."""
        self.buffers: list[BufferObject] = []
        """What has a place in its address space, the first to get one first."""
        self._extra: list[Context] = []
        self._idle_batches: list[_BatchMemory] = []
        self._is_open = True
        self._in_use: set[Streamer] = set()
        device.clients.append(self)

    @property
    def is_open(self) -> bool:
        """False once it was closed."""
        return self._is_open

    def _require_open(self, action: str) -> None:
        if not self._is_open:
            raise StateError(f"{action} of client {self.name}", "closed", "open")

    # ---- memory ----

    def create_buffer(
        self, size: int, name: str = "buffer",
        *, tiling: Tiling = Tiling.LINEAR, pitch: int = 0, bits_per_pixel: int = 0,
        page_size: int = PAGE_SIZE, address: int | None = None, read_only: bool = False,
    ) -> BufferObject:  # fmt: skip
        """Memory of at least ``size`` bytes, zeroed, with a place in this client's address space as soon as that is asked for.

        ``tiling`` and ``pitch`` are those of the surface it holds, if any. ``page_size`` is what one entry of the page table
        translates, ``address`` where it must be; ``read_only``: engines may not write it.

        Raises: StateError when the client is closed; UsageError for a size, page size or pitch that cannot be; DriverError
        when memory is used up.
        """
        self._require_open("a buffer")
        buffer = make_buffer(
            self.device, lambda: self, size, name, tiling=tiling, pitch=pitch, bits_per_pixel=bits_per_pixel,
            page_size=page_size, address=address, read_only=read_only,
        )  # fmt: skip
        return buffer

    def create_surface(self, width: int, height: int, bits_per_pixel: int = 32, tiling: Tiling = Tiling.LINEAR, name: str = "surface") -> BufferObject:
        """A buffer for ``height`` rows of ``width`` pixels. Raises: as :meth:`create_buffer`."""
        pitch, size = surface_shape(width, height, bits_per_pixel, tiling)
        return self.create_buffer(size, name, tiling=tiling, pitch=pitch, bits_per_pixel=bits_per_pixel)

    def adopt(self, buffer: BufferObject) -> None:
        """``buffer`` has got a place in this client's address space."""
        self._require_open("a place for a buffer")
        self.buffers.append(buffer)

    def release_buffer(self, buffer: BufferObject) -> None:
        """Take ``buffer`` back once no request of now can use it any more; :meth:`BufferObject.release` calls it."""
        self.buffers.remove(buffer)
        self._when_done(lambda: self._free([buffer]))

    def _free(self, buffers: Iterable[BufferObject]) -> None:
        """Engines forget where they were before somebody else gets their memory."""
        freed = list(buffers)
        places = [place for buffer in freed if (place := buffer.leave()) is not None]
        if self.vm.alive:
            for place in places:
                self.vm.unmap(place)
        if places:
            self.gt.invalidate_translations()
        for buffer in freed:
            self.device.memory.release(buffer)

    # ---- contexts ----

    def context(self, engine: Engine) -> Context:
        """The context on ``engine``, made when it is first needed. Raises: StateError, GpuWedged, DriverError."""
        if engine not in self.contexts:
            self.contexts[engine] = self._make_context(engine, self.name)
        return self.contexts[engine]

    def create_context(self, engine: Engine, name: str) -> Context:
        """One more context on ``engine``, in the same address space, with registers and an order of its own.

        Raises: StateError when the client is closed; GpuWedged; DriverError when memory is used up.
        """
        context = self._make_context(engine, f"{self.name}, {name},")
        self._extra.append(context)
        return context

    def _make_context(self, engine: Engine, owner: str) -> Context:
        self._require_open("a context")
        self.gt.require_usable()
        if engine not in self.gt.engines:
            raise UsageError(f"engine {engine.value}: this part has {', '.join(known.value for known in self.gt.engines)}")
        return self.gt.engines[engine].create_context(owner, self.vm, ring_bytes=CLIENT_RING, default_state=self.gt.default_state[engine])

    @property
    def all_contexts(self) -> tuple[Context, ...]:
        """Every context, the default ones first."""
        return (*self.contexts.values(), *self._extra)

    def _outstanding(self) -> list[Request]:
        """The newest request of each context that is not yet retired."""
        return [context.timeline.requests[-1] for context in self.all_contexts if context.timeline.requests]

    def _when_done(self, act: Callable[[], None]) -> None:
        """Call ``act`` when every request of now is retired."""
        left = self._outstanding()
        if not left:
            act()
            return
        count = len(left)

        def one_less() -> None:
            nonlocal count
            count -= 1
            if not count:
                act()

        for request in left:
            request.on_retired.append(one_less)

    # ---- work ----

    def submit(
        self, engine: Engine, work: Submittable, *, offset: int = 0, after: Iterable[Request] = (), priority: int = Priority.NORMAL,
        context: Context | None = None, preemptible: bool = True,
    ) -> Request:  # fmt: skip
        """Have ``engine`` execute ``work``: a batch, dwords, or a buffer that holds commands from byte ``offset`` on.

        It comes after the requests ``after``, wherever those are executed, even if they fail. Commands that are no buffer are
        copied, and end behind the last one.

        Raises: StateError when the client is closed, or the driver not READY; GpuWedged; RequestFailed when the context is banned; UsageError for a
        priority that clients do not have, a context or buffer of somebody else, or an offset at which no command can stand;
        WaitTimeout when the context's ring stays full; DriverError when memory is used up. Then nothing was submitted.
        """
        self._require_open("work")
        self.device.states.require("submit work", DriverState.READY)
        self.gt.require_usable()
        if not Priority.LOWEST <= priority <= Priority.HIGHEST:
            raise UsageError(f"priority {priority}: clients have {int(Priority.LOWEST)} to {int(Priority.HIGHEST)}")
        context = context if context is not None else self.context(engine)
        if context.engine is not engine:
            raise UsageError(f"{context!r} for work on {engine.value}")
        if context not in self.all_contexts:
            raise UsageError(f"{context!r} for work of client {self.name}: it is none of its own")
        if context.banned:
            raise RequestFailed(engine.value, context.owner, context.timeline.seqno, BANNED)
        context.streamer.retire(context.timeline)
        if isinstance(work, BufferObject):
            return self._start(context, self._place_in(work, offset), after, priority, preemptible)
        if offset:
            raise UsageError(f"offset {offset:#x} into commands that are no buffer: they are executed from the first one on")
        memory = self._batch_memory(_bytes_of(work))
        try:
            request = self._start(context, memory.buffer.gpu_address, after, priority, preemptible)
        except BaseException:
            self._idle_batches.append(memory)
            raise
        request.on_retired.append(lambda: self._idle_batches.append(memory))
        return request

    def _place_in(self, buffer: BufferObject, offset: int) -> int:
        """Address of the commands at byte ``offset`` of ``buffer``."""
        if buffer.client is not self:
            raise UsageError(f"{buffer.owner} of client {buffer.client.name} for work of client {self.name}: engines see its own memory only")
        if offset not in range(0, buffer.size, 4):
            raise UsageError(f"commands at byte {offset:#x} of {buffer.owner}, which has {buffer.size:#x} bytes: they begin at dwords in it")
        return buffer.gpu_address + offset

    def _start(self, context: Context, address: int, after: Iterable[Request], priority: int, preemptible: bool) -> Request:
        """Have ``context`` execute what stands at ``address``."""
        emission = context.streamer.emission
        request = Request(context, priority=priority)
        request.no_preemption = not preemptible
        try:
            waits = self._poll(request, after)
            request.report_start()
            request.emit(emission.batch_start(address, preemptible=preemptible))
        except BaseException:
            request.abandon()
            raise
        request.commit(waits)
        return request

    @staticmethod
    def _poll(request: Request, after: Iterable[Request]) -> list[Request]:
        """Have the engine itself wait for what other engines execute, where it can; returns what the driver must wait for. An
        engine is kept busy by its polling, so that one poll for each other engine is all (``emit_semaphore_wait``)."""
        streamer = request.streamer
        polls = streamer.has_timeslices and request.priority >= Priority.NORMAL
        polled = {request.engine}
        waits: list[Request] = []
        for other in after:
            if other.complete:
                continue
            if polls and other.engine not in polled:
                polled.add(other.engine)
                request.emit(streamer.emission.wait_for(other.report_address, other.seqno))
                request.await_active(other)
            else:
                waits.append(other)
        return waits

    def _batch_memory(self, commands: bytes) -> _BatchMemory:
        """Memory that holds ``commands``, out of what earlier batches have left if possible."""
        pages = -(-len(commands) // PAGE_SIZE)
        memory = next((idle for idle in self._idle_batches if idle.pages >= pages), None)
        if memory is not None:
            self._idle_batches.remove(memory)
        else:
            memory = _BatchMemory(self.create_buffer(pages * PAGE_SIZE, f"batch of {self.name}"), pages)
        memory.buffer.write(0, commands)
        return memory

    # ---- the end ----

    def close(self) -> None:
        """Close it. What it has submitted is still executed, but in error if it hangs; then its memory goes, and the host
        hears that its address space is going. Raises: StateError the second time."""
        if not self._is_open:
            raise StateError(f"close client {self.name}", "closed", "open")
        self._is_open = False
        self.device.clients.remove(self)
        contexts = self.all_contexts
        if not contexts:
            self._release()
            return
        for context in contexts:
            context.closed = True
        self._in_use = {context.streamer for context in contexts}
        self._when_done(self._switch_away)
        self.gt.work.wait_until(lambda: not self.vm.alive, _CLOSE_TIMEOUT_NS)

    def _switch_away(self) -> None:
        """All work is done: wait until no engine has one of its contexts loaded."""
        for streamer in tuple(self._in_use):
            streamer.at_barrier(partial(self._switched_away, streamer))

    def _switched_away(self, streamer: Streamer) -> None:
        self._in_use.discard(streamer)
        if not self._in_use:
            self._release()

    def _release(self) -> None:
        for context in self.all_contexts:
            context.streamer.release_context(context)
        self.contexts, self._extra = {}, []
        self.vm.release()
        self._free(self.buffers)
        self.buffers = []

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.is_open:
            self.close()


def _bytes_of(work: Batch | Sequence[int] | bytes) -> bytes:
    """The commands as they stand in memory, with an end behind them."""
    batch = Batch()
    if isinstance(work, Batch):
        batch.add(work.bytes)
    elif isinstance(work, bytes):
        batch.add(work)
    else:
        batch.raw(work)
    batch.batch_end()
    batch.align()
    return batch.bytes
