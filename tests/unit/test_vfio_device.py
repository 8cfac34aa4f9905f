"""The VFIO interface of a vGPU in one process: what is legal when, regions, interrupts, planes."""

from __future__ import annotations

import random
import struct

import pytest
from support.vfio_rig import make_rig

from host_model.host import Host
from host_model.vfio.device import DeviceState, VfioDevice, open_vgpu
from host_model.vfio.dma.iommu import DirectBus
from host_model.vfio.dma.iommufd import IommufdContext
from host_model.vfio.dma.port import DmaPort
from host_model.vfio.dma.type1 import Type1Container
from host_model.vfio.signals import Signals
from pvinfo.errors import PeerError, StateError, UsageError
from pvinfo.gfx_plane import DrmPlaneType
from pvinfo.page import PVINFO_BASE, VGT_MAGIC
from pvinfo.pci import COMMAND, Command, MsiControl
from pvinfo.units import GIB, MIB, PAGE_SIZE, GuestAddress
from pvinfo.vfio_user import FRAME_TYPE, GFX_EDID_TYPE, OPREGION_TYPE, IrqIndex, RegionIndex, SparseArea


def unbound() -> VfioDevice:
    host = Host()
    port = DmaPort(host.memory, DirectBus(host.memory))
    return open_vgpu(host.create_vgpu(None, port), port)


def test_nothing_but_binding_is_legal_before_a_device_is_bound() -> None:
    device = unbound()
    acts = {
        "info": device.info, "region": lambda: device.region(0), "read": lambda: device.read(7, 0, 4), "write": lambda: device.write(7, 4, b"\7"),
        "mmap": lambda: device.mmap(2, 0, PAGE_SIZE), "irq": lambda: device.irq(IrqIndex.MSI), "connect": lambda: device.connect_irq(IrqIndex.MSI, []),
        "reset": device.reset, "plane": lambda: device.query_plane(DrmPlaneType.PRIMARY), "attach": lambda: device.attach(IommufdContext().create_ioas()),
        "detach": device.detach,
    }  # fmt: skip
    for act in acts.values():
        with pytest.raises(StateError, match="needs state bound, but the state is blocked: bind_container, bind_iommufd and close are legal"):
            act()
    device.bind_container(Type1Container())
    device.reset()
    device.close()
    with pytest.raises(StateError, match="closed: nothing is legal, the device is opened anew"):
        device.reset()


@pytest.mark.parametrize("seed", range(4))
def test_random_orders_of_calls_end_as_a_plain_state_machine_says(seed: int) -> None:
    rng = random.Random(seed)
    refused = legal = 0
    for _ in range(12):
        device = unbound()
        container, context = Type1Container(), IommufdContext()
        ioas = context.create_ioas()
        state, by, attached = DeviceState.BLOCKED, "", False
        for _ in range(20):
            act = rng.choice(["container", "iommufd", "attach", "detach", "close", "info"] if rng.randrange(4) else ["info", "attach", "iommufd"])
            if act in ("container", "iommufd"):
                allowed = state is DeviceState.BLOCKED
            elif act == "attach":
                allowed = state is DeviceState.BOUND and by == "iommufd"
            elif act == "detach":
                allowed = state is DeviceState.BOUND and by == "iommufd" and attached
            elif act == "close":
                allowed = state is not DeviceState.CLOSED
            else:
                allowed = state is DeviceState.BOUND
            call = {
                "container": lambda: device.bind_container(container), "iommufd": lambda: device.bind_iommufd(context),
                "attach": lambda: device.attach(ioas), "detach": device.detach, "close": device.close, "info": device.info,
            }[act]  # fmt: skip
            if not allowed:
                refused += 1
                with pytest.raises(StateError):
                    call()
            else:
                legal += 1
                call()
                if act in ("container", "iommufd"):
                    state, by, attached = DeviceState.BOUND, act, act == "container"
                elif act in ("attach", "detach"):
                    attached = act == "attach"
                elif act == "close":
                    state, attached = DeviceState.CLOSED, False
            assert (device.state, device.attached) == (state, attached)
            assert len(context.accesses) == (state is DeviceState.BOUND and by == "iommufd")
            assert len(container.space.accesses) == (state is DeviceState.BOUND and by == "container")
    assert legal > 30 and refused > 30


def test_moving_to_another_space_is_one_call_and_drops_the_pins_of_the_old_one() -> None:
    rig = make_rig("iommufd")
    assert rig.context is not None
    other = rig.context.create_ioas()
    other.map(MIB, rig.memory, 8 * MIB, at=0)
    rig.port.map_guest_pages([0x1000, 0x2000])
    assert rig.memory.pins(0x1000) == 1
    rig.device.attach(other)
    assert rig.memory.pinned_pages == 0 and rig.port.lost_pages == 2
    (bus,) = rig.port.map_guest_pages([0x1000])
    assert bus == rig.memory.base + 8 * MIB + 0x1000 and rig.memory.pins(8 * MIB + 0x1000) == 1
    with pytest.raises(StateError, match="needs state bound to an iommufd context"):
        make_rig("type1").device.attach(other)


def test_regions_are_those_of_the_kernels_mediator_with_what_of_them_can_be_mapped() -> None:
    rig = make_rig("type1")
    info = rig.device.info()
    assert (info.flags.reset, info.flags.pci, info.num_regions, info.num_irqs) == (True, True, 12, 5)
    regions = [rig.device.region(number) for number in range(info.num_regions)]
    assert [region.size for region in regions[:9]] == [16 * MIB, 0, 256 * MIB, 0, 0, 0, 0, 4096, 0]
    assert [region.offset for region in regions] == [number << 40 for number in range(12)]
    assert [region.type for region in regions[9:]] == [OPREGION_TYPE, GFX_EDID_TYPE, FRAME_TYPE]
    low = rig.vgpu.resources.low
    assert regions[2].areas == (SparseArea(low.start, len(low)),) and regions[2].flags.mmap and regions[2].flags.caps
    assert not any(region.flags.mmap for region in regions if region.number != 2)
    with pytest.raises(PeerError, match="region 12: regions are 0 to 11"):
        rig.device.region(12)


def test_the_records_of_regions_carry_their_capabilities_where_there_is_room() -> None:
    rig = make_rig("type1")
    low = rig.vgpu.resources.low
    short, whole = rig.device.region(2).pack(32), rig.device.region(2).pack(64)
    assert struct.unpack("<IIIIQQ", short) == (64, 0xF, 2, 0, 256 * MIB, 2 << 40)
    assert struct.unpack("<IIIIQQHHIIIQQ", whole) == (64, 0xF, 2, 32, 256 * MIB, 2 << 40, 1, 1, 0, 1, 0, low.start, len(low))
    assert struct.unpack("<IIIIQQHHIII", rig.device.region(9).pack(4096))[6:] == (2, 1, 0, 0x80008086, 1)
    assert len(rig.device.region(0).pack(4096)) == 32


def test_registers_are_reached_and_the_slice_is_mapped_but_nothing_beside_it() -> None:
    rig = make_rig("type1")
    assert int.from_bytes(rig.device.read(RegionIndex.BAR0, PVINFO_BASE, 8), "little") == VGT_MAGIC
    low = rig.vgpu.resources.low
    for offset, size in ((low.start - PAGE_SIZE, PAGE_SIZE), (low.stop, PAGE_SIZE), (low.start, len(low) + PAGE_SIZE), (low.start + 4, PAGE_SIZE), (low.start, 0)):
        with pytest.raises(UsageError, match="whole pages of"):
            rig.device.mmap(2, offset, size)
    with pytest.raises(UsageError, match="BAR2 alone can be mapped"):
        rig.device.mmap(0, 0, PAGE_SIZE)
    view = rig.device.mmap(2, low.start, 2 * PAGE_SIZE)
    rig.memory.ram.write(GuestAddress(0x7000), b"\x78\x56\x34\x12")
    entry = (0x7000 | 1).to_bytes(8, "little")
    rig.device.write(RegionIndex.BAR0, 8 * MIB + (low.start >> 12) * 8, entry)
    assert view.read32(0) == 0x12345678 == int.from_bytes(rig.device.read(2, low.start, 4), "little")
    view.write32(4, 0xABCD)
    assert rig.memory.ram.read(GuestAddress(0x7004), 4) == b"\xcd\xab\0\0"
    with pytest.raises(UsageError, match="4 bytes at 0x1ffe of a mapping of 0x2000 bytes"):
        view.read(0x1FFE, 4)
    rig.device.close()
    with pytest.raises(StateError, match="using a mapping"):
        view.read32(0)


def test_messages_reach_whoever_is_connected_and_nobody_else() -> None:
    rig = make_rig("type1")
    vgpu, device = rig.vgpu, rig.device
    assert [device.irq(irq)[1] for irq in IrqIndex] == [1, 1, 0, 1, 1]
    msi = vgpu.config.msi_capability
    assert msi is not None
    vgpu.config.write(COMMAND, 2, Command.of(memory=True, master=True))
    vgpu.config.write(msi + 2, 2, MsiControl.of(enable=True))
    got: list[str] = []
    device.connect_irq(IrqIndex.MSI, [lambda: got.append("first")])
    vgpu.inject_msi()
    device.connect_irq(IrqIndex.MSI, [lambda: got.append("second")])
    vgpu.inject_msi()
    device.trigger_irq(IrqIndex.MSI)
    device.connect_irq(IrqIndex.MSI, [])
    vgpu.inject_msi()
    assert got == ["first", "second", "second"]
    with pytest.raises(UsageError, match="MSI 0 to 1: the device has 1 of them"):
        device.connect_irq(IrqIndex.MSI, [None, None])
    with pytest.raises(UsageError, match="MSI cannot be masked: INTX alone can"):
        device.mask_irq(IrqIndex.MSI)


def test_the_pin_is_signalled_once_and_waits_to_be_unmasked() -> None:
    level = [True]
    got: list[int] = []
    signals = Signals({IrqIndex.INTX: 1, IrqIndex.MSI: 1}, lambda: level[0])
    signals.fire()
    assert signals.lost == 1
    signals.connect(IrqIndex.INTX, [lambda: got.append(1)])
    assert len(got) == 1, "it was asserted already"
    signals.fire()
    assert len(got) == 1, "masked by itself"
    signals.unmask(IrqIndex.INTX)
    assert len(got) == 2
    level[0] = False
    signals.unmask(IrqIndex.INTX)
    assert len(got) == 2
    signals.mask(IrqIndex.INTX)
    signals.fire()
    assert len(got) == 2
    signals.unmask(IrqIndex.INTX)
    assert len(got) == 3
    signals.fire()
    signals.device_reset()
    signals.fire()
    assert len(got) == 4 and signals.sent[IrqIndex.INTX] == 4


def test_a_reset_leads_back_to_the_beginning_and_a_plane_that_is_not_there_shows_nothing() -> None:
    rig = make_rig("iommufd")
    rig.device.write(RegionIndex.CONFIG, COMMAND, b"\x06\x00")
    rig.device.reset()
    assert rig.device.read(RegionIndex.CONFIG, COMMAND, 2) == b"\0\0"
    info = rig.device.query_plane(DrmPlaneType.PRIMARY)
    assert info is not None and (info.width, info.dmabuf_id) == (0, 0)
    with pytest.raises(UsageError, match="plane buffer 5: there are none"):
        rig.device.fetch_plane(5)


def test_a_device_describes_the_aperture_of_its_own_host() -> None:
    host = Host(aperture_size=GIB)
    port = DmaPort(host.memory, DirectBus(host.memory))
    device = open_vgpu(host.create_vgpu("GVTg_V5_1", port), port)
    device.bind_container(Type1Container())
    assert device.region(2).size == GIB and device.region(2).areas == (SparseArea(128 * MIB, 512 * MIB),)
