"""An interposer alters what is read of a few fields, at every width and offset, and nothing else."""

from __future__ import annotations

from guest_driver.scenarios.interposer import Alterations, InterposedMachine
from host_model.host import Host, PluggedVgpu
from pvinfo.page import VGT_MAGIC
from pvinfo.pci import bar_offset


def _interposed(fields: dict[str, int], *, hide_aperture: bool = False) -> tuple[InterposedMachine, PluggedVgpu]:
    plugged = Host().plug()
    return InterposedMachine(plugged.machine, Alterations(fields, hide_aperture)), plugged


def test_an_altered_field_reads_so_at_every_width_and_its_neighbours_as_they_are() -> None:
    machine, _ = _interposed({"version_major": 0x0203})
    page = machine.gpu.bar(0)
    assert page is not None
    assert page.read(0x78000, 8) == VGT_MAGIC
    assert (page.read(0x78008, 2), page.read(0x7800A, 2)) == (0x0203, 0)
    assert (page.read(0x78008, 1), page.read(0x78009, 1)) == (0x03, 0x02)
    assert page.read32(0x78008) == 0x0203
    assert page.read(0x78006, 4) == 0x0203_0000 | VGT_MAGIC >> 48
    assert page.read(0x78008, 8) == 1 << 32 | 0x0203


def test_every_access_still_reaches_the_host() -> None:
    machine, plugged = _interposed({"magic": 0})
    page = machine.gpu.bar(0)
    assert page is not None
    assert page.read(0x78000, 8) == 0
    assert plugged.vgpu.pv.guest_is_aware
    page.write32(0x78804, 1)
    assert plugged.vgpu.pv.display_ready
    page.write(0x78800 + 4, 4, 0)
    assert not plugged.vgpu.pv.display_ready


def test_registers_outside_the_page_are_not_altered() -> None:
    machine, plugged = _interposed({"vgt_caps": 0, "avail_rs.fence_num": 0})
    registers = machine.gpu.bar(0)
    assert registers is not None
    registers.write32(0x2038, 0x5000)
    assert registers.read32(0x2038) == plugged.vgpu.mmio.read32(0x2038) == 0x5000
    assert (registers.read32(0x78010), registers.read32(0x78050)) == (0, 0)
    assert (plugged.vgpu.mmio.read32(0x78010), plugged.vgpu.mmio.read32(0x78050)) == (0x1C, 4)


def test_a_hidden_aperture_has_neither_window_nor_length_and_keeps_no_address() -> None:
    machine, plugged = _interposed({}, hide_aperture=True)
    config = machine.gpu.config
    assert machine.gpu.bar(2) is None
    for index in (2, 3):
        config.write(bar_offset(index), 4, 0xFFFF_FFFF)
        assert config.read(bar_offset(index), 4) == 0
    assert plugged.vgpu.config.bar_address(2) == 0
    config.write(bar_offset(0), 4, 0xC000_0000)
    assert config.read(bar_offset(0), 4) & ~0xF == 0xC000_0000
    assert config.read(bar_offset(1), 8) & 0xFFFF_FFFF_0000_0000 == 0
    assert machine.gpu.bar(0) is not None


def test_nothing_is_altered_where_nothing_is_said() -> None:
    assert not Alterations({}, hide_aperture=False)
    assert Alterations({}, hide_aperture=True).in_words() == ["base address register 2 has no length"]
