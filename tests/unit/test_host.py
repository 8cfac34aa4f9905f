"""The host: vGPUs made and taken away, and what it reports."""

from __future__ import annotations

import json
import re

import pytest
from support.golden import made_host

from host_model.clock import RealClock
from host_model.host import Host
from host_model.hypervisor.local import LocalPort, Ram
from host_model.mediator.resources import FreeResources
from host_model.mediator.snapshot import take_snapshot
from host_model.memory import WINDOW_SHIFT, HostMemory
from host_model.report import host_report
from pvinfo.errors import ResourceExhausted, StateError, UsageError
from pvinfo.page import PVINFO_BASE
from pvinfo.platform import PLATFORMS
from pvinfo.units import GIB, MIB, BusAddress, GuestAddress


def test_a_host_offers_its_types_with_how_many_still_fit() -> None:
    host = made_host(aperture_mib=512)
    assert {offer.type.name: offer.instances for offer in host.types()} == {"GVTg_V5_8": 6, "GVTg_V5_4": 3, "GVTg_V5_2": 1}
    host.plug("GVTg_V5_4", ram_size=MIB)
    assert {offer.type.name: offer.instances for offer in host.types()} == {"GVTg_V5_8": 4, "GVTg_V5_4": 2, "GVTg_V5_2": 1}


def test_a_vgpu_of_a_share_taken_before_has_its_slices_and_fences_and_leaves_it_taken() -> None:
    host = made_host(aperture_mib=512)
    first = host.pool.take(host.type_named("GVTg_V5_8"), holder="somebody")
    share = host.pool.take(host.type_named("GVTg_V5_4"), holder="a tenant")
    host.pool.give_back(first)
    left = host.pool.free
    for _ in range(2):
        vgpu = host.create_vgpu("GVTg_V5_4", LocalPort(Ram(MIB), host.memory), resources=share)
        assert vgpu.resources == share and share.fences == (8, 9, 10, 11)
        assert vgpu.mmio.read32(PVINFO_BASE + 0x40) == share.low.start == 192 * MIB
        with pytest.raises(StateError, match=r"used by vGPU 1$"):
            host.create_vgpu("GVTg_V5_4", LocalPort(Ram(MIB), host.memory), resources=share)
        host.destroy_vgpu(vgpu)
        assert host.pool.free == left and host.pool.holds(share)
    host.pool.give_back(share)
    with pytest.raises(UsageError, match=r"a share of this host's that was taken before"):
        host.create_vgpu("GVTg_V5_4", LocalPort(Ram(MIB), host.memory), resources=share)
    with pytest.raises(UsageError, match=r"low_at= and high_at= are for a share that is yet to be taken"):
        host.create_vgpu("GVTg_V5_4", LocalPort(Ram(MIB), host.memory), resources=share, low_at=share.low.start)


def test_who_finds_nothing_left_is_told_who_has_it() -> None:
    host = made_host(aperture_mib=512)
    host.plug("GVTg_V5_4", ram_size=MIB)
    host.pool.take(host.type_named("GVTg_V5_8"), holder="a tenant")
    host.plug("GVTg_V5_8", ram_size=MIB)
    with pytest.raises(ResourceExhausted) as refused:
        host.plug("GVTg_V5_2", ram_size=MIB)
    error = refused.value
    assert (error.resource, error.wanted, error.left) == ("low graphics memory (aperture)", 256, 128)
    assert error.held == {"the host": 128, "vGPU 1": 128, "a tenant": 64, "vGPU 2": 64}
    assert str(error).endswith("(of 512 MiB; the host has 128, vGPU 1 has 128, a tenant has 64, vGPU 2 has 64)")
    assert sum(error.held.values()) + error.left == 512


def test_vgpus_are_numbered_from_one_and_a_free_number_is_used_again() -> None:
    host = made_host(aperture_mib=1024)
    vgpus = [host.plug(ram_size=MIB).vgpu for _ in range(4)]
    host.destroy_vgpu(vgpus[1])
    replacement = host.plug(ram_size=MIB).vgpu
    assert [vgpu.number for vgpu in vgpus] == [1, 2, 3, 4]
    assert replacement.number == 2
    assert replacement.mmio.read32(PVINFO_BASE + 0xC) == 2
    assert sorted(host.vgpus) == [1, 2, 3, 4]


def test_at_most_seven_fit_and_the_eighth_is_told_what_ran_out() -> None:
    host = made_host(aperture_mib=1024)
    for _ in range(7):
        host.plug(ram_size=MIB)
    with pytest.raises(ResourceExhausted, match="^not enough fences: 4 registers wanted, 0 registers left"):
        host.plug(ram_size=MIB)
    assert len(host.vgpus) == 7


def test_a_vgpu_taken_away_frees_all_it_had_however_often() -> None:
    """More often than host memory has windows, so that a machine that is never let go would show."""
    host = made_host()
    free = host.pool.free
    for _ in range(260):
        plugged = host.plug(ram_size=MIB)
        plugged.vgpu.mmio.write(0x80_0000 + (plugged.vgpu.resources.low.start >> 9), 8, 0x1001)
        host.destroy_vgpu(plugged.vgpu)
        assert host.pool.free == free
    assert host.vgpus == {}


def test_a_refused_machine_leaves_nothing_behind() -> None:
    host = made_host()
    for _ in range(260):
        with pytest.raises(UsageError, match="no vGPU type 'GVTg_V5_1' on skl"):
            host.plug("GVTg_V5_1", ram_size=MIB)
    assert host.plug(ram_size=MIB).vgpu.number == 1


def test_the_next_owner_of_a_slice_finds_nothing_in_it() -> None:
    host = made_host()
    first = host.plug(ram_size=MIB)
    low = first.vgpu.resources.low.start
    entry = 0x80_0000 + (low >> 9)
    first.vgpu.mmio.write(entry, 8, 0x1001)
    first.vgpu.aperture.write32(low, 0x5EC4E7)
    first.vgpu.aperture.write32(low + 4096, 0x5EC4E7)
    host.destroy_vgpu(first.vgpu)
    second = host.plug(ram_size=MIB)
    assert second.vgpu.resources == first.vgpu.resources
    assert second.vgpu.mmio.read(entry, 8) == 0
    assert (second.vgpu.aperture.read32(low), second.vgpu.aperture.read32(low + 4096)) == (0, 0)


@pytest.mark.parametrize(("aperture", "text"), [(300 * MIB, "an aperture of 300 MiB"), (8 * GIB, "an aperture of 8 GiB"), (0, "an aperture of 0 bytes"), (512 * 1024, "an aperture of 512 KiB")])
def test_an_aperture_is_a_power_of_two_inside_the_ggtt(aperture: int, text: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"{text}: it is a power of two, from 1 MiB up to the GGTT's 4 GiB")):
        Host(aperture_size=aperture)


def test_an_unknown_platform_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no platform 'tgl'; there are bdw, skl, bxt, kbl, cfl"):
        Host("tgl")


def test_a_host_on_real_time_has_no_machines_of_its_own() -> None:
    with pytest.raises(UsageError, match="a machine of this process runs on virtual time, but the host's clock is real"):
        Host(clock=RealClock()).plug()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_platform_has_a_vgpu_of_its_smallest_type(platform: str) -> None:
    plugged = Host(platform).plug(ram_size=MIB)
    spec = PLATFORMS[platform]
    assert plugged.vgpu.type.name == f"{spec.type_prefix}_8"
    assert plugged.vgpu.config.read(0, 4) == spec.device_id << 16 | 0x8086
    assert plugged.vgpu.config.read(8, 1) == spec.revision
    assert plugged.machine.gpu.bar(0) is plugged.vgpu.mmio


def test_the_report_is_the_agreed_json() -> None:
    host = made_host()
    plugged = host.plug(ram_size=MIB)
    vgpu = plugged.vgpu
    low = vgpu.resources.low
    vgpu.mmio.read(PVINFO_BASE, 8)
    vgpu.mmio.write32(PVINFO_BASE + 0x818, 4)
    vgpu.mmio.write32(PVINFO_BASE + 0x804, 1)
    vgpu.mmio.write(0x80_0000 + (low.start >> 9), 8, 0x1001)
    vgpu.mmio.write32(0x3000, 0)
    clean = json.loads(json.dumps(host_report(host, {1: "/run/a.sock"})))
    assert (clean["ok"], clean["platform"]) == (True, "skl")
    assert clean["gpu"].pop("held") == {"pages": host.memory.own_pages, "timers": host.clock.timers}
    assert clean["gpu"] == {
        "commands": {"rcs0": 0, "bcs0": 0, "vcs0": 0, "vecs0": 0}, "isolation_violations": 0, "turns": 0, "findings": [],
        "schedule": {"policy": "fair", "switching": "gpu", "patience_ns": 2_000_000_000, "used_ns": 0, "contested_ns": 0},
    }  # fmt: skip
    (shown,) = clean["vgpus"]
    assert (shown["type"], shown["socket"], shown["ggtt_writes"], shown["resets"], shown["failsafe"]) == ("GVTg_V5_8", "/run/a.sock", 1, 0, None)
    assert shown["pv"]["detected"] is True
    assert (shown["pv"]["version"], shown["pv"]["caps"], shown["pv"]["display_ready"]) == ("1.0", 0x1C, True)
    assert shown["pv"]["capabilities"] == ["FULL_PPGTT", "HWSP_EMULATION", "HUGE_GTT"]
    assert shown["pv"]["notifications"] == {"PPGTT_L4_PAGE_TABLE_CREATE": 1}
    assert shown["balloon"] == {"mappable": [low.start, low.stop], "nonmappable": [3712 * MIB, 4096 * MIB], "fences": 4}
    assert shown["mmio"] == {"reads": 1, "writes": 4, "unmodelled": {"0x3000": 1}}
    assert shown["schedule"] == {
        "used_ns": 0, "share": 0.0, "contested_ns": 0, "contested_share": 0.0, "weight": 2, "turns": 0, "waits": 0, "waited_ns": 0,
        "worst_wait_ns": 0, "worst_wait_bound_ns": None, "starved": 0, "text": "0.0 % of the GPU's time, weight 2, worst wait 0",
    }  # fmt: skip
    assert shown["findings"] == []


def test_a_guests_fault_makes_the_report_not_ok_and_shows_the_finding() -> None:
    host = made_host()
    host.plug(ram_size=MIB).vgpu.mmio.write32(PVINFO_BASE, 7)
    report = json.loads(json.dumps(host_report(host)))
    assert report["ok"] is False
    (finding,) = report["vgpus"][0]["findings"]
    assert {key: finding[key] for key in ("kind", "rule", "where", "value", "count")} == {
        "kind": "guest fault", "rule": "pvinfo-read-only", "where": "pvinfo.magic (0x78000)", "value": 7, "count": 1,
    }  # fmt: skip


def test_a_fresh_host_has_everything_left() -> None:
    assert made_host().pool.free == FreeResources(128 * MIB, (4096 - 256 - 384) * MIB, 28)


# ---- host memory, and the machines of this process ----


def test_each_machines_memory_has_a_window_of_its_own_that_goes_with_it() -> None:
    memory = HostMemory()
    first, second = Ram(8192), Ram(4096)
    bases = memory.attach(first), memory.attach(second)
    assert bases == (1 << WINDOW_SHIFT, 2 << WINDOW_SHIFT)
    first.write(GuestAddress(4096), b"first")
    page = memory.page(BusAddress(bases[0] + 4096 + 123))
    assert page is not None and bytes(page[:5]) == b"first" and len(page) == 4096
    assert memory.page(BusAddress(bases[0] + 8192)) is None
    assert memory.page(BusAddress(bases[1] + 4096)) is None
    assert memory.page(BusAddress(3 << WINDOW_SHIFT)) is None
    memory.detach(bases[0])
    assert memory.page(bases[0]) is None
    assert memory.attach(first) == bases[0], "a free window is used again"


def test_the_hosts_own_pages_are_zero_distinct_and_never_at_address_zero() -> None:
    memory = HostMemory()
    addresses = [memory.allocate_page() for _ in range(5)]
    assert len(set(addresses)) == 5 and 0 not in addresses
    page = memory.page(addresses[2])
    assert page is not None and bytes(page) == bytes(4096)
    page[:3] = b"own"
    others = [memory.page(address) for address in addresses if address != addresses[2]]
    assert [bytes(other[:3]) for other in others if other is not None] == [bytes(3)] * 4


def test_host_memory_has_room_for_as_many_machines_as_a_table_entry_can_tell_apart() -> None:
    memory = HostMemory()
    for _ in range(255):
        memory.attach(Ram(4096))
    with pytest.raises(ResourceExhausted, match=r"^not enough windows of host memory: 1 windows wanted, 0 windows left \(of 255; memory of machines has 255\)$"):
        memory.attach(Ram(4096))


@pytest.mark.parametrize("size", [0, -4096, 4095])
def test_ram_is_whole_pages(size: int) -> None:
    with pytest.raises(ValueError, match=f"^{size} bytes of RAM: RAM is a positive number of 4096-byte pages$"):
        Ram(size)


@pytest.mark.parametrize(("address", "size"), [(8192, 1), (8191, 2), (-1, 1), (1 << 40, 4)])
def test_where_a_guest_has_no_memory_its_own_side_errs_and_the_mediator_is_told(address: int, size: int) -> None:
    ram = Ram(8192)
    with pytest.raises(IndexError, match=re.escape(f"{size} bytes at {address:#x}: RAM is [0, 0x2000) (8 KiB)")):
        ram.read(GuestAddress(address), size)
    with pytest.raises(IndexError):
        ram.write(GuestAddress(address), bytes(size))
    port = LocalPort(ram, HostMemory())
    assert port.read_guest(GuestAddress(address), size) is None
    assert port.write_guest(GuestAddress(address), bytes(size)) is False
    assert ram.read(GuestAddress(0), 8192) == bytes(8192)


def test_a_page_is_pinned_until_it_is_let_go_as_often_as_it_was_asked_for() -> None:
    ram = Ram(8192)
    port = LocalPort(ram, HostMemory())
    first, again = port.map_guest_page(GuestAddress(4100)), port.map_guest_page(GuestAddress(4096))
    assert first == again and first is not None and first % 4096 == 0
    assert port.map_guest_page(GuestAddress(8192)) is None
    pinned = []
    for _ in range(3):
        pinned.append(port.mapped_pages)
        port.unmap_guest_page(first)
    assert pinned == [1, 1, 0]
    assert port.mapped_pages == 0


def test_the_mediator_reads_and_writes_what_the_guest_has() -> None:
    ram = Ram(4096)
    port = LocalPort(ram, HostMemory())
    assert port.write_guest(GuestAddress(4090), b"end")
    assert ram.read(GuestAddress(4090), 3) == b"end"
    ram.write(GuestAddress(0), b"start")
    assert port.read_guest(GuestAddress(0), 5) == b"start"


def test_the_snapshot_holds_the_tracked_registers_and_nothing_else() -> None:
    host = Host("skl")
    tracked, untracked = 0x2030, 0x3000
    host.gpu.registers.write32(tracked, 0x1234)
    host.gpu.registers.write32(untracked, 0x5678)
    golden = take_snapshot(host.gpu)
    assert [int.from_bytes(golden.mmio[offset : offset + 4], "little") for offset in (tracked, untracked)] == [0x1234, 0]
    assert golden.config == host.gpu.config_image()
