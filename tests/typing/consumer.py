"""A program of somebody else's that uses the public interface; it is only type-checked."""

from __future__ import annotations

from typing import assert_type

from pvinfo.bits import Bits, UInt, flag, uint
from pvinfo.bus import Machine, Region
from pvinfo.errors import HostRefused
from pvinfo.page import VGT_IF, Capability, PvInfo, VgtIf
from pvinfo.register import Register, RegisterBlock
from host_model import Host, Vgpu


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


def both_sides() -> None:
    vgpu, machine = Host("skl").plug("GVTg_V5_8")
    assert_type(vgpu, Vgpu)
    seen: Machine = machine
    assert_type(seen.clock.now_ns(), int)


def refusal(error: HostRefused) -> str:
    return error.rule
