"""Devices that are configured, then created, then destroyed on demand, whatever their policy."""

from __future__ import annotations

import random

import pytest

from guest_driver import GuestDriver
from guest_driver.state import DriverState
from host_model.clock import VirtualClock
from host_model.host import Host
from host_model.hypervisor.local import LocalMachine, Ram
from host_model.vfio.client import VfioPciDevice
from host_model.vfio.device import VfioDevice
from host_model.vfio.dma.iommufd import IommufdContext
from host_model.vfio.dma.type1 import Type1Container
from host_model.vfio.dma.user_memory import UserMemory
from host_model.vfio.provisioning import LifeState, MediatedPolicy, PartitionPolicy, ProvisionedDevice
from host_model.vfio.provisioning.partition import FIRST_NUMBER, PartitionDevice
from pvinfo.errors import ResourceExhausted, StateError, UsageError
from pvinfo.gtt_entry import GGTT_OFFSET
from pvinfo.registers.fence import FENCE_BASE
from pvinfo.units import MIB, PAGE_SIZE, GuestAddress
from pvinfo.vfio_user import RegionIndex

PROFILES = ("GVTg_V5_8", "GVTg_V5_8-partition")


def device_of(host: Host, name: str = "device 1") -> ProvisionedDevice:
    return ProvisionedDevice(name, (MediatedPolicy(host), PartitionPolicy(host)))


def test_profiles_are_those_of_every_policy_and_an_unknown_one_is_told_them() -> None:
    device = device_of(Host())
    assert [(profile.name, profile.policy) for profile in device.profiles()] == [
        ("GVTg_V5_8", "mediated"), ("GVTg_V5_4", "mediated"), ("GVTg_V5_8-partition", "partition"), ("GVTg_V5_4-partition", "partition"),
    ]  # fmt: skip
    with pytest.raises(UsageError, match="device 1: profile 'V9', but there are GVTg_V5_8, GVTg_V5_4, GVTg_V5_8-partition, GVTg_V5_4-partition"):
        device.configure("V9")
    assert device.state is LifeState.UNCONFIGURED


def test_a_wrong_order_names_the_state_and_what_would_be_legal() -> None:
    device = device_of(Host())
    with pytest.raises(StateError, match=r"create of device 1 needs state configured, but the state is unconfigured \(legal: configure\)"):
        device.create()
    device.configure(PROFILES[0])
    with pytest.raises(StateError, match=r"open of device 1 needs state created, but the state is configured \(legal: create and unconfigure\)"):
        device.open()
    with pytest.raises(StateError, match="configure of device 1 needs state unconfigured"):
        device.configure(PROFILES[1])
    device.create()
    with pytest.raises(StateError, match=r"unconfigure .* the state is created \(legal: open and destroy\)"):
        device.unconfigure()
    user = device.open()
    with pytest.raises(StateError, match=r"destroy .* the state is open \(legal: binding the open device and closing it\)"):
        device.destroy()
    user.bind_container(Type1Container())
    with pytest.raises(StateError, match=r"destroy .* the state is bound \(legal: using the open device and closing it\)"):
        device.destroy()


@pytest.mark.parametrize("seed", range(6))
def test_random_lives_end_as_a_plain_state_machine_says_and_owe_nothing(seed: int) -> None:
    rng = random.Random(seed)
    host = Host(aperture_size=512 * MIB)
    fresh = host.pool.free
    names = [f"device {number}" for number in range(3)]
    devices = {name: device_of(host, name) for name in names}
    states = dict.fromkeys(names, LifeState.UNCONFIGURED)
    profiles: dict[str, str | None] = dict.fromkeys(names)
    users: dict[str, VfioDevice] = {}
    follows = {
        "configure": (LifeState.UNCONFIGURED, LifeState.CONFIGURED), "unconfigure": (LifeState.CONFIGURED, LifeState.UNCONFIGURED),
        "create": (LifeState.CONFIGURED, LifeState.CREATED), "destroy": (LifeState.CREATED, LifeState.CONFIGURED),
        "open": (LifeState.CREATED, LifeState.OPEN), "bind": (LifeState.OPEN, LifeState.BOUND),
    }  # fmt: skip
    refused = 0
    for _ in range(150):
        name, act = rng.choice(names), rng.choice([*follows, "close"])
        device, state = devices[name], states[name]
        if act == "close":
            if name in users:
                users.pop(name).close()
                states[name] = LifeState.CREATED
        elif act == "bind":
            if name in users and state is LifeState.OPEN:
                users[name].bind_container(Type1Container())
                states[name] = LifeState.BOUND
            elif name in users:
                with pytest.raises(StateError):
                    users[name].bind_container(Type1Container())
        else:
            before, after = follows[act]
            profile = rng.choice(PROFILES)
            calls = {"configure": lambda: device.configure(profile), "unconfigure": device.unconfigure, "create": device.create, "destroy": device.destroy}
            if state is not before:
                refused += 1
                with pytest.raises(StateError, match=rf"the state is {state.value} \(legal: "):
                    (calls.get(act) or device.open)()
            else:
                if act == "open":
                    users[name] = device.open()
                else:
                    calls[act]()
                states[name] = after
                if act == "configure":
                    profiles[name] = profile
                elif act == "unconfigure":
                    profiles[name] = None
        assert {each: devices[each].state for each in names} == states
        assert {each: known.name if (known := devices[each].profile) is not None else None for each in names} == profiles
        configured = sum(1 for each in states.values() if each is not LifeState.UNCONFIGURED)
        assert (fresh.low - host.pool.free.low, fresh.high - host.pool.free.high) == (configured * 64 * MIB, configured * 384 * MIB)
        made = {each for each in names if states[each] not in (LifeState.UNCONFIGURED, LifeState.CONFIGURED)}
        assert len(host.vgpus) == len([each for each in made if profiles[each] == PROFILES[0]])
        taken = [part for each in names if (share := devices[each].resources) is not None for part in (share.low, share.high)]
        assert not any(a.start < b.stop and b.start < a.stop for number, a in enumerate(taken) for b in taken[:number])
        fences = {fence for each in names if (share := devices[each].resources) is not None for fence in share.fences}
        assert len(fences) == 4 * configured == fresh.fences - host.pool.free.fences
    assert refused > 20
    for name, device in devices.items():
        if name in users:
            users[name].close()
        if device.state is LifeState.CREATED:
            device.destroy()
        if device.state is LifeState.CONFIGURED:
            device.unconfigure()
    assert host.pool.free == fresh and host.vgpus == {} and not host.guard.machines


def test_a_configured_device_keeps_its_share_though_others_want_it() -> None:
    host = Host()
    first, second, third = (device_of(host, f"device {number}") for number in range(3))
    first.configure("GVTg_V5_8")
    second.configure("GVTg_V5_8-partition")
    with pytest.raises(ResourceExhausted, match="low graphics memory"):
        third.configure("GVTg_V5_8")
    with pytest.raises(ResourceExhausted, match="low graphics memory"):
        host.plug()
    at = first.resources
    second.unconfigure()
    third.configure("GVTg_V5_8")
    for _ in range(2):
        made = first.create()
        assert made.resources == at == first.resources, "slices and fences"
        first.destroy()


def test_a_driver_works_on_a_device_that_was_provisioned_and_on_the_next_one_in_its_place() -> None:
    host = Host()
    assert isinstance(host.clock, VirtualClock)
    device = device_of(host)
    device.configure("GVTg_V5_4")
    for _ in range(2):
        device.create()
        user = device.open()
        context = IommufdContext()
        user.bind_iommufd(context)
        ioas = context.create_ioas()
        user.attach(ioas)
        ram = Ram(32 * MIB)
        memory = UserMemory(ram, host.memory)
        ioas.map(ram.size, memory, at=0)
        driver = GuestDriver(LocalMachine(VfioPciDevice(user), ram, host.clock), vgpu_required=True)
        driver.probe()
        assert driver.state is DriverState.READY
        surface = driver.create_surface(32, 4)
        driver.fill(surface, 0xCAFE).wait(10_000_000_000)
        assert surface.read_row(3, 0, 8) == b"\xfe\xca\0\0" * 2
        user.close()
        device.destroy()
        memory.close()
    assert host.guard.violations == 0


# ---- a partition ----


def partition() -> tuple[Host, ProvisionedDevice, PartitionDevice, VfioDevice, UserMemory, Type1Container]:
    host = Host()
    device = device_of(host)
    device.configure("GVTg_V5_8-partition")
    made = device.create()
    assert isinstance(made, PartitionDevice)
    user, container = device.open(), Type1Container()
    user.bind_container(container)
    memory = UserMemory(Ram(MIB), host.memory)
    container.map(0x10_0000, MIB, memory)
    return host, device, made, user, memory, container


def entry_at(address: int) -> int:
    return GGTT_OFFSET + (address // PAGE_SIZE) * 8


def set_fence(user: VfioDevice, number: int, value: int) -> None:
    """As drivers do: it never covers a range that is half old, half new."""
    for at, dword in ((0, 0), (4, value >> 32), (0, value & 0xFFFFFFFF)):
        user.write(RegionIndex.BAR0, FENCE_BASE + 8 * number + at, dword.to_bytes(4, "little"))


def test_a_partitions_entries_pass_unshadowed_and_its_pages_are_pinned_when_first_asked_for() -> None:
    host, device, made, user, memory, container = partition()
    low = made.resources.low
    memory.ram.write(GuestAddress(0x3000), b"\x21\x43\x65\x87")
    entry = 0x10_3000 | 1
    user.write(RegionIndex.BAR0, entry_at(low.start), entry.to_bytes(8, "little"))
    assert int.from_bytes(user.read(RegionIndex.BAR0, entry_at(low.start), 8), "little") == entry
    assert host.gpu.ggtt.entries[low.start // PAGE_SIZE] == made.port.base + entry, "as written, with whose it is"
    assert (memory.pinned_pages, made.port.pinned_pages) == (0, 0)
    view = user.mmap(RegionIndex.BAR2, low.start, PAGE_SIZE)
    assert view.read32(0) == 0x87654321
    assert (memory.pinned_pages, made.port.pinned_pages, user.pinned_pages) == (1, 1, 1)
    view.write(8, 2, 0xBEEF)
    assert memory.ram.read(GuestAddress(0x3008), 4) == b"\xef\xbe\0\0"
    container.unmap(0x10_0000, MIB)
    assert (memory.pinned_pages, made.port.pinned_pages) == (0, 0)
    assert view.read32(0) == 0xFFFFFFFF, "the GPU finds nothing there any more"
    container.map(0x10_0000, MIB, memory)
    assert view.read32(0) == 0x87654321
    user.close()
    assert memory.pinned_pages == 0
    device.destroy()
    assert host.gpu.ggtt.entries[low.start // PAGE_SIZE] == 0 and made.number not in host.guard.machines
    assert host.guard.violations == 0


def test_a_partition_reaches_neither_others_entries_nor_their_fences_nor_their_aperture() -> None:
    host, _, made, user, _, _ = partition()
    neighbour = host.plug().vgpu
    before = host.gpu.ggtt.entries.tobytes()
    low = neighbour.resources.low
    user.write(RegionIndex.BAR0, entry_at(low.start), (0x10_3001).to_bytes(8, "little"))
    assert user.read(RegionIndex.BAR0, entry_at(low.start), 8) == bytes(8)
    assert user.read(RegionIndex.BAR2, low.start, 4) == b"\xff" * 4
    user.write(RegionIndex.BAR2, low.start, bytes(4))
    user.write(RegionIndex.BAR0, FENCE_BASE + 8 * 4, (1).to_bytes(8, "little"))
    assert host.gpu.ggtt.entries.tobytes() == before and not any(host.gpu.fences)
    assert {finding.rule for finding in made.findings} == {"ggtt-outside-slice", "aperture-outside-slice", "fence-not-owned"}
    assert made.number == FIRST_NUMBER and host.guard.violations == 0


def test_a_partitions_fences_are_hardware_fences_as_long_as_they_cover_nothing_else() -> None:
    host, _, made, user, _, _ = partition()
    low = made.resources.low
    own = (low.start + 0xF000) << 32 | low.start | 1
    set_fence(user, 1, own)
    assert host.gpu.fences[made.resources.fences[1]] == own
    beyond = low.stop << 32 | low.start | 1
    set_fence(user, 1, beyond)
    assert host.gpu.fences[made.resources.fences[1]] == 0
    assert [finding.value for finding in made.findings.of_rule("fence-outside-slice")] == [beyond]
    set_fence(user, 0, own)
    user.reset()
    assert not any(host.gpu.fences)
