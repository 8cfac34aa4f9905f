"""The AUX channel with a DisplayPort monitor behind it: DPCD, link training, I2C."""

from __future__ import annotations

import random

import pytest
from support.displays import BUSY, DONE, INTERRUPT, TIMED_OUT, AuxLine, a_monitor
from support.vgpus import make_vgpu, send_messages_to

from host_model.device.display.monitor import Monitor
from pvinfo.connector import Link, Port, connectors_of, default_connector
from pvinfo.edid import edid_for
from pvinfo.platform import PLATFORMS, platform_named

_CONTROL = {"A": 0x64010, "B": 0x64110, "C": 0x64210, "D": 0x64310}
_GEN8_CONTROL = {"A": 0x64010, "B": 0xE4110, "C": 0xE4210}


def _line(platform: str = "skl", connector: str = "DP-D", resolution: str = "1024x768") -> AuxLine:
    controls = _GEN8_CONTROL if platform == "bdw" else _CONTROL
    return AuxLine(make_vgpu(platform, monitor=a_monitor(platform, connector, resolution)).mmio, controls[connector[-1]])


# ---- who answers ----


@pytest.mark.parametrize(
    ("platform", "port"), [(name, connector.port) for name in PLATFORMS for connector in connectors_of(platform_named(name)) if connector.link is Link.DISPLAYPORT]
)
def test_a_monitor_answers_on_the_channel_of_its_port_and_nobody_on_the_others(platform: str, port: Port) -> None:
    letter = port.value
    controls = _GEN8_CONTROL if platform == "bdw" else _CONTROL
    vgpu = make_vgpu(platform, monitor=a_monitor(platform, f"DP-{letter}"))
    for other, control in controls.items():
        reply = AuxLine(vgpu.mmio, control).ask(bytes((0x90, 0, 0, 0)))
        assert reply == (b"\x00\x12" if other == letter else b"")


def test_an_hdmi_monitor_does_not_answer_on_the_aux_channel() -> None:
    vgpu = make_vgpu(monitor=a_monitor("skl", "HDMI-D"))
    assert AuxLine(vgpu.mmio, _CONTROL["D"]).ask(bytes((0x90, 0, 0, 0))) == b""


def test_a_monitor_that_is_unplugged_answers_no_more() -> None:
    vgpu = make_vgpu(monitor=a_monitor("skl", "DP-D"))
    line = AuxLine(vgpu.mmio, _CONTROL["D"])
    assert line.read(0, 1) == b"\x12"
    vgpu.display.unplug()
    assert line.ask(bytes((0x90, 0, 0, 0))) == b""


@pytest.mark.parametrize("platform", ["bdw", "skl", "bxt"])
def test_an_answer_interrupts_if_that_is_asked_for(platform: str) -> None:
    port = default_connector(platform_named(platform)).port.value
    vgpu = make_vgpu(platform, monitor=a_monitor(platform, f"DP-{port}"))
    told: list[int] = []
    send_messages_to(vgpu, told)
    group = 0xC4000 if platform == "bdw" else 0x44440
    vgpu.mmio.write32(group + 4, 0)
    vgpu.mmio.write32(group + 12, 0xFFFFFFFF)
    vgpu.mmio.write32(0x44200, 1 << 31)
    told.clear()
    line = AuxLine(vgpu.mmio, (_GEN8_CONTROL if platform == "bdw" else _CONTROL)[port])
    line.send(bytes((0x90, 0, 0, 0)))
    assert told == []
    assert line.send(bytes((0x90, 0, 0, 0)), flags=INTERRUPT) & (BUSY | DONE | TIMED_OUT) == DONE
    assert len(told) == 1
    bit = {"B": 25, "C": 26, "D": 27}[port]
    assert vgpu.mmio.read32(group + 8) == 1 << bit


def test_the_outcome_is_acknowledged_by_writing_it_back() -> None:
    line = _line()
    status = line.send(bytes((0x90, 0, 0, 0)))
    line.mmio.write32(line.control, status)
    assert line.mmio.read32(line.control) & (BUSY | DONE | TIMED_OUT) == 0


# ---- registers ----


def test_the_monitor_is_of_displayport_1_2_with_four_fast_lanes() -> None:
    line = _line()
    assert line.read(0, 15) == bytes((0x12, 0x14, 0x84, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0))
    assert line.read(0x200, 1) == b"\x01"
    assert line.read(0x600, 1) == b"\x01"


@pytest.mark.parametrize("address", [0x700, 0x6F8, 0x2200, 0xF0000, 0xFFFF8])
def test_what_the_monitor_has_not_reads_zero(address: int) -> None:
    line = _line()
    assert line.read(address, 16) == bytes(16)
    line.write(address, *([0xFF] * 16))
    assert line.read(address, 16) == bytes(16)


@pytest.mark.parametrize("address", [0x000, 0x021, 0x200, 0x202, 0x204, 0x205])
def test_what_the_monitor_says_of_itself_cannot_be_written(address: int) -> None:
    line = _line()
    before = line.read(address, 1)
    line.write(address, 0xFF)
    assert line.read(address, 1) == before


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        (bytes((0x90, 0, 0, 16)), b"\x10"),
        (bytes((0x90, 0, 0, 255)), b"\x10"),
        (bytes((0x80, 1, 0, 1, 6)), b"\x10"),
        (bytes((0x80, 1, 0, 0, 6, 6)), b"\x10"),
        (bytes((0x90, 0, 0, 0, 0)), b"\x10"),
        (bytes((0xA0, 0, 0, 0)), b"\x10"),
        (bytes((0x90, 0, 0)), b"\x00"),
        (bytes((0x40, 0, 0x50, 4, 0)), b"\x40"),
        (bytes((0x90, 0)), b""),
        (b"", b""),
    ],
)
def test_a_message_that_contradicts_itself_is_refused(message: bytes, reply: bytes) -> None:
    assert _line().ask(message) == reply


# ---- the link ----


def _status(line: AuxLine) -> tuple[int, int, int]:
    first, second, alignment, in_sync, *adjust = line.read(0x202, 6)
    assert adjust == [0, 0] and in_sync in (0, 1)
    return first, second, alignment


@pytest.mark.parametrize(
    ("lanes", "recovered", "equalised"), [(1, (0x01, 0x00), (0x07, 0x00)), (2, (0x11, 0x00), (0x77, 0x00)), (4, (0x11, 0x11), (0x77, 0x77))]
)
@pytest.mark.parametrize("rate", [0x06, 0x0A, 0x14])
def test_the_lanes_in_use_train_pattern_by_pattern(lanes: int, rate: int, recovered: tuple[int, int], equalised: tuple[int, int]) -> None:
    line = _line()
    line.write(0x100, rate, 0x80 | lanes)
    assert _status(line) == (0, 0, 0)
    line.write(0x102, 0x21, *([0] * lanes))
    assert _status(line) == (*recovered, 0)
    line.write(0x102, 0x22 if rate < 0x14 else 0x23, *([0] * lanes))
    assert _status(line) == (*equalised, 1)
    assert line.read(0x205, 1) == b"\0", "no picture while the pattern is sent"
    line.write(0x102, 0)
    assert _status(line) == (*equalised, 1)
    assert line.read(0x205, 1) == b"\x01"


def test_channels_do_not_equalise_without_a_clock() -> None:
    line = _line()
    line.write(0x100, 0x06, 0x82)
    line.write(0x102, 0x22)
    assert _status(line) == (0, 0, 0)


@pytest.mark.parametrize(("rate", "lanes"), [(0x1E, 0x84), (0, 0x84), (0x14, 0x80), (0x14, 0x83), (0x14, 0x85)])
def test_nothing_is_heard_at_a_rate_or_on_lanes_that_the_monitor_has_not(rate: int, lanes: int) -> None:
    line = _line()
    line.write(0x100, rate, lanes)
    line.write(0x102, 0x21)
    assert _status(line) == (0, 0, 0)


@pytest.mark.parametrize("loss", [(0x100, 0x0A), (0x101, 0x84), (0x600, 2), (0x102, 0x21)])
def test_the_link_is_lost_when_it_is_changed_or_the_monitor_switched_off(loss: tuple[int, int]) -> None:
    line = _line()
    line.write(0x100, 0x06, 0x82)
    for pattern in (0x21, 0x22, 0):
        line.write(0x102, pattern)
    line.write(0x100, 0x06, 0x82)
    assert _status(line) == (0x77, 0, 1), "the same again changes nothing"
    line.write(*loss)
    assert _status(line) == ((0x11, 0, 0) if loss[0] == 0x102 else (0, 0, 0))
    assert line.read(0x205, 1) == b"\0"


def test_a_monitor_that_is_off_hears_messages_but_no_pattern_until_it_is_on_again() -> None:
    line = _line()
    line.write(0x600, 2)
    line.write(0x100, 0x06, 0x81)
    line.write(0x102, 0x21)
    assert (line.read(0x600, 1), _status(line)) == (b"\x02", (0, 0, 0))
    line.write(0x600, 1)
    line.write(0x102, 0x21)
    assert _status(line) == (0x01, 0, 0)


# ---- I2C ----


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_edid_is_read_over_i2c(platform: str) -> None:
    connector = default_connector(platform_named(platform))
    line = _line(platform, str(connector), "1920x1200")
    assert line.edid() == edid_for("1920x1200")


def test_reading_begins_at_the_index_that_was_written_and_goes_on() -> None:
    line = _line()
    edid = edid_for("1024x768")
    line.i2c_start(0x50, reading=False)
    line.i2c_write(0x50, 54)
    line.i2c_start(0x50, reading=True)
    assert line.i2c_read(0x50, 2) + line.i2c_read(0x50, 16) == edid[54:72]
    line.i2c_stop()
    line.i2c_start(0x50, reading=True)
    assert line.i2c_read(0x50, 1) == edid[72:73], "the index outlives the transaction"


def test_reading_past_the_edid_gives_zeros_and_comes_round_after_256_bytes() -> None:
    line = _line()
    line.i2c_write(0x50, 0x78)
    read = b"".join(line.i2c_read(0x50, 16) for _ in range(9))
    assert read == edid_for("1024x768")[0x78:] + bytes(128) + edid_for("1024x768")[:8]


def test_extension_blocks_are_reached_by_the_segment() -> None:
    base = bytearray(edid_for("1024x768"))
    extensions = b"".join(bytes((0x70 + number,)) * 127 + bytes((-127 * (0x70 + number) & 0xFF,)) for number in range(4))
    base[126] = 4
    base[127] = -sum(base[:127]) & 0xFF
    whole = bytes(base) + extensions
    vgpu = make_vgpu(monitor=Monitor(default_connector(platform_named("skl")), whole))
    line = AuxLine(vgpu.mmio, _CONTROL["D"])
    assert line.edid(5) == whole
    assert line.edid(1) == whole[:128], "the segment is forgotten at the end of a transaction"


@pytest.mark.parametrize(("address", "reading"), [(0x40, False), (0x54, True), (0x37, False), (0x30, True)])
def test_other_i2c_targets_do_not_answer(address: int, *, reading: bool) -> None:
    line = _line()
    assert line.i2c_start(address, reading=reading) == 0x40


def test_asking_how_a_write_went_is_answered_while_one_is_under_way() -> None:
    line = _line()
    assert line.ask(bytes((0x60, 0, 0x50))) == b"\x40"
    line.i2c_start(0x50, reading=False)
    assert line.ask(bytes((0x60, 0, 0x50))) == b"\x00"


# ---- hostile ----


@pytest.mark.parametrize("seed", range(4))
def test_messages_at_random_never_leave_the_channel_busy(seed: int) -> None:
    chosen = random.Random(seed)
    vgpu = make_vgpu(monitor=a_monitor("skl", "DP-D"))
    line = AuxLine(vgpu.mmio, _CONTROL["D"])
    requests = (0x0, 0x1, 0x2, 0x4, 0x5, 0x6, 0x8, 0x9, *range(16))
    for _ in range(1500):
        size = chosen.randrange(32)
        head = bytes((chosen.choice(requests) << 4 | chosen.choice((0, 0, 0xF)), chosen.randrange(7), chosen.randrange(256), chosen.choice((0, 1, 15, 16, 255))))
        message = (head + chosen.randbytes(28))[:size]
        for at, word in enumerate(message[place : place + 4] for place in range(0, 20, 4)):
            vgpu.mmio.write32(line.control + 4 + 4 * at, int.from_bytes(word.ljust(4, b"\0"), "big"))
        vgpu.mmio.write32(line.control, BUSY | chosen.getrandbits(31) & ~(0x1F << 20) | size << 20)
        status = vgpu.mmio.read32(line.control)
        assert status & (BUSY | DONE) == DONE
        if not status & TIMED_OUT:
            assert 1 <= status >> 20 & 0x1F <= 20
        if chosen.random() < 0.1:
            vgpu.mmio.write32(line.control, status)
    assert line.read(0, 3) == b"\x12\x14\x84"
    assert line.edid() == edid_for("1024x768")
