"""What a guest has submitted: all of it is done, but for what waits until the guest chooses execlists again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from pvinfo.execlist import SUBMISSION_DWORDS, ContextDescriptor
from pvinfo.platform import PLATFORMS, Engine
from pvinfo.wire import Codec, raw, u8, u32, u64

from ..submission.execlist import Elements, ExeclistState
from ..submission.queue import MOST_WAITING
from .cursor import Cursor
from .layout import name_bytes, name_text
from .section import Apply, Section, Shape

if TYPE_CHECKING:
    from ..submission.queue import EngineQueue
    from ..vgpu import Vgpu

__all__ = ("SUBMISSION",)


class SavedPorts(NamedTuple):
    """All ports. One record for each engine follows."""

    enabled: Annotated[int, u8("1: the guest has chosen execlists since the last reset")]
    engines: Annotated[int, u8("how many engines there are")]


class SavedPort(NamedTuple):
    """One engine's port, with what waits there behind it."""

    engine: Annotated[bytes, raw(8, "name of the engine, padded with zeros")]
    written: Annotated[int, u8("dwords of a submission that is not complete")]
    slot: Annotated[int, u8("slot of what runs, or of what ran last")]
    running: Annotated[int, u8("1: the guest sees a submission run")]
    queued: Annotated[int, u8("1: and another one wait")]
    dword_0: Annotated[int, u32("what was written first")]
    dword_1: Annotated[int, u32("then")]
    dword_2: Annotated[int, u32("then")]
    context: Annotated[ContextDescriptor, u64("the element that runs")]
    running_first: Annotated[ContextDescriptor, u64("first element of what runs")]
    running_second: Annotated[ContextDescriptor, u64("second element of what runs")]
    queued_first: Annotated[ContextDescriptor, u64("first element of what waits")]
    queued_second: Annotated[ContextDescriptor, u64("second element of what waits")]
    wraps: Annotated[int, u32("times that work went past the end of a ring")]
    submissions: Annotated[int, u64("complete submissions so far")]
    completed: Annotated[int, u64("contexts carried out")]
    requests: Annotated[int, u64("requests completed")]
    waiting: Annotated[int, u32("contexts that wait to be carried out; their records follow")]


class SavedWork(NamedTuple):
    """A context that waits to be carried out. What it is to do stands in its image, in the guest's memory."""

    descriptor: Annotated[ContextDescriptor, u64("which")]
    leads: Annotated[int, u8("1: it is the first element of a submission, which is")]
    first: Annotated[ContextDescriptor, u64("this element")]
    second: Annotated[ContextDescriptor, u64("and this one")]


SAVED_PORTS: Final = Codec(SavedPorts, doc="the submission ports", size=2)
SAVED_PORT: Final = Codec(SavedPort, doc="one engine's submission port", size=96)
SAVED_WORK: Final = Codec(SavedWork, doc="a context that waits", size=25)
_NOTHING: Final = ContextDescriptor(0)
_NO_ELEMENTS: Final = Elements(_NOTHING, _NOTHING)


def _save(vgpu: Vgpu) -> bytes:
    ports = vgpu.submission
    head = SAVED_PORTS.pack(SavedPorts(ports.enabled, len(ports.queues)))
    return head + b"".join(_save_port(vgpu, queue) for queue in ports.queues.values())


def _save_port(vgpu: Vgpu, queue: EngineQueue) -> bytes:
    engine, state = queue.engine, queue.execlist.state
    written = (*vgpu.submission.written[engine], 0, 0, 0)
    running, waiting = state.running or _NO_ELEMENTS, state.waiting or _NO_ELEMENTS
    port = SavedPort(
        name_bytes(engine.value, 8), len(vgpu.submission.written[engine]), state.slot, state.running is not None, state.waiting is not None,
        written[0], written[1], written[2], state.context or _NOTHING, *running, *waiting,
        queue.wraps, vgpu.submission.submissions[engine], queue.completed, queue.requests, len(queue.waiting),
    )  # fmt: skip
    return SAVED_PORT.pack(port) + b"".join(
        SAVED_WORK.pack(SavedWork(work.descriptor, work.elements is not None, *(work.elements or _NO_ELEMENTS))) for work in queue.waiting
    )


def _load(cursor: Cursor, shape: Shape) -> Apply:
    head = cursor.record(SAVED_PORTS)
    engines = {engine.value: engine for engine in PLATFORMS[shape.platform].engines}
    loaded: dict[Engine, tuple[SavedPort, list[SavedWork]]] = {}
    for _ in range(head.engines):
        port = cursor.record(SAVED_PORT)
        engine = engines[cursor.member(name_text(port.engine), engines, "engine")]
        cursor.require(port.written < SUBMISSION_DWORDS, "dwords", port.written, f"below {SUBMISSION_DWORDS}")
        cursor.require(port.slot < 2, "slot", port.slot, "0 or 1")
        cursor.require(port.waiting <= MOST_WAITING, "contexts that wait", port.waiting, f"{MOST_WAITING} at most")
        loaded[engine] = port, cursor.records(SAVED_WORK, port.waiting)
    cursor.require(len(loaded) == len(engines), "engines", head.engines, f"{', '.join(engines)}, each once")

    def apply(vgpu: Vgpu) -> None:
        vgpu.submission.enabled = bool(head.enabled)
        for engine, (port, work) in loaded.items():
            _take_over(vgpu, engine, port)
            for waiting in work:
                elements = Elements(waiting.first, waiting.second) if waiting.leads else None
                vgpu.submission.queues[engine].submit(waiting.descriptor, elements)

    return apply


def _take_over(vgpu: Vgpu, engine: Engine, port: SavedPort) -> None:
    queue = vgpu.submission.queues[engine]
    vgpu.submission.written[engine] = list((port.dword_0, port.dword_1, port.dword_2)[: port.written])
    vgpu.submission.submissions[engine] = port.submissions
    queue.wraps, queue.completed, queue.requests = port.wraps, port.completed, port.requests
    queue.execlist.take_over(
        ExeclistState(
            Elements(port.running_first, port.running_second) if port.running else None,
            port.context if port.running else None,
            Elements(port.queued_first, port.queued_second) if port.queued else None,
            port.slot,
        )
    )


SUBMISSION: Final = Section("submission", 1, True, _save, _load)
