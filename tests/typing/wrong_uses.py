"""Wrong uses of the public interface: each must be refused, or mypy reports an unused ignore."""

from __future__ import annotations

from guest_driver import Batch, GuestDriver
from pvinfo.bits import Bits, flag
from pvinfo.bus import Machine
from pvinfo.page import VGT_IF, GraphicsRange, PvInfo
from pvinfo.platform import Engine
from pvinfo.register import Register, RegisterBlock
from host_model import Host


class Widget(Bits):
    ready = flag(0, "it can be used")


class WidgetBlock(RegisterBlock, bases={"W0": 0x1000}, source="test"):
    state = Register(0x0, Widget, "state of the widget")


def wrong(machine: Machine) -> None:
    bar = machine.gpu.bar(0)
    WidgetBlock(bar, "W0")  # type: ignore[arg-type]
    assert bar is not None
    block = WidgetBlock(bar, "W0")
    block.state = "ready"  # type: ignore[assignment]
    block.state = 1  # type: ignore[assignment]
    _ = block.status  # type: ignore[attr-defined]
    _ = block.state.steady  # type: ignore[attr-defined]
    WidgetBlock("no bus", "W0")  # type: ignore[arg-type]
    _ = PvInfo(bar).magic  # type: ignore[attr-defined]
    VGT_IF.build(GraphicsRange(0, 1))  # type: ignore[arg-type]
    VGT_IF.parse("text")  # type: ignore[arg-type]
    Host(7)  # type: ignore[arg-type]
    machine.memory.write("address", b"")  # type: ignore[arg-type]


def wrong_work(driver: GuestDriver, batch: Batch) -> None:
    driver.submit("rcs0", batch)  # type: ignore[arg-type]
    driver.submit(Engine.RCS0, "commands")  # type: ignore[arg-type]
    driver.fill(driver.create_buffer(4096), "red")  # type: ignore[arg-type]
    batch.store_dword("address", 1)  # type: ignore[arg-type]
    batch.xy_color_blt(driver.create_buffer(4096), (0, 0, 1, 1), 0)  # type: ignore[arg-type]
    _ = batch.draw_triangle  # type: ignore[attr-defined]
    driver.submit(Engine.RCS0, batch).wait()  # type: ignore[call-arg]
