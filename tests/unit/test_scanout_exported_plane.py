"""A virtual machine monitor asks what a plane shows, and has the memory that it shows."""

from __future__ import annotations

import errno
import random

import pytest
from support.scanout_rig import ScanoutRig, plane_base

from host_model.host import Host
from host_model.scanout.exported_plane import ExportedPlanes
from pvinfo.drm_format import DrmFormat, DrmModifier
from pvinfo.errors import PeerError, UsageError, WireError
from pvinfo.gfx_plane import GFX_PLANE_INFO, DrmPlaneType, GfxPlaneFlags, GfxPlaneInfo
from pvinfo.page import PvInfo
from pvinfo.registers.transcoder import TranscoderSwitch
from pvinfo.units import PAGE_SIZE

PRIMARY, CURSOR = DrmPlaneType.PRIMARY, DrmPlaneType.CURSOR
DMABUF = GfxPlaneFlags.of(dmabuf=True)
XRGB = 4 << 24
NOTHING = GfxPlaneInfo(64, DMABUF, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, bytes(4))


def rig_with_plane(control: int = XRGB, stride: int = 4, **more: tuple[int, int] | int) -> ScanoutRig:
    rig = ScanoutRig()
    rig.store(0, random.Random(9).randbytes(1 << 18))
    rig.plane(1, control, stride, **more)  # type: ignore[arg-type]
    return rig


def asked(rig: ScanoutRig, plane: DrmPlaneType = PRIMARY) -> GfxPlaneInfo:
    info = rig.vgpu.exported_planes.query(plane)
    assert info is not None
    return info


@pytest.mark.parametrize(
    ("tiling", "stride", "pitch", "rows", "modifier"),
    [
        (0, 5, 320, 45, DrmModifier.LINEAR), (1, 1, 512, 48, DrmModifier.I915_X_TILED), (4, 3, 384, 64, DrmModifier.I915_Y_TILED),
        (5, 2, 256, 64, DrmModifier.I915_YF_TILED),
    ],
)  # fmt: skip
def test_a_plane_is_told_with_whole_rows_of_tiles(tiling: int, stride: int, pitch: int, rows: int, modifier: DrmModifier) -> None:
    rig = rig_with_plane(XRGB | tiling << 10, stride, size=(64, 45))
    info = asked(rig)
    assert info == NOTHING._replace(
        drm_format=DrmFormat.XRGB8888, drm_format_mod=modifier, width=64, height=45, stride=pitch, size=pitch * rows, dmabuf_id=1
    )
    pages = rig.vgpu.exported_planes.fetch(1).pages()
    assert pages is not None and b"".join(pages) == rig.contents()[: -(-pitch * rows // PAGE_SIZE) * PAGE_SIZE]
    assert all(page.readonly for page in pages)


def test_modifiers_and_formats_have_the_kernels_numbers() -> None:
    assert [hex(modifier) for modifier in DrmModifier] == ["0x0", "0x100000000000001", "0x100000000000002", "0x100000000000003"]
    assert (DrmFormat.XRGB8888, DrmFormat.XRGB2101010, DrmFormat.C8, DrmFormat.YUYV) == (0x34325258, 0x30335258, 0x20203843, 0x56595559)


def test_the_cursor_is_told_with_its_place_and_its_hot_spot() -> None:
    rig = ScanoutRig()
    rig.cursor(0x27, -3, 7)
    expected = NOTHING._replace(
        drm_plane_type=2, drm_format=DrmFormat.ARGB8888, width=64, height=64, stride=256, size=16384, x_pos=0xFFFFFFFD, y_pos=7,
        x_hot=0xFFFFFFFF, y_hot=0xFFFFFFFF, dmabuf_id=1,
    )  # fmt: skip
    assert asked(rig, CURSOR) == expected
    rig.vgpu.mmio.write32(PvInfo.cursor_x_hot.at(), 1)
    rig.vgpu.mmio.write32(PvInfo.cursor_y_hot.at(), 2)
    assert asked(rig, CURSOR) == expected._replace(x_hot=1, y_hot=2)


def test_what_is_not_shown_is_told_as_nothing() -> None:
    rig = ScanoutRig()
    assert asked(rig) == NOTHING and asked(rig, CURSOR) == NOTHING._replace(drm_plane_type=2)
    rig.plane(1, XRGB, 4)
    assert asked(rig).dmabuf_id == 1
    rig.vgpu.mmio.write32(TranscoderSwitch.conf.at("TRANSCODER_A"), 0)
    assert asked(rig) == NOTHING


# ---- buffers ----


def test_the_same_surface_is_the_same_buffer_and_another_one_is_not() -> None:
    rig = rig_with_plane()
    assert [asked(rig).dmabuf_id for _ in range(3)] == [1, 1, 1]
    rig.plane(1, XRGB, 4, surface=rig.surface + 0x8000)
    assert asked(rig).dmabuf_id == 2
    rig.plane(1, XRGB | 1 << 20, 4)
    assert asked(rig).dmabuf_id == 3
    rig.plane(1, XRGB, 4)
    assert asked(rig).dmabuf_id == 1
    rig.rig.map(rig.surface + PAGE_SIZE, rig.pages[300])
    assert asked(rig).dmabuf_id == 4


def test_a_buffer_is_held_until_the_last_one_who_fetched_it_lets_it_go() -> None:
    rig = rig_with_plane()
    planes, port = rig.vgpu.exported_planes, rig.vgpu.port
    before = port.mapped_pages
    content = rig.contents()[: 3 * PAGE_SIZE]
    number = asked(rig).dmabuf_id
    one, two = planes.fetch(number), planes.fetch(number)
    assert one is two
    for page in range(3):  # the guest shows something else there, and its pages stay pinned all the same
        rig.rig.map(rig.surface + PAGE_SIZE * page, rig.pages[400 + page])
    planes.release(one)
    pages = two.pages()
    assert pages is not None and b"".join(pages) == content and port.mapped_pages == before
    planes.release(two)
    assert two.pages() is None and port.mapped_pages == before - 3 and len(planes) == 0
    with pytest.raises(UsageError, match=r"plane buffer 1: there are none"):
        planes.fetch(number)
    with pytest.raises(UsageError, match=r"plane buffer 1: nobody has it"):
        planes.release(two)
    assert asked(rig).dmabuf_id == 2


def test_buffers_that_nobody_fetches_do_not_pile_up() -> None:
    rig = rig_with_plane()
    planes = rig.vgpu.exported_planes
    for number in range(40):
        rig.plane(1, XRGB, 4, surface=rig.surface + PAGE_SIZE * number)
        asked(rig)
    assert len(planes) == 16
    kept = planes.fetch(25)
    for number in range(40):
        rig.plane(1, XRGB, 4, surface=rig.surface + PAGE_SIZE * number)
        asked(rig)
    assert len(planes) == 17 and planes.fetch(25) is kept


def test_a_vgpu_that_goes_lets_all_its_buffers_go() -> None:
    host = Host("skl")
    rig = ScanoutRig(host=host)
    rig.plane(1, XRGB, 4)
    buffer = rig.vgpu.exported_planes.fetch(asked(rig).dmabuf_id)
    host.destroy_vgpu(rig.vgpu)
    assert buffer.pages() is None and host.guard.violations == 0


# ---- what a guest does wrong ----


def test_memory_that_is_not_the_guests_is_refused() -> None:
    host = Host("skl")
    victim, rig = ScanoutRig(host=host), ScanoutRig(host=host)
    rig.plane(1, XRGB, 4, surface=victim.surface)
    assert rig.vgpu.exported_planes.query(PRIMARY) is None
    (finding,) = rig.vgpu.findings.of_rule("plane-outside-slice")
    assert (finding.value, finding.nearest) == (victim.surface, rig.vgpu.resources.owned)
    with pytest.raises(PeerError) as refused:
        rig.vgpu.exported_planes.answer(GFX_PLANE_INFO.pack(NOTHING))
    assert refused.value.errno == errno.EFAULT


def test_a_surface_that_leaves_the_slice_is_refused_as_a_whole() -> None:
    rig = ScanoutRig()
    last = rig.vgpu.resources.low.stop - PAGE_SIZE
    rig.rig.map(last, rig.pages[0])
    rig.plane(1, XRGB, 4, surface=last, size=(64, 17))
    assert rig.vgpu.exported_planes.query(PRIMARY) is None
    rig.plane(1, XRGB, 4, surface=last, size=(64, 16))
    assert asked(rig).size == PAGE_SIZE


def test_a_surface_with_a_hole_is_refused_and_nothing_stays_pinned() -> None:
    rig = rig_with_plane()
    before = rig.vgpu.port.mapped_pages
    for entry in (0, 0x7FFFFFFFF003):
        rig.vgpu.mmio.write((rig.surface + PAGE_SIZE >> 12) * 8 + 0x800000, 8, entry)
        assert rig.vgpu.exported_planes.query(PRIMARY) is None
        assert rig.vgpu.port.mapped_pages == before - 1
    assert rig.vgpu.findings.of_rule("plane-not-mapped")[0].value == rig.surface + PAGE_SIZE


@pytest.mark.parametrize(
    ("control", "stride", "offset", "rule"),
    [
        (XRGB, 0, (0, 0), "plane-without-rows"), (XRGB | 2, 4, (0, 0), "plane-export"), (XRGB | 1, 4, (0, 0), "plane-rotation"), (XRGB, 4, (1, 0), "plane-export"),
        (XRGB | 4 << 10, 4, (0, 8), "plane-export"), (XRGB | 4 << 10, 4, (8, 32), "plane-export"), (1 << 24, 4, (0, 0), "plane-format"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_refused(control: int, stride: int, offset: tuple[int, int], rule: str) -> None:
    rig = rig_with_plane(control, stride, offset=offset)
    assert rig.vgpu.exported_planes.query(PRIMARY) is None
    assert rig.vgpu.findings.of_rule(rule)


@pytest.mark.parametrize(
    ("control", "stride", "offset", "page"), [(XRGB, 4, (0, 16), 1), (XRGB | 4 << 10, 4, (32, 64), 9), (XRGB | 1 << 10, 2, (128, 8), 3)]
)
def test_a_plane_that_begins_with_a_whole_tile_or_page_is_told_from_there_on(control: int, stride: int, offset: tuple[int, int], page: int) -> None:
    rig = rig_with_plane(control, stride, offset=offset)
    buffer = rig.vgpu.exported_planes.fetch(asked(rig).dmabuf_id)
    pages = buffer.pages()
    assert pages is not None and pages[0] == rig.contents()[PAGE_SIZE * page : PAGE_SIZE * (page + 1)]


def test_planes_of_the_physical_gpu_can_be_had_too() -> None:
    host = Host("skl")
    gpu, planes = host.gpu, ExportedPlanes(host.gpu)
    block = host.memory.allocate(2)
    block.bytes[:] = random.Random(3).randbytes(2 * PAGE_SIZE)
    for number in range(2):
        gpu.ggtt.entries[32 + number] = block.address + PAGE_SIZE * number | 1
    for offset, value in {0: XRGB | 1 << 31, 8: 4, 0x10: 31 << 16 | 63, 0x1C: 32 << 12, 0x2C: 32 << 12}.items():
        gpu.registers.write32(plane_base(1) + offset, value)
    gpu.mmio.write32(TranscoderSwitch.conf.at("TRANSCODER_A"), 1 << 31)
    info = planes.query(PRIMARY)
    assert info is not None
    buffer = planes.fetch(info.dmabuf_id)
    pages = buffer.pages()
    assert pages is not None and b"".join(pages) == bytes(block.bytes)
    planes.close()
    assert buffer.pages() is None
    gpu.registers.write32(plane_base(1) + 0x2C, 0xFFFFF000)
    assert planes.query(PRIMARY) is None and gpu.findings.of_rule("plane-not-mapped")[0].value == 0xFFFFF000


# ---- the record ----


def test_the_record_is_answered_as_the_kernel_does() -> None:
    rig = rig_with_plane()
    planes = rig.vgpu.exported_planes
    probe = GFX_PLANE_INFO.pack(NOTHING._replace(flags=GfxPlaneFlags.of(probe=True, dmabuf=True)))
    assert planes.answer(probe) == probe and len(planes) == 0
    answer = GFX_PLANE_INFO.parse(planes.answer(GFX_PLANE_INFO.pack(NOTHING)))
    assert answer == asked(rig)


@pytest.mark.parametrize("flags", [0, 1, 4, 5, 6, 7, 8, 10, 11])
def test_another_way_than_a_buffer_is_not_known(flags: int) -> None:
    with pytest.raises(PeerError, match="flags 0x2") as refused:
        rig_with_plane().vgpu.exported_planes.answer(GFX_PLANE_INFO.pack(NOTHING._replace(flags=GfxPlaneFlags(flags))))
    assert refused.value.errno == errno.EINVAL


def test_a_plane_that_nobody_can_have_is_refused() -> None:
    planes = ScanoutRig().vgpu.exported_planes
    with pytest.raises(PeerError, match="type 0: 1 is the primary plane, 2 the cursor"):
        planes.answer(GFX_PLANE_INFO.pack(NOTHING._replace(drm_plane_type=0)))
    with pytest.raises(UsageError, match="OVERLAY"):
        planes.query(DrmPlaneType.OVERLAY)
    with pytest.raises(WireError):
        planes.answer(bytes(63))
