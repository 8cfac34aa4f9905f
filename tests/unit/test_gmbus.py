"""The I2C controller with an HDMI monitor at its pins."""

from __future__ import annotations

import random
from typing import Final

import pytest
from support.displays import I2cBus, Nak, a_monitor
from support.vgpus import make_vgpu, send_messages_to

from host_model.device.display.monitor import Monitor
from host_model.mediator.vgpu import Vgpu
from pvinfo.connector import Link, connector_named
from pvinfo.edid import edid_for
from pvinfo.platform import platform_named

PINS: Final = {
    "bdw": {"B": 5, "C": 4},
    "skl": {"B": 5, "C": 4, "D": 6},
    "kbl": {"B": 5, "C": 4, "D": 6},
    "cfl": {"B": 1, "C": 2, "D": 4},
    "bxt": {"B": 1, "C": 2},
}
"""Source: linux:drivers/gpu/drm/i915/display/intel_hdmi.c (intel_hdmi_default_ddc_pin)"""
SELECT, COMMAND, STATUS, DATA, ENABLE = 0xC5100, 0xC5104, 0xC5108, 0xC510C, 0xC5110
READY, NAK, ACTIVE, WAIT, INTERRUPT = 1 << 11, 1 << 10, 1 << 9, 1 << 14, 1 << 12
SW_READY: Final = 1 << 30
READ_EDID: Final = SW_READY | 3 << 25 | 128 << 16 | 0x50 << 1 | 1
STOP: Final = SW_READY | 4 << 25
EDID: Final = edid_for("1024x768", Link.HDMI)


def _plugged(platform: str = "skl", connector: str = "HDMI-D") -> Vgpu:
    return make_vgpu(platform, monitor=a_monitor(platform, connector))


def _bus(platform: str = "skl", connector: str = "HDMI-D") -> I2cBus:
    return I2cBus(_plugged(platform, connector).mmio, PINS[platform][connector[-1]])


# ---- who answers ----


@pytest.mark.parametrize(("platform", "port"), [(platform, port) for platform, pins in PINS.items() for port in pins])
def test_a_monitor_answers_at_the_pins_of_its_port_and_nobody_at_the_others(platform: str, port: str) -> None:
    vgpu = _plugged(platform, f"HDMI-{port}")
    for pin in range(1, 8):
        bus = I2cBus(vgpu.mmio, pin)
        if pin == PINS[platform][port]:
            assert bus.edid(2) == EDID
        else:
            with pytest.raises(Nak):
                bus.edid()


def test_a_displayport_monitor_does_not_answer_at_pins() -> None:
    vgpu = make_vgpu(monitor=a_monitor("skl", "DP-D"))
    for pin in range(1, 8):
        with pytest.raises(Nak):
            I2cBus(vgpu.mmio, pin).edid()


@pytest.mark.parametrize("address", [0x40, 0x54, 0x37, 0x51])
def test_other_targets_do_not_answer_and_leave_the_bus_in_order(address: int) -> None:
    bus = _bus()
    bus.select()
    with pytest.raises(Nak):
        bus.read(address, 4)
    assert bus.edid(2) == EDID


def test_a_monitor_unplugged_in_the_middle_of_a_transfer_leaves_the_bus_free() -> None:
    vgpu = _plugged()
    vgpu.mmio.write32(SELECT, 6)
    vgpu.mmio.write32(COMMAND, READ_EDID)
    vgpu.mmio.read32(DATA)
    vgpu.display.unplug()
    last = vgpu.mmio.read32(DATA)
    assert vgpu.mmio.read32(DATA) == last == int.from_bytes(EDID[:4], "little")
    vgpu.mmio.write32(COMMAND, READ_EDID)
    assert vgpu.mmio.read32(STATUS) & (NAK | ACTIVE) == NAK


# ---- reading ----


def test_the_status_counts_what_is_left_and_ends_in_the_wait_phase() -> None:
    mmio = _plugged().mmio
    mmio.write32(SELECT, 6)
    mmio.write32(COMMAND, READ_EDID)
    found = b""
    for left in range(128, 0, -4):
        assert mmio.read32(STATUS) & (READY | NAK | ACTIVE | WAIT | 0x1FF) == READY | ACTIVE | left
        found += mmio.read32(DATA).to_bytes(4, "little")
    assert found == EDID[:128]
    assert mmio.read32(STATUS) & (READY | NAK | ACTIVE | WAIT | 0x1FF) == READY | ACTIVE | WAIT
    mmio.write32(COMMAND, STOP)
    assert mmio.read32(STATUS) & (READY | NAK | ACTIVE | WAIT) == READY


@pytest.mark.parametrize("length", [1, 2, 3, 5, 128, 255, 256, 300, 511])
def test_any_number_of_bytes_is_read_from_any_index(length: int) -> None:
    bus = _bus()
    bus.select()
    assert bus.read(0x50, length, index=120) == (EDID * 4)[120 : 120 + length]
    bus.stop()


def test_reading_goes_on_where_it_ended_without_an_index() -> None:
    bus = _bus()
    bus.select()
    assert bus.read(0x50, 6, index=54) + bus.read(0x50, 12) == EDID[54:72]
    bus.stop()


def test_a_written_index_serves_as_one_sent_with_the_command() -> None:
    bus = _bus()
    bus.select()
    bus.write(0x50, b"\x80\x99\x99\x99\x99\x99")
    assert bus.read(0x50, 16) == EDID[128:144]
    bus.stop()


def test_of_an_index_of_two_bytes_the_first_counts() -> None:
    bus = _bus()
    bus.select()
    assert bus.read(0x50, 8, wide_index=0x3600) == EDID[54:62]
    bus.stop()


def test_more_than_511_bytes_are_read_with_the_count_overridden() -> None:
    bus = _bus("kbl")
    bus.select(override=True)
    assert bus.read(0x50, 600, index=0, field=600 % 256 + 256) == (EDID * 3)[:600]
    bus.stop()


def test_taking_the_override_back_in_the_middle_does_not_disturb_the_transfer() -> None:
    mmio = _plugged("kbl").mmio
    mmio.write32(SELECT, 6 | 1 << 6)
    mmio.write32(COMMAND, SW_READY | 3 << 25 | 344 << 16 | 0x50 << 1 | 1)
    found = b"".join(mmio.read32(DATA).to_bytes(4, "little") for _ in range(65))
    mmio.write32(SELECT, 6)
    found += b"".join(mmio.read32(DATA).to_bytes(4, "little") for _ in range(85))
    assert found == (EDID * 3)[:600]
    assert mmio.read32(STATUS) & WAIT == WAIT


def test_extension_blocks_are_reached_by_the_segment() -> None:
    base = bytearray(EDID[:128])
    extensions = b"".join(bytes((0x70 + number,)) * 127 + bytes((-127 * (0x70 + number) & 0xFF,)) for number in range(4))
    base[126] = 4
    base[127] = -sum(base[:127]) & 0xFF
    whole = bytes(base) + extensions
    vgpu = make_vgpu(monitor=Monitor(connector_named("HDMI-D", platform_named("skl")), whole))
    assert I2cBus(vgpu.mmio, 6).edid(5) == whole
    assert I2cBus(vgpu.mmio, 6).edid(1) == whole[:128]


def test_a_transfer_with_a_stop_in_it_lets_go_of_the_bus_by_itself() -> None:
    mmio = _plugged().mmio
    mmio.write32(SELECT, 6)
    mmio.write32(COMMAND, SW_READY | 6 << 25 | 4 << 16 | 8 << 8 | 0x50 << 1 | 1)
    assert mmio.read32(DATA).to_bytes(4, "little") == EDID[8:12]
    assert mmio.read32(STATUS) & (READY | ACTIVE | WAIT) == READY


@pytest.mark.parametrize("end", [(SELECT, 0), (SELECT, 5), (COMMAND, 1 << 31), (COMMAND, STOP)])
def test_a_transfer_can_be_broken_off(end: tuple[int, int]) -> None:
    mmio = _plugged().mmio
    mmio.write32(SELECT, 6)
    mmio.write32(COMMAND, READ_EDID)
    mmio.read32(DATA)
    mmio.write32(*end)
    assert mmio.read32(STATUS) & (READY | NAK | ACTIVE | WAIT | 0x1FF) == READY
    mmio.write32(COMMAND, 0)
    assert I2cBus(mmio, 6).edid(2) == EDID


def test_a_device_reset_frees_the_bus() -> None:
    vgpu = _plugged()
    vgpu.mmio.write32(SELECT, 6)
    vgpu.mmio.write32(COMMAND, READ_EDID)
    vgpu.reset()
    assert vgpu.mmio.read32(STATUS) & (NAK | ACTIVE | WAIT) == 0
    assert not vgpu.display.transfer.active
    assert I2cBus(vgpu.mmio, 6).edid(2) == EDID


# ---- interrupts ----


def _listening(platform: str = "skl", connector: str = "HDMI-D") -> tuple[Vgpu, list[int], int]:
    vgpu = _plugged(platform, connector)
    told: list[int] = []
    send_messages_to(vgpu, told)
    group = 0x44440 if platform == "bxt" else 0xC4000
    vgpu.mmio.write32(group + 4, 0)
    vgpu.mmio.write32(group + 12, 0xFFFFFFFF)
    vgpu.mmio.write32(0x44200, 1 << 31)
    told.clear()
    return vgpu, told, group


def _acknowledge(vgpu: Vgpu, told: list[int], group: int) -> int:
    count = len(told)
    vgpu.mmio.write32(group + 8, 0xFFFFFFFF)
    told.clear()
    return count


@pytest.mark.parametrize(("platform", "connector", "bit"), [("skl", "HDMI-D", 17), ("bdw", "HDMI-B", 17), ("bxt", "HDMI-B", 1)])
def test_what_is_waited_for_interrupts_when_it_is_so(platform: str, connector: str, bit: int) -> None:
    vgpu, told, group = _listening(platform, connector)
    mmio = vgpu.mmio
    mmio.write32(SELECT, PINS[platform][connector[-1]])
    mmio.write32(COMMAND, SW_READY | 3 << 25 | 8 << 16 | 0x50 << 1 | 1)
    assert told == [], "nothing was asked for"
    mmio.write32(ENABLE, 1)
    assert mmio.read32(group + 8) == 1 << bit
    assert mmio.read32(STATUS) & INTERRUPT
    assert _acknowledge(vgpu, told, group) == 1
    mmio.read32(DATA)
    assert _acknowledge(vgpu, told, group) == 1, "the next four bytes are ready"
    mmio.write32(ENABLE, 2)
    assert told == []
    mmio.read32(DATA)
    assert _acknowledge(vgpu, told, group) == 1, "the wait phase has begun"
    mmio.write32(ENABLE, 4)
    assert told == []
    mmio.write32(COMMAND, STOP)
    assert _acknowledge(vgpu, told, group) == 1, "the bus is free"
    mmio.write32(ENABLE, 0x1F)
    assert told == []


def test_a_nak_interrupts_who_waits_for_it_and_not_who_waits_for_bytes() -> None:
    vgpu, told, group = _listening()
    vgpu.mmio.write32(SELECT, 5)
    vgpu.mmio.write32(ENABLE, 1)
    vgpu.mmio.write32(COMMAND, READ_EDID)
    assert told == []
    vgpu.mmio.write32(ENABLE, 8)
    assert _acknowledge(vgpu, told, group) == 1


# ---- hostile ----


@pytest.mark.parametrize("seed", range(4))
def test_commands_at_random_never_raise_and_never_keep_the_bus(seed: int) -> None:
    chosen = random.Random(seed)
    vgpu = _plugged(chosen.choice(("skl", "kbl")))
    mmio = vgpu.mmio
    for _ in range(3000):
        offset = chosen.choice((SELECT, COMMAND, COMMAND, COMMAND, STATUS, DATA, DATA, ENABLE, 0xC5120, 0xC5010, 0xC5020))
        if chosen.random() < 0.4:
            mmio.read32(offset)
            continue
        value = chosen.getrandbits(32)
        if offset == SELECT:
            value = chosen.choice((6, 6, 6, 0, 5, 6 | 1 << 6, value))
        elif offset == COMMAND and chosen.random() < 0.8:
            value = value & 0x0FFF00FF | SW_READY | chosen.choice((0x50, 0x50, 0x30, 0x40)) << 1
            value = value & ~0xFE | chosen.choice((0x50, 0x50, 0x30, 0x40)) << 1
        mmio.write32(offset, value)
        status = mmio.read32(STATUS)
        assert status & READY
        assert not (status & NAK and status & ACTIVE)
    mmio.write32(COMMAND, 1 << 31)
    mmio.write32(COMMAND, 0)
    mmio.write32(0xC5120, 0)
    assert I2cBus(mmio, 6).edid(2) == EDID
