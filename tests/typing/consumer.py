"""A program of somebody else's that uses the public interface; it is only type-checked."""

from __future__ import annotations

from typing import assert_type

from guest_driver import (
    ApertureView,
    Batch,
    BufferObject,
    Client,
    Context,
    DriverState,
    EngineState,
    Ggtt,
    GtState,
    GuestDriver,
    Priority,
    Rectangle,
    Request,
    Resources,
    Streamer,
    Submittable,
    Tiling,
    alu,
)
from pvinfo.bits import Bits, UInt, flag, uint
from pvinfo.bus import Machine, Region
from pvinfo.commands.mi import AluOpcode, AluOperand, AtomicOpcode, SemaphoreCompare
from pvinfo.errors import HostRefused
from pvinfo.page import VGT_IF, Capability, PvInfo, VgtIf
from pvinfo.platform import Engine
from pvinfo.register import Register, RegisterBlock
from host_model import Choice, Host, TurnTaken, Vgpu, draw_timeline


class Widget(Bits):
    ready = flag(0, "it can be used")
    length = uint(4, 8, "how long it is")


class WidgetBlock(RegisterBlock, bases={"W0": 0x1000}, source="test"):
    state = Register(0x0, Widget, "state of the widget")
    count = Register(0x4, int, "uses so far")


def records(data: bytes) -> None:
    page = VGT_IF.parse(data)
    assert_type(page, VgtIf)
    assert_type(page.avail_rs.fence_num, int)
    assert_type(page.pdp[0].lo, int)
    assert_type(VGT_IF.build(page), bytes)


def registers(machine: Machine) -> None:
    bar = machine.gpu.bar(0)
    assert_type(bar, Region | None)
    assert bar is not None
    assert_type(WidgetBlock.state, Register[Widget])
    block = WidgetBlock(bar, "W0")
    assert_type(block.state, Widget)
    assert_type(block.state.ready, bool)
    assert_type(block.state.length, int)
    assert_type(Widget.length, UInt)
    assert_type(block.count, int)
    block.state = Widget.of(ready=True)
    assert_type(PvInfo(bar).vgt_caps, Capability)


class FirstComeFirstServed:
    """A scheduler of somebody else's: no class of ours is above it."""

    name = "first come, first served"

    def __init__(self) -> None:
        self._line: list[int] = []

    def came(self, vgpu: int, weight: int, now_ns: int) -> None: ...
    def left(self, vgpu: int, now_ns: int) -> None: ...
    def started(self, vgpu: int, now_ns: int) -> None: ...
    def stopped(self, vgpu: int, now_ns: int) -> None: ...
    def given(self, vgpu: int | None, now_ns: int) -> None: ...
    def used(self, vgpu: int, held_ns: int, busy_ns: int) -> None: ...

    def ready(self, vgpu: int, now_ns: int) -> None:
        self._line.append(vgpu)

    def idle(self, vgpu: int, now_ns: int) -> None:
        self._line.remove(vgpu)

    def choose(self, current: int | None, now_ns: int) -> Choice:
        return Choice(self._line[0] if self._line else current)

    def worst_wait_ns(self, vgpu: int, longest_ns: int) -> int | None:
        return None


def schedule() -> str:
    host = Host(scheduler=FirstComeFirstServed())
    turns = host.mediator.turn.timeline.turns
    assert_type(turns, tuple[TurnTaken, ...])
    return draw_timeline(turns, {vgpu.number: vgpu.type.name for vgpu in host.vgpus.values()})


def both_sides() -> None:
    vgpu, machine = Host("skl").plug("GVTg_V5_8")
    assert_type(vgpu, Vgpu)
    seen: Machine = machine
    assert_type(seen.clock.now_ns(), int)


def work(machine: Machine) -> int:
    driver = GuestDriver(machine)
    driver.probe()
    assert_type(driver.state, DriverState)
    assert_type(driver.gt_state, GtState)
    assert_type(driver.resources, Resources)
    assert_type(driver.ggtt, Ggtt)
    buffer = driver.create_buffer(4096, "result", page_size=65536)
    assert_type(buffer, BufferObject)
    assert_type(buffer.gpu_address, int)
    batch = Batch()
    batch.store_dword(buffer.gpu_address, 1)
    batch.atomic(AtomicOpcode.INCREMENT, buffer.gpu_address)
    batch.math([alu(AluOpcode.LOAD, AluOperand.SRCA, AluOperand.R1)])
    batch.semaphore_wait(buffer.gpu_address, 2, SemaphoreCompare.EQUAL)
    assert_type(batch.words, tuple[int, ...])
    first = driver.submit(Engine.RCS0, batch)
    assert_type(first, Request)
    works: list[Submittable] = [batch, (0, 0), b"\0" * 8, buffer]
    later = [driver.submit(Engine.BCS0, each, after=[first], priority=Priority.LOWEST, preemptible=False) for each in works]
    surface = driver.create_surface(640, 480, 16, Tiling.X)
    assert_type(driver.fill(surface, 0xFFFF, Rectangle(0, 0, 8, 8), after=later), Request)
    assert_type(driver.copy(surface, surface, Rectangle(0, 0, 8, 8), to=(8, 8)), Request)
    assert_type(surface.read_row(0, 0, 4), bytes)
    first.wait(1_000_000)
    assert_type(first.complete, bool)
    assert_type(driver.wait_idle(1_000_000), bool)
    assert_type(driver.gt.engines, dict[Engine, Streamer])
    assert_type(driver.gt.error_states, list[EngineState])
    with driver.open_client("mine") as client, surface.map_aperture() as view:
        assert_type(client, Client)
        assert_type(view, ApertureView)
        context = client.create_context(Engine.VCS0, "second")
        assert_type(context, Context)
        assert_type(client.submit(Engine.VCS0, (0,), context=context), Request)
    driver.unload()
    return buffer.read_dword(0)


def refusal(error: HostRefused) -> str:
    return error.rule
