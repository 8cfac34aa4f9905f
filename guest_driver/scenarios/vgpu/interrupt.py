"""Interrupts: the way of an event through mask, identity, enable and master register to the guest's processor.

The event that a guest can bring about all by itself is an asynchronous flip of a plane: the host reports it done at once.
"""

from __future__ import annotations

from collections.abc import Callable

from host_model.device.interrupts import Event
from host_model.mediator.vgpu import Vgpu
from pvinfo.platform import Platform
from pvinfo.registers import (
    BroadwellPipeInterrupt,
    CopyRenderInterrupt,
    FlipKind,
    FlipTarget,
    InterruptGroup,
    MasterControl,
    MasterInterrupt,
    PipeInterrupt,
    PlaneFlip,
)

from ...log import DriverLog
from ...pci import PciFunction
from ..catalogue import scenario
from ..guest import Guest
from ..needs import Needs
from ..stage import Stage
from .acts import probed

_ENABLE = MasterControl.enable.mask
_ALL = 0xFFFF_FFFF


def flip_bit(platform: Platform) -> int:
    """The bit that reports a flip of the first pipe's primary plane."""
    broadwell = platform.graphics_version == 8
    return BroadwellPipeInterrupt.primary_flip_done.mask if broadwell else PipeInterrupt.plane1_flip_done.mask


def flip(guest: Guest) -> None:
    """Have the first pipe's primary plane flip asynchronously, and wait until that has happened."""
    target = PlaneFlip(guest.mmio, next(iter(PlaneFlip.bases)))
    target.target = FlipTarget.of(kind=FlipKind.ASYNCHRONOUS)
    assert target.target is not None  # the read pushes the write ahead of it
    guest.wait(1_000_000)


def send_messages(guest: Guest) -> PciFunction:
    """Switch the function on, as bus master with message-signalled interrupts."""
    function = PciFunction(guest.machine, DriverLog(guest.machine.clock))
    function.place()
    function.enable()
    function.set_master()
    function.enable_msi()
    return function


@scenario()
def interrupt_registers(stage: Stage) -> None:
    """A masked event is lost, an unmasked one is remembered until it is acknowledged, and only an enabled one shows at the top."""
    guest = stage.guest
    bit = flip_bit(stage.platform)
    pipe, master = InterruptGroup(guest.mmio, "PIPE_A"), MasterInterrupt(guest.mmio)

    stage.step("an event while it is masked")
    pipe.imr = _ALL
    pipe.ier = bit
    flip(guest)
    stage.check("identity register", pipe.iir, 0)
    pipe.imr = ~bit & _ALL
    stage.check("identity register after unmasking", pipe.iir, 0)

    stage.step("an event that is unmasked but not enabled")
    pipe.ier = 0
    flip(guest)
    stage.check("identity register", pipe.iir, bit)
    stage.check("master register", int(master.control), 0)

    stage.step("it is enabled")
    pipe.ier = bit
    stage.check("master register", int(master.control), MasterControl.pipe_a.mask)
    stage.host_view("the interrupt line is active", lambda vgpu: vgpu.interrupts.asserted, False)

    stage.step("bits that software does not own are written")
    master.control = MasterControl(_ALL & ~_ENABLE)
    stage.check("master register", int(master.control), MasterControl.pipe_a.mask)
    master.control = MasterControl(_ENABLE)
    stage.check("master register, switched on", int(master.control), _ENABLE | MasterControl.pipe_a.mask)
    stage.host_view("the interrupt line is active", lambda vgpu: vgpu.interrupts.asserted, True)

    stage.step("it is acknowledged")
    pipe.iir = 0
    stage.check("identity register after a 0 was written", pipe.iir, bit)
    pipe.iir = bit
    stage.check("identity register after a 1 was written", pipe.iir, 0)
    stage.check("master register", int(master.control), _ENABLE)
    stage.host_view("the interrupt line is active", lambda vgpu: vgpu.interrupts.asserted, False)


@scenario()
def interrupt_message(stage: Stage) -> None:
    """A message is sent when the master register is on, anew at each switching on while something is pending, and never otherwise."""
    guest = stage.guest
    bit = flip_bit(stage.platform)
    pipe, master = InterruptGroup(guest.mmio, "PIPE_A"), MasterInterrupt(guest.mmio)
    stage.step("the function may send messages")
    function = send_messages(guest)
    messages = guest.listen()
    pipe.imr, pipe.ier = ~bit & _ALL, bit

    def received(what: str, expected: int) -> None:
        assert master.control is not None  # the read pushes every write ahead of it
        guest.wait(1_000_000)
        stage.check(f"messages {what}", messages(), expected)

    stage.step("an event while the master register is off")
    flip(guest)
    received("so far", 0)

    stage.step("the master register is switched on")
    master.control = MasterControl(_ENABLE)
    received("so far", 1)

    stage.step("off and on again, with nothing acknowledged")
    master.control = MasterControl(0)
    received("while it is off", 1)
    master.control = MasterControl(_ENABLE)
    received("after it is on", 2)

    stage.step("off, acknowledged, and on again")
    master.control = MasterControl(0)
    pipe.iir = bit
    master.control = MasterControl(_ENABLE)
    received("so far", 2)
    flip(guest)
    received("after another event", 3)
    pipe.iir = bit

    stage.step("message-signalled interrupts are switched off")
    function.disable_msi()
    flip(guest)
    received("so far", 3)
    stage.host_view("messages sent", lambda vgpu: vgpu.interrupts_sent, 3)
    guest.machine.gpu.on_interrupt(None)


@scenario()
def interrupt_handler(stage: Stage) -> None:
    """The driver's handler serves an event and leaves the registers ready for the next one."""
    guest = stage.guest
    bit = flip_bit(stage.platform)
    pipe, master = InterruptGroup(guest.mmio, "PIPE_A"), MasterInterrupt(guest.mmio)
    stage.step("the driver probes, and flips are unmasked")
    driver = probed(stage)
    pipe.imr = int(pipe.imr) & ~bit
    before, idle_before = driver.interrupts.received, driver.interrupts.spurious
    sent: list[int] = []
    stage.host_does("remembers how many messages it has sent", lambda vgpu: sent.append(vgpu.interrupts_sent))

    for number in (1, 2, 3):
        stage.step(f"flip {number}")
        flip(guest)
        stage.check("interrupts the driver has served", driver.interrupts.received - before, number)
        stage.check("identity register", pipe.iir, 0)
        stage.check("master register", int(master.control), _ENABLE)
    stage.check("interrupts with nothing to tell", driver.interrupts.spurious - idle_before, 0)
    stage.host_view("messages sent", lambda vgpu: vgpu.interrupts_sent - sent[0], 3)


def _raising(event: Event) -> Callable[[Vgpu], None]:
    return lambda vgpu: vgpu.interrupts.raise_event(event)


@scenario()
def interrupt_gt_group(stage: Stage) -> None:
    """Events of the render and the copy engine share a group, and each has its own bit at the top."""
    guest = stage.guest
    group, master = InterruptGroup(guest.mmio, "GT0"), MasterInterrupt(guest.mmio)
    copy, render = CopyRenderInterrupt.bcs_user.mask, CopyRenderInterrupt.rcs_context_switch.mask
    stage.step("the copy engine's user interrupt and the render engine's context switch are wanted")
    group.iir = _ALL
    group.imr = ~(copy | render) & _ALL
    group.ier = copy | render
    stage.check("identity register", group.iir, 0)
    stage.check("mask and enable", (group.imr, group.ier), (~(copy | render) & _ALL, copy | render))

    stage.step("both happen, and one that is masked")
    happened = [
        stage.host_does(f"lets {event.name} happen", _raising(event))
        for event in (Event.BCS_USER, Event.RCS_CONTEXT_SWITCH, Event.RCS_USER)
    ]
    seen = copy | render if all(happened) else 0
    stage.check("identity register", group.iir, seen)
    stage.check("master register", int(master.control), MasterControl.of(rcs0=1, bcs0=1) if seen else 0)

    stage.step("the copy engine's is acknowledged")
    group.iir = copy
    stage.check("identity register", group.iir, seen & ~copy)
    stage.check("master register", int(master.control), MasterControl.of(rcs0=1) if seen else 0)


@scenario(needs=Needs(vgpus=2))
def second_vgpu_interrupts(stage: Stage) -> None:
    """An event of one guest interrupts that guest and not the other."""
    bit = flip_bit(stage.platform)
    stage.step("both guests wait for flips")
    messages = []
    for guest in stage.guests:
        send_messages(guest)
        messages.append(guest.listen())
        pipe = InterruptGroup(guest.mmio, "PIPE_A")
        pipe.imr, pipe.ier = ~bit & _ALL, bit
        MasterInterrupt(guest.mmio).control = MasterControl(_ENABLE)

    expected = [0, 0]
    for number in (1, 0):
        stage.step(f"{stage.guests[number].name} flips")
        flip(stage.guests[number])
        expected[number] += 1
        for guest in stage.guests:
            guest.wait(1_000_000)
        stage.check("messages to each", [count() for count in messages], expected)
        identities = [int(InterruptGroup(guest.mmio, "PIPE_A").iir) for guest in stage.guests]
        stage.check("identity registers", identities, [bit * count for count in expected])
    for index, guest in enumerate(stage.guests):
        stage.host_view("messages sent", lambda vgpu: vgpu.interrupts_sent, 1, guest=index)
        guest.machine.gpu.on_interrupt(None)
