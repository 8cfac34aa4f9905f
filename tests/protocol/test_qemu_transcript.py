"""What QEMU 11.1 sends to a device of this shape, from its start to a guest's reset, replayed message by message.

The order and the numbers were recorded from ``-device vfio-user-pci`` on a q35 machine, with KVM and without.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from pvinfo.vfio_user import DEVICE_INFO, HEADER, IRQ_INFO, REGION_INFO, Command, DeviceFlags, DeviceInfo, IrqFlags, IrqInfo, RegionFlags, RegionInfo
from support.plain_device import MSI_AT, POWER_AT, PlainDevice
from support.vfio_wire import (
    NO_REPLY,
    QEMU_CAPABILITIES,
    Irq,
    Raw,
    Served,
    dma_map,
    dma_unmap,
    memfd,
    message,
    open_fds,
    region_read,
    region_write,
    set_irqs,
    version,
)

RAM = 256 << 20
CONFIG = 7
CONNECT, DISCONNECT = Irq.EVENTFD | Irq.TRIGGER, Irq.NONE | Irq.TRIGGER


class Sent(NamedTuple):
    """One request, what comes with it, and how long the reply's body is (None: there is none)."""

    request: bytes
    fds: str = ""
    reply: int | None = 0


def region_info(region: int) -> Sent:
    return Sent(message(Command.DEVICE_GET_REGION_INFO, REGION_INFO.pack(RegionInfo(32, RegionFlags(0), region, 0, 0, 0))), reply=32)


def read(offset: int, length: int) -> Sent:
    return Sent(region_read(CONFIG, offset, length), reply=16 + length)


def write(offset: int, length: int, value: int) -> Sent:
    return Sent(region_write(CONFIG, offset, value.to_bytes(length, "little")), reply=16)


def arm_pin(kvm: bool) -> list[Sent]:
    armed = [Sent(set_irqs(0, CONNECT, count=1), "event")]
    if kvm:
        armed += [
            Sent(set_irqs(0, Irq.NONE | Irq.MASK, count=1)),
            Sent(set_irqs(0, Irq.EVENTFD | Irq.UNMASK, count=1), "event"),
            Sent(set_irqs(0, Irq.NONE | Irq.UNMASK, count=1)),
        ]
    return armed


def realize(kvm: bool) -> Iterator[Sent]:
    """Up to the machine's first instruction."""
    yield Sent(version(QEMU_CAPABILITIES), reply=None)
    yield Sent(dma_map(0, RAM), "ram")
    yield Sent(dma_map(0xFFFC0000, 0x40000, flags=1))
    yield Sent(message(Command.DEVICE_GET_INFO, DEVICE_INFO.pack(DeviceInfo(16, DeviceFlags(0), 0, 0))), reply=16)
    yield from (region_info(region) for region in (0, 1, 2, 3, 4, 5, 7))
    yield Sent(message(Command.DEVICE_GET_IRQ_INFO, IRQ_INFO.pack(IrqInfo(16, IrqFlags(0), 3, 0))), reply=16)
    yield read(0, 4096)
    yield from (read(0x30, 4), write(0x30, 4, 0xFFFFF800), read(0x30, 4), write(0x30, 4, 0))
    yield from (read(0x10, 4), read(0x18, 4), read(MSI_AT + 2, 2), read(0x3D, 1), read(0x3D, 1))
    yield from arm_pin(kvm)
    yield Sent(set_irqs(3, CONNECT, count=1), "event")


def reset(kvm: bool) -> Iterator[Sent]:
    """A reset of the machine, as at its start."""
    if kvm:
        yield Sent(set_irqs(0, Irq.NONE | Irq.MASK, count=1))
        yield Sent(set_irqs(0, Irq.NONE | Irq.UNMASK, count=1))
    yield Sent(set_irqs(0, DISCONNECT))
    yield from (read(0x04, 2), write(0x04, 2, 0), read(POWER_AT + 4, 2))
    yield Sent(message(Command.DEVICE_RESET))
    yield read(0x3D, 1)
    yield from arm_pin(kvm)
    yield from (write(0x10 + 4 * bar, 4, 0) for bar in range(6))


def firmware() -> Iterator[Sent]:
    """Memory around the shadowed ROMs, sizes and places of the windows."""
    for _ in range(4):
        yield Sent(dma_unmap(0, RAM), reply=24)
        yield Sent(dma_map(0, 0xC0000), "ram")
        yield Sent(dma_map(0xC0000, 0x20000, flags=1))
        yield Sent(dma_map(0xE0000, 0x20000, flags=1))
        yield Sent(dma_map(0x100000, RAM - 0x100000, offset=0x100000), "ram")
        for address, size in ((0, 0xC0000), (0xC0000, 0x20000), (0xE0000, 0x20000), (0x100000, RAM - 0x100000)):
            yield Sent(dma_unmap(address, size), reply=24)
        yield Sent(dma_map(0, RAM), "ram")
    for offset in (0x00, 0x0A, 0x0E):
        yield read(offset, 2)
    for bar in range(6):
        yield from (write(0x10 + 4 * bar, 4, 0xFFFFFFFF), write(0x10 + 4 * bar, 4, 0))
    yield from (write(0x10, 4, 0xFD000000), write(0x14, 4, 0), write(0x18, 4, 0xE0000000), write(0x1C, 4, 0))
    yield from (read(0x3D, 1), write(0x3C, 1, 0x0A), read(0x04, 2), write(0x04, 2, 0x0103))
    yield from (write(0x30, 4, 0xFFFFFFFE), region_info(6), write(0x30, 4, 0))


def driver() -> Iterator[Sent]:
    """A driver that maps the registers and switches on message interrupts."""
    yield write(0x04, 2, 0x0006)
    for width in (1, 2, 4, 8):
        yield Sent(region_read(0, 0x78000 & 0xFFF8, width), reply=16 + width)
        yield Sent(region_write(0, 0x100, bytes(width), flags=NO_REPLY), reply=None)
    yield from (write(MSI_AT + 4, 4, 0xFEE00000), write(MSI_AT + 8, 2, 0x4041), write(MSI_AT + 2, 2, 0x0001))
    yield Sent(set_irqs(0, DISCONNECT))
    yield Sent(set_irqs(1, CONNECT, count=1), "event")


@pytest.mark.parametrize("kvm", [False, True], ids=["tcg", "kvm"])
def test_everything_that_qemu_sends_is_answered_and_nothing_refused(tmp_path: Path, kvm: bool) -> None:
    device = PlainDevice()
    with Served(tmp_path, device) as served:
        client = served.connect(opened=False)
        ram, event = memfd(RAM, b"vectors"), os.eventfd(0, os.EFD_NONBLOCK)
        before = open_fds()
        number = 0
        for sent in (*realize(kvm), *reset(kvm), *firmware(), *driver()):
            replay(client, sent, number, {"": (), "ram": (ram,), "event": (event,)}[sent.fds])
            number += 1
        assert device.resets == 1
        assert served.ram.read(0, 7) == b"vectors"
        device.interrupt()
        assert os.eventfd_read(event) == 1
        for sent in reset(kvm):
            replay(client, sent, number, {"": (), "event": (event,)}[sent.fds])
        assert device.resets == 2
        assert len(served.findings) == 0
        client.close()
        assert served.until(lambda: not served.served.connected)
        assert open_fds() == before - 1, "but for the client's own socket"
        os.close(ram)
        os.close(event)


def replay(client: Raw, sent: Sent, number: int, fds: Sequence[int]) -> None:
    """Send one request as number ``number``, and hold its reply to what is expected."""
    command = int.from_bytes(sent.request[2:4], "little")
    client.send(number.to_bytes(2, "little") + sent.request[2:], fds)
    if sent.reply is None and command != Command.VERSION:
        return
    header = HEADER.unpack_from(client.receive(HEADER.size).data)
    assert (header.id, header.command, int(header.flags), header.errno) == (number, command, 1, 0)
    if sent.reply is not None:
        assert header.size == HEADER.size + sent.reply
    assert header.size <= max(len(sent.request), HEADER.size + (sent.reply or 0))
    assert len(client.receive(header.size - HEADER.size).data) == header.size - HEADER.size


def test_maps_that_are_not_waited_for_one_by_one_are_answered_in_order(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        client = served.connect()
        ram = memfd(RAM)
        client.send(dma_map(0, 0xC0000, number=1), (ram,))
        client.send(dma_map(0xC0000, 0x40000, flags=1, number=2))
        client.send(dma_map(0x100000, RAM - 0x100000, offset=0x100000, number=3), (ram,))
        client.send(dma_unmap(0xC0000, 0x40000, number=4))
        client.send(dma_map(0xC0000, 0x40000, offset=0xC0000, number=5), (ram,))
        answers = client.receive(16 * 4 + 40).data
        assert [int.from_bytes(answers[at : at + 2], "little") for at in (0, 16, 32, 48, 88)] == [1, 2, 3, 4, 5]
        assert list(served.ram.ranges()) == [(0, 0xC0000, True), (0xC0000, 0x100000, True), (0x100000, RAM, True)]
        os.close(ram)
