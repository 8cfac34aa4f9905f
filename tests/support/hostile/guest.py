"""A hostile guest: a driver of its vGPU that does whatever comes to its mind, and now and then works honestly to get further."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from host_model.mediator.policy import policy_for
from pvinfo.execlist import Submission
from pvinfo.notify import Notification
from pvinfo.page import PvInfo
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.engine import EngineRegisters
from pvinfo.registers.reset import ResetRegisters
from pvinfo.units import PAGE_SIZE

from ..blit_script import SURFACES
from .commands import number
from .driver import HostileDriver
from .honest import HonestWork
from .intrusion import WAYS, global_command
from .neighbour import Neighbour
from .stage import RAM, WatchedVgpu

__all__ = ("HostileGuest", "Outdated")

_MOST_FAILURES: Final = 3
_ROOTS: Final = (
    PvInfo.pdp0_lo, PvInfo.pdp0_hi, PvInfo.pdp1_lo, PvInfo.pdp1_hi, PvInfo.pdp2_lo, PvInfo.pdp2_hi, PvInfo.pdp3_lo, PvInfo.pdp3_hi,
)  # fmt: skip
_CREATIONS: Final = (
    Notification.PPGTT_L4_PAGE_TABLE_CREATE, Notification.PPGTT_L4_PAGE_TABLE_CREATE, Notification.PPGTT_L4_PAGE_TABLE_DESTROY,
    Notification.PPGTT_L3_PAGE_TABLE_CREATE, Notification.PPGTT_L3_PAGE_TABLE_CREATE, Notification.PPGTT_L3_PAGE_TABLE_DESTROY,
    Notification.EXECLIST_CONTEXT_CREATE, Notification.EXECLIST_CONTEXT_DESTROY,
)  # fmt: skip
_HIDDEN: Final = 0x26_0000
"""Pages of memory that graphics memory does not show: nothing but page tables leads there."""
_HIDDEN_TABLES: Final = 0x27_0000, 0x27_1000
_PATIENCE: Final = 200
"""Instants that its honest work is waited for."""


class Outdated(AssertionError):
    """Work did not go where page tables lead, but where they once led."""


@final
class HostileGuest(HostileDriver):
    """Beside it, its neighbour goes on with its work."""

    def __init__(self, device: WatchedVgpu, neighbour: Neighbour | None = None, said: Callable[[str], None] | None = None) -> None:
        self._own = device
        self._neighbour = neighbour
        self.moves = 0
        """Pages that it moved between two pieces of honest work which came to something."""
        super().__init__(device, policy_for(device.ground.platform.name), said)

    def kinds(self) -> tuple[tuple[int, Callable[[], None]], ...]:
        return (
            (14, self._read), (24, self._write), (14, self._write_table), (6, self._configure), (8, self._use_aperture), (6, self._fence),
            (22, self._poke), (8, self._image), (20, self._command), (16, self._submit), (26, self._wait), (10, self._recover), (38, self._job), (2, self._toil),
            (2, self._reset), (4, self._plug), (2, self._repair), (2, self._choose_answer), (14, self._notify), (12, self._give_way),
            (3, self._intrude), (3, self._move_page),
        )  # fmt: skip

    def begin(self) -> None:
        self._own.meet()
        super().begin()

    def act(self, code: bytes) -> None:
        super().act(code)
        if self._own.vgpu.failsafe and code[-1] & 1:
            self._say("a new guest, after failsafe mode")
            self._own.vgpu.reset()
            self.begin()

    def _spoilt_commands(self) -> int:
        # One that is refused is the last thing that a guest does before a device reset.
        return 0 if self._rng.randrange(3) else self._rng.randrange(1, 4)

    def _batch_start(self, batch: int) -> list[int]:
        if self._rng.randrange(6):
            return super()._batch_start(batch)
        return [0x18800001, self.ground.batches[batch].graphics, 0, 0]  # with privilege, as long as it is audited

    # ---- what only guests do ----

    def _notify(self) -> None:
        """Announce an address space, or its end: its own, a spoilt one, or anything."""
        rng, ground = self._rng, self.ground
        kind = _CREATIONS[rng.randrange(len(_CREATIONS))]
        three = kind in (Notification.PPGTT_L3_PAGE_TABLE_CREATE, Notification.PPGTT_L3_PAGE_TABLE_DESTROY)
        style = rng.randrange(8)
        if style < 4:
            roots = [ground.directory.bus] * 4 if three else [ground.pml4.bus, 0, 0, 0]
        elif style < 6:
            roots = [ground.tables[rng.randrange(len(ground.tables))].bus for _ in range(4)]
        elif style == 6:
            roots = [rng.choice((0, RAM, RAM - PAGE_SIZE, 0x100_0000_0000 * rng.randrange(64) + 0x10_0000, 1 << 63 | 0x1000)) for _ in range(4)]
        else:
            roots = [rng.getrandbits(64) for _ in range(4)]
        self.announce(kind, roots, int(kind) if rng.randrange(16) else number(rng))

    def announce(self, kind: Notification, roots: list[int], said: int | None = None) -> None:
        """Tell the host of an address space with these four roots; ``said``: what is said in place of ``kind``."""
        self._say(f"{kind.name} of {' '.join(f'{root:#x}' for root in roots)}")
        halves = [half for root in roots for half in (root & 0xFFFFFFFF, root >> 32)]
        for register, half in zip(_ROOTS, halves, strict=True):
            self.device.write(register.at(), 4, half)
        self.device.write(PvInfo.g2v_notify.at(), 4, int(kind) if said is None else said)

    def _give_way(self) -> None:
        """Its neighbour does something."""
        if self._neighbour is not None:
            self._say("the neighbour works")
            self._neighbour.go_on(patiently=not self._rng.randrange(6))

    def _plug(self) -> None:
        """Some of the pages that are mapped next cannot be."""
        port, rng = self._own.port, self._rng
        reach = rng.choice((4, 40, 700))
        port.failing = {port.tried + rng.randrange(reach) for _ in range(rng.randrange(_MOST_FAILURES + 1))}
        self._say(f"pages that cannot be mapped, from now on: {sorted(page - port.tried for page in port.failing)}")

    def _plug_in(self) -> None:
        self._own.port.failing = set()

    # ---- what an audit is for ----

    def _intrude(self) -> None:
        """Work that is legal but for one address, which is not its own."""
        if self._own.vgpu.failsafe:
            return
        rng, ground = self._rng, self.ground
        engine = self._engine()
        self._reset_engine(engine)
        if rng.randrange(2):
            self._lay_out()
        self._resume(engine)
        self._fresh_context(engine, 0)
        dwords = global_command(rng.randrange(WAYS), rng, engine, self._foreign())
        if not rng.randrange(3):
            self._store(ground.batches[0].bus, [*dwords, 0x05000000])
            dwords = [0x18800001, ground.batches[0].graphics, 0]
        self.submit_ring(engine, 0, [*dwords, 0] if len(dwords) % 2 else dwords)
        for _ in range(rng.randrange(2, 6)):
            self.device.step()

    def _foreign(self) -> int:
        """A graphics address that is the host's, the neighbour's, or just past what is its own."""
        rng, own = self._rng, self._own
        style = rng.randrange(4)
        if style == 0:
            return own.host.gpu.registers.read32(EngineRegisters.hws_pga.at(self._engine().name)) + 0x800
        if style == 1:
            edges = own.vgpu.resources.high if rng.randrange(2) else own.vgpu.resources.low
            return (edges.start - 8, edges.stop, edges.stop + 0x800, edges.start - 0x800)[rng.randrange(4)]
        resources = own.vgpu.resources if self._neighbour is None else self._neighbour.device.vgpu.resources
        beyond = len(resources.low) if self._neighbour is None else 0
        return resources.low.start + beyond + PAGE_SIZE * rng.randrange(len(resources.low) // PAGE_SIZE) + 0x800

    # ---- what shadow tables are for ----

    def _move_page(self) -> None:
        """Honest work, tables changed, and the same work again: what it stores must be where they lead by then. Raises: Outdated."""
        vgpu, rng, ground = self._own.vgpu, self._rng, self.ground
        if vgpu.failsafe:
            return
        self._answer = 2
        engine, context = self._engine(), rng.randrange(2)
        way = rng.randrange(2 if context else 3)  # of three levels, the roots are page directories
        pages = [_HIDDEN + PAGE_SIZE * (8 * half + rng.randrange(8)) for half in range(2)]
        self._say("reset of the whole GT")
        self.device.write(ResetRegisters.gdrst.at(), 4, 1)
        self._lay_out()
        self._resume(engine)
        self._fresh_context(engine, context)
        self._say(f"work of context {context} of {engine.value} behind tables that lead to {pages[0]:#x}, then to {pages[1]:#x}")
        if context:
            self.announce(Notification.PPGTT_L3_PAGE_TABLE_CREATE, [ground.directory.bus] * 4)
        else:
            self.announce(Notification.PPGTT_L4_PAGE_TABLE_CREATE, [ground.pml4.bus, 0, 0, 0])
        for half, page in enumerate(pages):
            self._lead_to(page, way if half else 0)
            work = HonestWork(ground, engine, 2 * self.acts + half, context, self._ring_ends[engine, context], page)
            self._ring_ends[engine, context] = work.ring_end
            work.submit(self.device.write)
            if not self._is_done(work):
                return
        self.moves += 1
        if ground.memory.peek(pages[0] + 0x40, 4) != HonestWork(ground, engine, 2 * self.acts).seqno.to_bytes(4, "little"):
            raise Outdated(f"work of {engine.value} wrote to the page at {pages[0]:#x}, to which its tables do not lead any more")

    def _is_done(self, work: HonestWork) -> bool:
        """Whether its ring has been carried out, after some patience. Raises: Outdated."""
        for _ in range(_PATIENCE):
            self.device.step()
            seen, expected = work.seen(0), work.expected(0)
            if seen["stored from the ring"] == expected["stored from the ring"]:
                if seen["stored from the batch"] != expected["stored from the batch"]:
                    raise Outdated(f"work of {work.engine.value} did not write to the page to which its tables lead: {seen}, and should be {expected}")
                self.device.step()
                return True
        return False

    def _lead_to(self, page: int, way: int) -> None:
        """Have the tables lead to another page: by an entry, by another page table, or by another page directory, too."""
        ground, memory = self.ground, self.ground.memory
        index = SURFACES[0] // PAGE_SIZE
        if way == 0:
            self._store(ground.first.bus + 8 * index, [page | 3, 0])
            return
        table, directory = _HIDDEN_TABLES
        memory.poke(table, memory.peek(ground.first.bus, PAGE_SIZE))
        self._store(table + 8 * index, [page | 3, 0])
        if way == 1:
            self._store(ground.directory.bus, [table | 3, 0])
            return
        memory.poke(directory, memory.peek(ground.directory.bus, PAGE_SIZE))
        self._store(directory, [table | 3, 0])
        self._store(ground.directories.bus, [directory | 3, 0])

    # ---- engines ----

    def _reset_engine(self, engine: Engine) -> None:
        self.device.write(ResetRegisters.gdrst.at(), 4, 1 << ENGINES[engine].reset_bit)

    def submit_ring(self, engine: Engine, context: int, dwords: list[int]) -> None:
        """Hand over a context with these commands more in its ring, an even number of dwords."""
        self._append(engine, context, dwords)
        self._set_tail(engine, context)
        for dword in Submission.loading(self.ground.descriptor(engine, context)):
            self.device.write(EngineRegisters.elsp.at(engine.name), 4, dword)
