"""Unloading the driver, and loading it again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pvinfo.errors import HostRefused
from pvinfo.notify import Notification
from pvinfo.page import PvInfo
from pvinfo.registers import FENCE_BASE, FENCE_COUNT, EngineRegisters, InterruptGroup, MasterInterrupt

from ...state import DriverState
from ..access import Access, AccessKind
from ..catalogue import scenario
from ..needs import Announced, Needs
from ..stage import Stage
from .acts import failsafe_reason, probed

_FENCES = range(FENCE_BASE, FENCE_BASE + 8 * FENCE_COUNT)


@scenario()
def unload(stage: Stage) -> None:
    """An unloaded driver leaves no balloon, no memory, no interrupt and no address space behind."""
    guest = stage.guest
    stage.step("the driver probes, and a client comes")
    driver = probed(stage)
    driver.open_client("a program")
    space, balloon, memory = driver.ggtt.space, driver.balloon, driver.memory
    stage.check("clients", [client.name for client in driver.clients][-1], "a program")

    stage.step("the driver is unloaded")
    driver.unload()
    stage.check("the driver is", driver.state, DriverState.UNBOUND)
    stage.check("balloons", len(balloon.slots), 0)
    stage.check("bytes of graphics memory that are taken", space.reserved, 0)
    stage.check("bytes of memory in use", memory.in_use, 0)

    stage.step("interrupts are off")
    stage.check("the master interrupt register", int(MasterInterrupt(guest.mmio).control), 0)
    groups = ("GT0", "GT1", "GT2", "GT3")
    stage.check("events that are enabled", {group: int(InterruptGroup(guest.mmio, group).ier) for group in groups}, dict.fromkeys(groups, 0))
    stage.host_view("the guest wants message-signalled interrupts", lambda vgpu: vgpu.config.msi_enabled, False)

    stage.step("what the host still knows")
    # Nothing takes display_ready back; but the driver's last reset of the whole GT makes the host write the page anew.
    stage.check("the page says that the display is ready", PvInfo(guest.mmio).display_ready, 0)
    stage.host_view("the guest's display is ready", lambda vgpu: vgpu.pv.display_ready, False)
    stage.host_view(
        "address spaces created and not destroyed",
        lambda vgpu: vgpu.pv.notifications[Notification.PPGTT_L4_PAGE_TABLE_CREATE]
        - vgpu.pv.notifications[Notification.PPGTT_L4_PAGE_TABLE_DESTROY],
        0,
    )
    stage.host_view("why it distrusts the guest", failsafe_reason, None)


Story = list[tuple[str, int, int, int]]
_AT_THE_ENGINES_PACE: Final = frozenset(
    [MasterInterrupt.control.at()]
    + [InterruptGroup.iir.at(group) for group in ("GT0", "GT1", "GT2", "GT3")]
    + [register.at(engine) for engine in EngineRegisters.bases for register in (EngineRegisters.elsp, EngineRegisters.context_status_ptr, EngineRegisters.imr)]
)
"""Registers that the driver touches whenever engines have got somewhere, between any two other accesses."""


def _story(accesses: list[Access], *, values: bool = True) -> Story:
    """What an account of a probe must have in common with another's: all but the time, and what engines did with it."""
    return [
        (access.kind.value, access.size, access.offset, access.value if values else 0)
        for access in accesses
        if access.kind is not AccessKind.INTERRUPT and access.offset not in _AT_THE_ENGINES_PACE
    ]


def _first_difference(one: Story, other: Story) -> str:
    """Where two accounts part, in words."""
    for number, (left, right) in enumerate(zip(one, other, strict=False), 1):
        if left != right:
            return f"access {number}: {left[0]} {left[2]:#x} = {left[3]:#x}, then {right[0]} {right[2]:#x} = {right[3]:#x}"
    return "none" if len(one) == len(other) else f"{len(one)} accesses, then {len(other)}"


def _is_fence(access: Access) -> bool:
    return access.kind is AccessKind.REGISTER_WRITE and access.offset in _FENCES


@scenario()
def reload(stage: Stage) -> None:
    """A driver that is unloaded and loaded again gets the same offer and does the same, entry by entry."""
    guest = stage.guest
    stage.step("the driver is loaded and unloaded")
    driver = probed(stage)
    balloons = {slot: (node.start, node.end) for slot, node in driver.balloon.slots.items()}
    first = list(guest.accesses)
    driver.unload()

    stage.step("it is loaded again")
    mark = len(guest.accesses)
    driver.probe()
    stage.check("the driver is", driver.state, DriverState.READY)
    second = guest.since(mark)
    stage.check("balloons", {slot: (node.start, node.end) for slot, node in driver.balloon.slots.items()}, balloons)
    chosen: dict[str, Callable[[Access], bool]] = {
        "accesses of the page": lambda access: access.in_page,
        "table entries": lambda access: access.kind is AccessKind.GGTT_WRITE,
        "fences": _is_fence,
    }
    for what, belongs in chosen.items():
        one, other = (_story([access for access in part if belongs(access)]) for part in (first, second))
        stage.check(f"first difference between the two probes' {what}", _first_difference(one, other), "none")
    # Values may differ: some registers are changed bit by bit, and keep what the first probe put there.
    one, other = (
        _story([access for access in part if access.kind is AccessKind.REGISTER_WRITE], values=False) for part in (first, second)
    )
    stage.check("first difference between the registers they wrote", _first_difference(one, other), "none")
    stage.host_view("the guest's display is ready", lambda vgpu: vgpu.pv.display_ready, True)


@scenario()
def reload_after_reset(stage: Stage) -> None:
    """After a device reset a second driver finds the very same device: its account equals the first, access by access."""
    guest = stage.guest
    stage.step("a driver is loaded; its machine then resets the device")
    probed(stage)
    first = _story(guest.accesses)
    guest.machine.gpu.reset()

    stage.step("another driver is loaded")
    mark = len(guest.accesses)
    probed(stage)
    stage.check("first difference between the two accounts", _first_difference(first, _story(guest.since(mark))), "none")


@scenario(needs=Needs(announced=Announced(version_major=0)))
def reload_after_refusal(stage: Stage) -> None:
    """A driver that has refused its host can be unloaded and asked again, and refuses again for the same reason."""
    guest = stage.guest
    driver = guest.driver()
    rules = []
    for attempt in ("first", "second"):
        stage.step(f"the {attempt} attempt")
        rules.append(stage.check_raises("the probe ends with", HostRefused, driver.probe).rule)
        driver.unload()
    stage.check("the rules it named", rules, ["version", "version"])
