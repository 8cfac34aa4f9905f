"""What many of these stories do or look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, final

from pvinfo.commands.mi.memory import AtomicOpcode
from pvinfo.gtt_entry import ENTRY_SIZE, FRAME_MASK_4K, table_index
from pvinfo.platform import Engine
from pvinfo.registers import ContextStatus, EngineRegisters
from pvinfo.units import PAGE_SIZE, GuestAddress

from ...batch import Batch
from ...buffer import BufferObject
from ...client import Client
from ...driver import GuestDriver
from ...gt import GtState
from ...request import Request
from ...state import DriverState
from ..access import AccessKind
from ..guest import Guest
from ..stage import Stage

__all__ = (
    "PATIENCE_NS",
    "SPINS",
    "Events",
    "Gate",
    "at_work",
    "await_spin",
    "await_that",
    "check_content",
    "check_messages",
    "check_quiet_end",
    "check_requests",
    "come_to_rest",
    "dwords_at",
    "engines_with_registers",
    "entry_place",
    "general_purpose",
    "make_spinner",
    "mix",
    "mixed",
    "qword_at",
    "user_interrupts",
    "wait_for_all",
)

PATIENCE_NS: Final = 30_000_000_000
"""For work that is certain to end: longer than a driver takes to notice a hang."""
_LAST_EVENTS_NS: Final = 20_000_000
SPINS: Final = 0x800
"""Byte of a spinner that becomes 1 when it spins."""


def at_work(stage: Stage, guest: Guest | None = None) -> GuestDriver:
    """A driver that has come to READY with engines that run; of the first guest unless another is named."""
    guest = guest if guest is not None else stage.guest
    driver = guest.driver()
    driver.probe()
    stage.check(f"the driver of {guest.name} is", driver.state, DriverState.READY)
    stage.check("its engines are", driver.gt_state, GtState.RUNNING)
    return driver


def await_that(stage: Stage, driver: GuestDriver, what: str, done: Callable[[], object]) -> None:
    """Let time pass until ``done`` says something true, which must come."""
    stage.check(what, driver.work.wait_until(lambda: bool(done()), PATIENCE_NS), True)


def wait_for_all(requests: Sequence[Request]) -> None:
    """Wait until each is done. Raises: what :meth:`Request.wait` raises, which fails the scenario."""
    for request in requests:
        request.wait(PATIENCE_NS)


def come_to_rest(stage: Stage, driver: GuestDriver) -> None:
    """Every engine is done and parked, and all that is told of that was told: a mediator does so a little later."""
    stage.check("the engines come to rest", driver.wait_idle(PATIENCE_NS), True)
    driver.wait(_LAST_EVENTS_NS)


def check_quiet_end(stage: Stage, driver: GuestDriver) -> None:
    """The engines come to rest, and the driver had nothing to complain of."""
    stage.check("the engines come to rest", driver.wait_idle(PATIENCE_NS), True)
    stage.check("what the driver complains of", [line.text for line in driver.log.complaints()], [])


def check_messages(stage: Stage, driver: GuestDriver) -> None:
    """Every message of an interrupt that the host has sent has reached the machine, and its driver has served it."""
    told = sum(1 for _ in stage.guest.accesses_of(AccessKind.INTERRUPT))
    stage.check("messages that the machine got, and the driver served", told, driver.interrupts.received)
    if stage.mediated:
        stage.client_view("messages that were sent", lambda client: client.interrupts_sent, told)
    else:
        stage.gpu_view("messages that were sent", lambda gpu: gpu.interrupts_sent, told)


def check_requests(stage: Stage, done: dict[str, int]) -> None:
    """What executes has seen as many requests of each engine end as the driver: the GPU itself, or the mediator, which is told
    by the end of each and tells the guest."""
    if stage.mediated:
        stage.client_view("requests by engine", lambda client: {engine.value: queue.requests for engine, queue in client.submission.queues.items()}, done)
    else:
        stage.gpu_view("requests by engine", lambda gpu: gpu.engines.requests, done)


# ---- work whose order shows ----


def mix(address: int, number: int) -> Batch:
    """A batch that makes the dword x at ``address`` (x ^ number) + number: what many such batches leave depends on their order."""
    batch = Batch()
    batch.atomic(AtomicOpcode.XOR, address, number)
    batch.atomic(AtomicOpcode.ADD, address, number)
    return batch


def mixed(numbers: Iterable[int], start: int = 0) -> int:
    """What a row of :func:`mix` leaves."""
    for number in numbers:
        start = (start ^ number) + number & 0xFFFF_FFFF
    return start


# ---- work that does not end ----


def make_spinner(client: Client) -> BufferObject:
    """A buffer with a batch that says that it has begun, and then jumps to itself for ever."""
    buffer = client.create_buffer(PAGE_SIZE, f"spinner of {client.name}")
    batch = Batch(buffer.gpu_address)
    batch.store_dword(buffer.gpu_address + SPINS, 1)
    batch.batch_start(batch.here)
    buffer.write(0, batch.bytes)
    return buffer


def await_spin(stage: Stage, driver: GuestDriver, spinner: BufferObject) -> None:
    """Let time pass until the batch in ``spinner`` has begun."""
    await_that(stage, driver, "it spins", lambda: spinner.read_dword(SPINS) == 1)


# ---- memory ----


def dwords_at(buffer: BufferObject, offset: int, count: int) -> list[int]:
    """Dwords of a buffer, read by the processor."""
    return [buffer.read_dword(offset + 4 * number) for number in range(count)]


def qword_at(buffer: BufferObject, offset: int) -> int:
    """A quadword of a buffer, read by the processor."""
    return int.from_bytes(buffer.read(offset, 8), "little")


def entry_place(client: Client, address: int, level: int) -> GuestAddress:
    """Where in memory the entry of a table of ``level`` (0 is the page table) is that translates ``address`` for ``client``,
    whose tables have four levels: found by reading memory, table by table."""
    memory, place = client.device.machine.memory, client.vm.root.address
    for above in (3, 2, 1, 0):
        place = GuestAddress(place + table_index(address, above) * ENTRY_SIZE)
        if above == level:
            break
        place = GuestAddress(int.from_bytes(memory.read(place, ENTRY_SIZE), "little") & FRAME_MASK_4K)
    return place


def check_content(stage: Stage, what: str, actual: bytes, expected: bytes) -> None:
    """Two contents must be the same; where they are not, the first places at which they differ are shown."""
    stage.check(f"{what}, bytes", len(actual), len(expected))
    differing = [at for at, pair in enumerate(zip(actual, expected, strict=True)) if pair[0] != pair[1]] if actual != expected else []
    stage.check(f"{what}: offsets that do not hold what they should", differing, [])


# ---- registers ----


def general_purpose(engine: Engine, number: int) -> tuple[int, int]:
    """Offsets of both halves of a general purpose register."""
    return EngineRegisters.gpr_lo.at(engine.name) + 8 * number, EngineRegisters.gpr_hi.at(engine.name) + 8 * number


def engines_with_registers(driver: GuestDriver) -> list[Engine]:
    """Those whose streamer has general purpose registers: on gen8 only the render engine's has.

    Source: linux:drivers/gpu/drm/i915/gt/selftest_lrc.c (live_gpr_clear)
    """
    return [engine for engine in driver.platform.engines if engine is Engine.RCS0 or driver.platform.graphics_version >= 9]


# ---- events ----

_USER_EVENTS: Final = {
    Engine.RCS0: "GT0.rcs_user", Engine.BCS0: "GT0.bcs_user", Engine.VCS0: "GT1.vcs0_user", Engine.VECS0: "GT3.vecs_user",
}  # fmt: skip


def user_interrupts(driver: GuestDriver, engine: Engine) -> int:
    """User interrupts of an engine that the driver's handler has served."""
    return driver.interrupts.events[_USER_EVENTS[engine]]



@final
class Events:
    """What an engine has told its driver since this was made."""

    def __init__(self, driver: GuestDriver, engine: Engine) -> None:
        self._counted = driver.gt.engines[engine].events
        self._before = self._counted.copy()

    def of(self, **flags: int) -> int:
        """Events that have all of these flags of :class:`ContextStatus`."""
        wanted = int(ContextStatus.of(**flags))
        return sum((self._counted - self._before)[status] for status in self._counted if status & wanted == wanted)


@final
class Gate:
    """A place in memory at which batches wait until the processor lets them through."""

    _ARRIVED: Final = 64

    def __init__(self, client: Client) -> None:
        self._buffer = client.create_buffer(PAGE_SIZE, "gate")

    def guard(self, batch: Batch, number: int = 1) -> None:
        """Have ``batch`` report that it has come to gate ``number``, and wait there."""
        batch.store_dword(self._buffer.gpu_address + self._ARRIVED, number)
        batch.semaphore_wait(self._buffer.gpu_address, number)

    @property
    def reached(self) -> int:
        """The last gate that a batch has come to."""
        return self._buffer.read_dword(self._ARRIVED)

    def open(self, number: int = 1) -> None:
        """Let what waits at gate ``number``, and at those before, go on."""
        self._buffer.write_dword(0, number)
