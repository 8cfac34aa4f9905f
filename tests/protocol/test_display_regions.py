"""The display over a vfio-user socket: a client plugs monitors in and out, and reads the picture."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from guest_driver import GuestDriver
from guest_driver.transport.vfio_user import VfioUserMachine, connect
from host_model.device.display.edid_region import EdidRegion
from host_model.device.display.monitor import Monitor
from host_model.host import Host
from host_model.mediator.vgpu import Vgpu
from host_model.monitor_choice import MonitorChoice
from host_model.scanout import raw_frame, scan_out
from host_model.serving import ServedHost, ServedType
from pvinfo.connector import Link, default_connector
from pvinfo.edid import edid_for, parse_edid
from pvinfo.errors import PeerError
from pvinfo.finding import FindingKind
from pvinfo.frame import FRAME_HEADER, FrameHeader
from pvinfo.gfx_edid import GFX_EDID_REGISTERS, GfxEdidRegisters
from pvinfo.platform import platform_named
from pvinfo.units import MIB
from pvinfo.vfio_user import HEADER, REGION_INFO, WRITE_MULTI, WRITE_MULTI_ENTRY, Command, RegionFlags, RegionInfo, WriteMulti, WriteMultiEntry
from support.displays import AuxLine
from support.lit_screen import dark, light, paint
from support.serving import serving_one
from support.vfio_wire import Raw, message, refusal, region_read, region_write, region_write_reply, reply

EDID, FRAME = 10, 11
SIZE, MAX_XRES, LINK, BLOB = 8, 12, 20, 2048
UP, DOWN = 1, 2
WHOLE_EDID_REGION = 2048 + 32768
WHOLE_FRAME_REGION = 64 + 8192 * 4096 * 4


class Client:
    """One client of one served vGPU, on a real socket."""

    def __init__(self, folder: Path, monitor: MonitorChoice = MonitorChoice()) -> None:
        self.path = folder / "gpu"
        self.host = ServedHost("skl", [ServedType(None, self.path)], monitor=monitor)
        self.vgpu: Vgpu = self.host.host.vgpus[1]
        self.connect()

    def connect(self) -> None:
        self.raw = Raw(self.path, lambda: self.host.step(0.005))

    def monitor(self) -> Monitor | None:
        return self.vgpu.display.monitor

    def leave(self) -> None:
        self.raw.close()
        while any(device.connected for device in self.host.devices):
            self.host.step(0.005)

    def read(self, region: int, offset: int, length: int) -> bytes:
        answer = self.raw.ask(region_read(region, offset, length), HEADER.size + 16 + length)
        assert answer[8] & 0xF == 1 and not answer[8] & 0x20, f"refused with errno {answer[12]}"
        return answer[HEADER.size + 16 :]

    def write(self, region: int, offset: int, data: bytes) -> None:
        assert self.raw.ask(region_write(region, offset, data), HEADER.size + 16) == region_write_reply(region, offset, len(data))

    def refused(self, region: int, offset: int, what: int | bytes, error: int = errno.EINVAL) -> str:
        """That an access, to write bytes or read so many, is refused; the rule."""
        data = region_read(region, offset, what) if isinstance(what, int) else region_write(region, offset, what)
        command = Command.REGION_READ if isinstance(what, int) else Command.REGION_WRITE
        assert self.raw.ask(data, HEADER.size) == refusal(command, error)
        last = list(self.vgpu.findings)[-1]
        assert last.kind is FindingKind.NOTE and last.rule == "vfio-user-request"
        return last.where

    def register(self, offset: int) -> int:
        return int.from_bytes(self.read(EDID, offset, 4), "little")

    def set(self, offset: int, value: int) -> None:
        self.write(EDID, offset, value.to_bytes(4, "little"))

    def plug(self, edid: bytes) -> None:
        """As the protocol of the region says."""
        self.set(LINK, DOWN)
        self.set(SIZE, len(edid))
        self.write(EDID, BLOB, edid)
        self.set(LINK, UP)

    def registers(self) -> GfxEdidRegisters:
        return GFX_EDID_REGISTERS.parse(b"".join(self.read(EDID, offset, 4) for offset in range(0, 24, 4)))

    def header(self) -> FrameHeader:
        return FRAME_HEADER.parse(self.read(FRAME, 0, FRAME_HEADER.size))

    def write32(self, offset: int, value: int) -> None:
        self.write(0, offset, value.to_bytes(4, "little"))

    def close(self) -> None:
        self.raw.close()
        self.host.close()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    client = Client(tmp_path)
    yield client
    client.close()


# ---- which regions there are ----


@pytest.mark.parametrize(
    ("region", "size", "writable", "kind"),
    [
        (EDID, WHOLE_EDID_REGION, True, "01000000 01000000"),
        (FRAME, WHOLE_FRAME_REGION, False, "86800080 47565446"),
    ],
)
def test_capabilities_say_which_region_is_which(client: Client, region: int, size: int, writable: bool, kind: str) -> None:
    asked = message(Command.DEVICE_GET_REGION_INFO, REGION_INFO.pack(RegionInfo(64, RegionFlags(0), region, 0, 0, 0)))
    told = REGION_INFO.pack(RegionInfo(48, RegionFlags.of(read=True, write=writable, caps=True), region, 32, size, 0))
    capability = bytes.fromhex("0200 0100 00000000" + kind)
    assert client.raw.ask(asked, HEADER.size + 48) == reply(Command.DEVICE_GET_REGION_INFO, told + capability)


# ---- the monitor ----


def test_the_registers_tell_of_the_monitor_that_is_there(client: Client) -> None:
    assert client.registers() == GfxEdidRegisters(2048, 32768, 128, 8192, 4096, UP)
    assert client.read(EDID, BLOB, 128) == edid_for("1024x768")


def test_a_new_edid_is_a_new_monitor_which_the_guest_reads_over_its_cable(client: Client) -> None:
    line = AuxLine(client.vgpu.bar(0), 0x64310)  # type: ignore[arg-type]
    assert parse_edid(line.edid()).name == "GVT 1024x768"
    client.plug(edid_for("1920x1080"))
    assert line.edid() == edid_for("1920x1080")
    assert client.registers() == GfxEdidRegisters(2048, 32768, 128, 8192, 4096, UP)
    assert str(client.monitor()) == "GVT 1920x1080 at DP-D"


def test_link_down_pulls_the_cable_and_up_again_plugs_the_same_monitor_in(client: Client) -> None:
    client.set(LINK, DOWN)
    assert client.monitor() is None
    assert client.registers() == GfxEdidRegisters(2048, 32768, 128, 8192, 4096, DOWN)
    client.set(LINK, UP)
    monitor = client.monitor()
    assert monitor is not None and monitor.edid == edid_for("1024x768")


def test_a_driver_that_watches_the_port_hears_of_both(client: Client) -> None:
    client.write32(0xC4004, ~(1 << 23) & 0xFFFFFFFF)
    client.write32(0xC400C, 0xFFFFFFFF)
    client.write32(0xC4030, 1 << 20)
    present = 1 << 23
    assert int.from_bytes(client.read(0, 0xC4000, 4), "little") & present
    client.set(LINK, DOWN)
    assert not int.from_bytes(client.read(0, 0xC4000, 4), "little") & present
    assert int.from_bytes(client.read(0, 0xC4008, 4), "little") == present
    client.write32(0xC4008, present)
    client.set(LINK, UP)
    assert int.from_bytes(client.read(0, 0xC4000, 4), "little") & present
    assert int.from_bytes(client.read(0, 0xC4008, 4), "little") == present


def test_writes_that_come_together_are_done_in_order(client: Client) -> None:
    entries = [WriteMultiEntry(LINK, EDID, 4, DOWN.to_bytes(8, "little")), WriteMultiEntry(SIZE, EDID, 4, (256).to_bytes(8, "little"))]
    entries.append(WriteMultiEntry(LINK, EDID, 4, UP.to_bytes(8, "little")))
    body = WRITE_MULTI.pack(WriteMulti(3)) + b"".join(map(WRITE_MULTI_ENTRY.pack, entries))
    answer = reply(Command.REGION_WRITE_MULTI, WRITE_MULTI.pack(WriteMulti(2)))
    assert client.raw.ask(message(Command.REGION_WRITE_MULTI, body), len(answer)) == answer
    assert client.monitor() is None and client.register(SIZE) == 256


def test_extension_blocks_go_over_too(client: Client) -> None:
    hdmi = edid_for("1280x720", Link.HDMI)
    assert len(hdmi) == 256
    client.plug(hdmi)
    assert client.read(EDID, BLOB, 256) == hdmi
    monitor = client.monitor()
    assert monitor is not None and monitor.identity.hdmi


def test_a_monitor_plugged_in_stays_where_the_first_was(tmp_path: Path) -> None:
    client = Client(tmp_path, MonitorChoice("HDMI-C"))
    try:
        client.plug(edid_for("1600x900"))
        assert str(client.monitor()) == "GVT 1600x900 at HDMI-C"
    finally:
        client.close()


def test_one_comes_to_a_vgpu_that_never_had_any(tmp_path: Path) -> None:
    client = Client(tmp_path, MonitorChoice("none"))
    try:
        assert client.registers() == GfxEdidRegisters(2048, 32768, 0, 8192, 4096, DOWN)
        assert client.refused(EDID, LINK, b"\1\0\0\0") == (
            "EDID region: link_state 1 (up): EDID byte 0x0: the data ends after 0 bytes; an EDID is made of blocks of 128 bytes"
        )
        client.plug(edid_for("1600x900"))
        assert str(client.monitor()) == "GVT 1600x900 at DP-D"
    finally:
        client.close()


def test_an_edid_that_is_none_is_refused_and_the_monitor_stays(client: Client) -> None:
    before = client.monitor()
    client.write(EDID, BLOB + 127, b"\0")
    wanted = edid_for("1024x768")[127]
    assert client.refused(EDID, LINK, b"\1\0\0\0") == (
        f"EDID region: link_state 1 (up): EDID byte 0x7f: 0x00; the block's sum must be a multiple of 256, so here must be {wanted:#04x}"
    )
    assert client.monitor() is before
    assert client.register(LINK) == UP
    client.set(LINK, DOWN)
    client.refused(EDID, LINK, b"\1\0\0\0")
    assert client.register(LINK) == DOWN and client.monitor() is None
    client.write(EDID, BLOB + 127, bytes([wanted]))
    client.set(LINK, UP)
    assert str(client.monitor()) == "GVT 1024x768 at DP-D"


@pytest.mark.parametrize("register", [0, 4, MAX_XRES, 16])
def test_limits_cannot_be_written(client: Client, register: int) -> None:
    name = GfxEdidRegisters._fields[register // 4]
    assert client.refused(EDID, register, bytes(4), errno.EPERM) == f"EDID region: {name} can only be read"


REGISTERS = "; registers are dwords from 0 to 0x14, and the EDID begins at 0x800"


@pytest.mark.parametrize(
    ("offset", "access", "why"),
    [
        (0, 8, "EDID region: 8 bytes at 0x0" + REGISTERS),
        (20, b"\1", "EDID region: 1 bytes at 0x14" + REGISTERS),
        (20, bytes(8), "EDID region: 8 bytes at 0x14" + REGISTERS),
        (2, 4, "EDID region: 4 bytes at 0x2" + REGISTERS),
        (24, 4, "EDID region: 4 bytes at 0x18" + REGISTERS),
        (2044, bytes(4), "EDID region: 4 bytes at 0x7fc" + REGISTERS),
        (LINK, bytes(4), "EDID region: link_state 0, must be 1 (up) or 2 (down)"),
        (LINK, b"\3\0\0\0", "EDID region: link_state 3, must be 1 (up) or 2 (down)"),
        (SIZE, b"\1\x80\0\0", "EDID region: edid_size 32769, must be 32768 at most"),
        (BLOB, 129, "EDID region: bytes 0 to 129 of the EDID, whose edid_size is 128"),
        (BLOB + 128, b"\0", "EDID region: bytes 128 to 129 of the EDID, whose edid_size is 128"),
        (WHOLE_EDID_REGION - 4, 8, "access to [0x87fc, 0x8804) (8 bytes) of region 10, which has 0x8800 bytes"),
    ],
)
def test_other_accesses_are_refused_and_change_nothing(client: Client, offset: int, access: int | bytes, why: str) -> None:
    before, monitor = client.registers(), client.monitor()
    assert client.refused(EDID, offset, access) == why
    assert client.registers() == before and client.monitor() is monitor


def test_an_edid_grows_with_zeros_and_shrinks_from_its_end(client: Client) -> None:
    client.set(SIZE, 130)
    assert client.read(EDID, BLOB + 126, 4) == edid_for("1024x768")[126:] + bytes(2)
    client.set(SIZE, 8)
    client.set(SIZE, 16)
    assert client.read(EDID, BLOB, 16) == edid_for("1024x768")[:8] + bytes(8)


def test_a_draft_goes_with_its_writer_and_a_monitor_stays(client: Client) -> None:
    client.plug(edid_for("1600x900"))
    client.write(EDID, BLOB, bytes(128))
    client.leave()
    client.connect()
    assert client.read(EDID, BLOB, 128) == edid_for("1600x900")
    assert client.register(LINK) == UP


def test_what_the_host_plugs_in_the_client_sees(client: Client) -> None:
    client.write(EDID, BLOB, bytes(16))
    monitor = MonitorChoice("HDMI-B", mode="1680x1050").monitor(client.vgpu.platform, "")
    assert monitor is not None
    client.vgpu.display.plug(monitor)
    assert client.register(SIZE) == 256
    assert client.read(EDID, BLOB, 256) == monitor.edid


# ---- the picture ----


def test_a_dark_screen_is_a_header_without_a_picture(client: Client) -> None:
    header = client.header()
    assert (header.magic, header.version, header.pixels_offset, header.sequence) == (b"GVTFRAME", 1, 64, 2)
    assert (header.width, header.height, header.size) == (0, 0, 0)
    assert client.read(FRAME, 64, 8) == bytes(8)


def test_the_region_reads_as_a_raw_file_in_pieces_of_any_length(client: Client) -> None:
    light(client.write32, 61, 47, 0x3366FC)
    frame = scan_out(client.vgpu)
    assert frame is not None
    whole = raw_frame(frame, 2)
    for step in (64, 1000, 4093, len(whole)):
        pieces = [client.read(FRAME, at, min(step, len(whole) - at)) for at in range(0, len(whole), step)]
        assert b"".join(pieces) == whole
    assert whole[64:68] == bytes((0xFC, 0x66, 0x33, 0))
    assert client.read(FRAME, len(whole) - 4, 12) == whole[-4:] + bytes(8)


def test_only_a_read_from_the_beginning_takes_a_new_picture(client: Client) -> None:
    light(client.write32, 64, 48, 0x3366FC)
    assert client.header().sequence == 2
    paint(client.write32, 0xFC0000)
    assert client.read(FRAME, 64, 4) == bytes((0xFC, 0x66, 0x33, 0))
    assert client.read(FRAME, 16, 8) == (2).to_bytes(8, "little")
    assert client.header().sequence == 4
    assert client.read(FRAME, 64, 4) == bytes((0, 0, 0xFC, 0))
    assert client.header().sequence == 4
    dark(client.write32)
    assert (client.header().sequence, client.header().width) == (6, 0)


def test_before_the_first_picture_there_is_none(client: Client) -> None:
    light(client.write32)
    assert client.read(FRAME, 16, 64) == bytes(64)


def test_the_picture_goes_with_its_client(client: Client) -> None:
    light(client.write32, 64, 48, 0x3366FC)
    client.header()
    client.leave()
    client.connect()
    assert client.read(FRAME, 64, 4) == bytes(4)
    assert client.header().size == 0, "what was shown was the memory of the one before"
    light(client.write32, 64, 48, 0x3366FC)
    assert client.header().sequence == 4
    assert client.read(FRAME, 64, 4) == bytes((0xFC, 0x66, 0x33, 0))


def test_the_picture_cannot_be_written_and_ends_where_the_region_does(client: Client) -> None:
    client.refused(FRAME, 64, bytes(4))
    client.refused(FRAME, WHOLE_FRAME_REGION - 2, 4)
    assert client.read(FRAME, WHOLE_FRAME_REGION - 4, 4) == bytes(4)


# ---- beside a driver at work ----


def picture_of(machine: VfioUserMachine) -> tuple[FrameHeader, bytes]:
    """The picture, read as a program in C would."""
    header = FRAME_HEADER.parse(machine.client.read(FRAME, 0, FRAME_HEADER.size))
    ends = range(header.pixels_offset, header.pixels_offset + header.size, 1 << 20)
    pixels = b"".join(machine.client.read(FRAME, at, min(1 << 20, header.pixels_offset + header.size - at)) for at in ends)
    return header, pixels


def wait_for(driver: GuestDriver, condition: Callable[[], bool]) -> None:
    """Let the driver run until ``condition`` holds, or for five seconds."""
    for _ in range(100):
        if condition():
            return
        driver.wait(50_000_000)


def test_a_driver_hears_of_a_monitor_that_its_machine_plugs_in_and_the_machine_sees_what_it_shows(tmp_path: Path) -> None:
    with serving_one(tmp_path) as path, connect(path, 64 * MIB) as machine:
        driver = GuestDriver(machine)
        driver.probe()
        (output,) = driver.display.detect()
        screen = driver.display.set_mode()
        changed: list[str] = []
        driver.display.on_hotplug = lambda output: changed.append(str(output.connector))
        assert (picture_of(machine)[0].width, picture_of(machine)[0].height) == (1024, 768)

        machine.client.write(EDID, LINK, DOWN.to_bytes(4, "little"))
        wait_for(driver, lambda: len(changed) > 0)
        assert (changed, output.connected) == (["DP-D"], False)
        driver.display.switch_off(screen)
        assert picture_of(machine)[0].width == 0

        edid = edid_for("1280x720")
        machine.client.write(EDID, SIZE, len(edid).to_bytes(4, "little"))
        machine.client.write(EDID, BLOB, edid)
        machine.client.write(EDID, LINK, UP.to_bytes(4, "little"))
        wait_for(driver, lambda: len(changed) > 1)
        assert (changed, output.connected) == (["DP-D", "DP-D"], True)
        screen = driver.display.set_mode()
        assert screen.mode.resolution == "1280x720" and screen.framebuffer is not None
        rows = [bytes((y & 0xFF, y >> 8, 0x7F, 0)) * 1280 for y in range(720)]
        screen.framebuffer.draw(rows)
        header, pixels = picture_of(machine)
        assert (header.width, header.height, header.pitch) == (1280, 720, 5120)
        assert pixels == b"".join(rows)
        driver.unload()


# ---- whatever comes ----


@pytest.mark.parametrize("seed", range(4))
def test_random_accesses_never_leave_a_monitor_that_no_driver_could_use(seed: int) -> None:
    random = Random(seed)
    display = Host("skl").plug().vgpu.display
    region = EdidRegion(display, default_connector(platform_named("skl")))
    edids = [edid_for(resolution, link) for resolution in ("1024x768", "1920x1080") for link in Link]
    blocks = [edid[:128] for edid in edids]
    refused = plugged = 0
    for _ in range(3000):
        if random.random() < 0.2:
            offset, data = random.randrange(WHOLE_EDID_REGION), random.randbytes(random.randrange(1, 300))
        elif random.random() < 0.4:
            offset, data = BLOB, random.choice(edids)
        else:
            value = random.choice([UP, UP, DOWN, 128, 256, 256, random.getrandbits(32)])
            offset, data = random.choice([SIZE, LINK]), value.to_bytes(4, "little")
        if offset + len(data) > region.size:
            continue
        before = display.monitor
        try:
            region.write(offset, data)
        except PeerError as error:
            assert error.errno in (errno.EINVAL, errno.EPERM)
            assert display.monitor is before
            refused += 1
            continue
        if display.monitor is not before and display.monitor is not None:
            plugged += 1
            assert display.monitor.edid[:128] in blocks and sum(display.monitor.edid) % 256 == 0
        size = int.from_bytes(region.read(SIZE, 4), "little")
        assert len(region.read(BLOB, size)) == size
        assert int.from_bytes(region.read(LINK, 4), "little") == (DOWN if display.monitor is None else UP)
    assert refused > 500 and plugged > 20
