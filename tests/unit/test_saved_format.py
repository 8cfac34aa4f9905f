"""The bytes of a saved vGPU: every part of them is checked, and whatever is wrong is a refusal with a name."""

from __future__ import annotations

import random
import re
import zlib
from functools import cache

import pytest

from host_model.host import Host
from host_model.mediator.saved.container import Contents, SavedSection, pack, unpack
from host_model.mediator.saved.display import SAVED_MONITOR, SAVED_PIPE
from host_model.mediator.saved.layout import MAGIC, NEEDS, SAVED_HEADER, SECTION_ENTRY, name_bytes, name_text
from host_model.mediator.saved.memory import SAVED_SPACE, SavedSpace
from host_model.mediator.saved.saving import read_saved
from host_model.mediator.saved.sections import SECTIONS
from host_model.mediator.saved.work import SAVED_PORT, SAVED_PORTS
from pvinfo.errors import RestoreRefused
from pvinfo.notify import Notification
from pvinfo.page import PvInfo
from pvinfo.pci import COMMAND
from pvinfo.registers.plane import Plane
from pvinfo.registers.transcoder import TranscoderConfig, TranscoderSwitch

RAM = 1 << 20


@cache
def saved() -> bytes:
    """A vGPU with a monitor, lit, and something in most sections."""
    host = Host("skl")
    vgpu = host.plug(ram_size=RAM).vgpu
    vgpu.config.write(COMMAND, 2, 6)
    vgpu.mmio.write32(TranscoderSwitch.conf.at("TRANSCODER_A"), TranscoderConfig.enable.mask)
    vgpu.mmio.write32(Plane.surf.at("PIPE_A_PLANE_1"), 0x5000)
    vgpu.sideband.write(0, 0x20, 5)
    vgpu.mmio.write32(PvInfo.pdp0_lo.at(), 0x5000)
    vgpu.mmio.write32(PvInfo.g2v_notify.at(), Notification.PPGTT_L4_PAGE_TABLE_CREATE)
    assert vgpu.display.pipes.running and vgpu.display.monitor is not None
    return host.save(vgpu)


def refusal(data: bytes) -> RestoreRefused:
    """What a host says to it; it has made nothing."""
    host = Host("skl")
    with pytest.raises(RestoreRefused) as refused:
        host.plug_saved(data, bytes(RAM))
    assert host.vgpus == {} and host.guard.machines == {}
    return refused.value


def with_section(name: str, data: bytes, *, version: int = 1, required: bool = True) -> bytes:
    """The saved vGPU with one section put in, or in the place of its namesake, and all checksums right."""
    needs, sections = unpack(saved())
    kept = tuple(section for section in sections if section.name != name)
    return pack(Contents(needs, (*kept, SavedSection(name, version, required, data))))


def section_of(name: str) -> bytes:
    return next(section.data for section in unpack(saved()).sections if section.name == name)


# ---- whole and unchanged ----


def test_what_was_packed_is_unpacked_the_same() -> None:
    contents = unpack(saved())
    assert [section.name for section in contents.sections] == list(SECTIONS)
    assert name_text(contents.needs.platform) == "skl" and contents.needs.low_size == 64 << 20
    assert pack(contents) == saved()
    assert len(saved()) < 200_000, "two MiB of registers and a table of nine are mostly what they were at first"


def test_restored_and_saved_again_it_is_the_same_bytes() -> None:
    host = Host("skl")
    restored = host.plug_saved(saved(), bytes(RAM)).vgpu
    assert host.save(restored) == saved()
    assert restored.display.pipes.running and restored.display.monitor is not None


def test_every_truncation_is_refused_as_that() -> None:
    data = saved()
    rng = random.Random(6)
    for length in [*range(len(MAGIC)), *range(len(MAGIC), 300), *rng.sample(range(300, len(data)), 200), len(data) - 1]:
        with pytest.raises(RestoreRefused) as refused:
            read_saved(data[:length])
        assert refused.value.rule == "truncated", length
    with pytest.raises(RestoreRefused, match="corrupt: the length"):
        read_saved(data + b"\0")


def test_every_flipped_byte_is_refused() -> None:
    data = bytearray(saved())
    rng = random.Random(7)
    first = SAVED_HEADER.size + NEEDS.size + len(SECTIONS) * SECTION_ENTRY.size
    rules = set()
    for place in [*range(first), *rng.sample(range(first, len(data)), 500)]:
        flip = rng.randrange(1, 256)
        data[place] ^= flip
        with pytest.raises(RestoreRefused) as refused:
            read_saved(bytes(data))
        rules.add(refused.value.rule)
        data[place] ^= flip
    assert rules == {"magic", "version", "truncated", "corrupt"}


def test_whatever_stands_in_a_section_under_a_right_checksum_is_refused_or_harmless() -> None:
    """Somebody who makes his own bytes gets a vGPU that keeps the rules, or none."""
    rng = random.Random(8)
    refused = restored = 0
    for number in range(120):
        name = rng.choice(list(SECTIONS))
        data = bytearray(section_of(name))
        for _ in range(rng.choice((1, 4, 200))):
            if data:
                data[rng.randrange(min(len(data), rng.choice((64, len(data)))))] = rng.randrange(256)
        if number % 5 == 0:
            del data[rng.randrange(len(data) + 1) :]
        host = Host("skl")
        try:
            vgpu = host.plug_saved(with_section(name, bytes(data)), bytes(RAM)).vgpu
        except RestoreRefused:
            assert host.vgpus == {} and host.pool.free == Host("skl").pool.free
            refused += 1
            continue
        restored += 1
        vgpu.standstill.end()
        host.gpu.clock.wait_for(lambda: False, 20_000_000)
        for offset in range(0, 0x140000, 0x1234 & ~3):
            vgpu.mmio.read32(offset)
        vgpu.reset()
        host.destroy_vgpu(vgpu)
        assert host.guard.violations == 0
    assert refused > 20 and restored > 20


# ---- refusals by name ----


def test_bytes_of_something_else_are_told_from_a_saved_vgpu() -> None:
    assert refusal(b"QEVM" + bytes(100)).rule == "magic"
    assert str(refusal(b"\x89PNG\r\n\x1a\n" + bytes(100))).startswith("magic: the beginning is 89 50 4e 47")


def test_another_version_of_the_format_is_named() -> None:
    data = bytearray(saved())
    data[SAVED_HEADER.offset_of("version")] = 2
    assert str(refusal(bytes(data))) == "version: the format's version is 2, must be 1"


def test_a_section_that_is_not_known_is_left_out_or_refused_as_it_says_itself() -> None:
    assert read_saved(with_section("gossip", b"who knows", required=False)).low_at == unpack(saved()).needs.low_at
    assert "section 'gossip' is required, in version 1" in str(refusal(with_section("gossip", b"who knows")))


def test_a_known_section_of_another_version_is_as_good_as_unknown() -> None:
    assert refusal(with_section("pvinfo", b"", version=2)).rule == "section"
    assert refusal(with_section("pvinfo", b"", version=2, required=False)).rule == "incomplete"
    assert Host("skl").plug_saved(with_section("counters", b"", version=2, required=False), bytes(RAM)).vgpu.mmio.writes == 0


def test_sections_that_are_missing_are_named() -> None:
    needs, sections = unpack(saved())
    without = pack(Contents(needs, tuple(section for section in sections if section.name not in ("ggtt", "fences", "counters"))))
    assert str(refusal(without)) == "incomplete: sections that are missing is ggtt, fences, must be all there"


def test_a_section_twice_is_refused() -> None:
    needs, sections = unpack(saved())
    assert refusal(pack(Contents(needs, (*sections, sections[0])))).rule == "corrupt"


def test_a_platform_that_nobody_knows_is_named() -> None:
    needs, sections = unpack(saved())
    other = pack(Contents(needs._replace(platform=name_bytes("tgl", 8)), sections))
    assert str(refusal(other)).startswith("platform: the platform is tgl, must be one of bdw")


def test_a_section_that_inflates_beyond_its_size_is_not_inflated() -> None:
    data = bytearray(saved())
    entry_at = SAVED_HEADER.size + NEEDS.size
    first = entry_at + len(SECTIONS) * SECTION_ENTRY.size
    entry = SECTION_ENTRY.unpack_from(data, entry_at)
    bomb = zlib.compress(bytes(64 << 20), 9)
    body = bytes(data[first + entry.stored :])
    SECTION_ENTRY.pack_into(data, entry_at, entry._replace(stored=len(bomb), checksum=zlib.crc32(bomb)))
    table = bytes(data[SAVED_HEADER.size : first])
    header = SAVED_HEADER.unpack_from(data)._replace(length=first + len(bomb) + len(body), checksum=0)
    header = header._replace(checksum=zlib.crc32(table, zlib.crc32(SAVED_HEADER.pack(header))))
    assert str(refusal(SAVED_HEADER.pack(header) + table + bomb + body)) == (
        "corrupt: section 'config' inflated is 4097 bytes or more, must be 4096 bytes"
    )


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("config", lambda data: data[:-1], "length of section 'config' is 4095, must be 4096 bytes at least"),
        ("config", lambda data: data + b"\0", "length of section 'config' is 4097, must be 4096 bytes"),
        ("failsafe", lambda data: b"\x09" + data[1:], "reason of section 'failsafe' is 9, must be below 4"),
        ("ppgtt", lambda data: SAVED_SPACE.pack(SavedSpace(5, 1, 0, 1, 0, 0, 0)), "levels of section 'ppgtt' is 5, must be 3 or 4"),
        ("ppgtt", lambda data: 2 * SAVED_SPACE.pack(SavedSpace(4, 1, 0, 1, 0, 0, 0)), "given twice"),
        ("pvinfo", lambda data: data[:8] + b"\x63" + data[9:], "SavedNotification.notification at byte 0x0"),
        ("submission", lambda data: data[: SAVED_PORTS.size] + b"xcs9" + data[SAVED_PORTS.size + 4 :], "engine of section 'submission' is 'xcs9'"),
        (
            "submission",
            lambda data: data[: SAVED_PORTS.size + SAVED_PORT.offset_of("written")] + b"\4" + data[SAVED_PORTS.size + SAVED_PORT.offset_of("written") + 1 :],
            "dwords of section 'submission' is 4, must be below 4",
        ),
        ("monitor", lambda data: b"DP-Z\0\0\0\0" + data[8:], "connector of section 'monitor' is 'DP-Z'"),
        ("monitor", lambda data: data[: SAVED_MONITOR.size] + bytes(8) + data[SAVED_MONITOR.size + 8 :], "EDID of section 'monitor' is"),
        ("pipes", lambda data: data[:8] + b"TRANSCODER_X\0\0\0\0" + data[24:], "transcoder of section 'pipes' is 'TRANSCODER_X'"),
        ("pipes", lambda data: data[: SAVED_PIPE.size + 4] + bytes(2) + data[SAVED_PIPE.size + 6 :], "lines of section 'pipes' is 0"),
    ],
)  # fmt: skip
def test_what_a_section_may_not_hold_is_named(name: str, change: object, words: str) -> None:
    assert callable(change)
    refused = refusal(with_section(name, change(section_of(name))))
    assert refused.rule == "malformed"
    assert re.search(words, str(refused)), str(refused)
