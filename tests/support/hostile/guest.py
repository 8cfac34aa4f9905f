"""A hostile guest: a driver of its vGPU that does whatever comes to its mind, and now and then works honestly to get further."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from host_model.mediator.policy import policy_for
from pvinfo.notify import Notification
from pvinfo.page import PvInfo
from pvinfo.units import PAGE_SIZE

from .commands import number
from .driver import HostileDriver
from .neighbour import Neighbour
from .stage import RAM, WatchedVgpu

__all__ = ("HostileGuest",)

_MOST_FAILURES: Final = 3
_ROOTS: Final = (
    PvInfo.pdp0_lo, PvInfo.pdp0_hi, PvInfo.pdp1_lo, PvInfo.pdp1_hi, PvInfo.pdp2_lo, PvInfo.pdp2_hi, PvInfo.pdp3_lo, PvInfo.pdp3_hi,
)  # fmt: skip
_CREATIONS: Final = (
    Notification.PPGTT_L4_PAGE_TABLE_CREATE, Notification.PPGTT_L4_PAGE_TABLE_CREATE, Notification.PPGTT_L4_PAGE_TABLE_DESTROY,
    Notification.PPGTT_L3_PAGE_TABLE_CREATE, Notification.PPGTT_L3_PAGE_TABLE_CREATE, Notification.PPGTT_L3_PAGE_TABLE_DESTROY,
    Notification.EXECLIST_CONTEXT_CREATE, Notification.EXECLIST_CONTEXT_DESTROY,
)  # fmt: skip


@final
class HostileGuest(HostileDriver):
    """Beside it, its neighbour goes on with its work."""

    def __init__(self, device: WatchedVgpu, neighbour: Neighbour | None = None, said: Callable[[str], None] | None = None) -> None:
        self._own = device
        self._neighbour = neighbour
        super().__init__(device, policy_for(device.ground.platform.name), said)

    def kinds(self) -> tuple[tuple[int, Callable[[], None]], ...]:
        return (
            (14, self._read), (26, self._write), (14, self._write_table), (6, self._configure), (8, self._use_aperture), (6, self._fence),
            (22, self._poke), (8, self._image), (20, self._command), (16, self._submit), (30, self._wait), (10, self._recover), (38, self._job), (2, self._toil),
            (2, self._reset), (4, self._plug), (2, self._repair), (2, self._choose_answer), (14, self._notify), (12, self._give_way),
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
        self._say(f"{kind.name} of {' '.join(f'{root:#x}' for root in roots)}")
        halves = [half for root in roots for half in (root & 0xFFFFFFFF, root >> 32)]
        for register, half in zip(_ROOTS, halves, strict=True):
            self.device.write(register.at(), 4, half)
        said = int(kind) if rng.randrange(16) else number(rng)
        self.device.write(PvInfo.g2v_notify.at(), 4, said)

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
