from __future__ import annotations

import random

import pytest

from pvinfo.errors import WireError
from pvinfo.golden_state import FIRMWARE_HEADER, FirmwareHeader, GoldenState, firmware_file_name
from pvinfo.pci import CONFIG_SIZE
from pvinfo.registers.tracked import MMIO_SIZE

FILE_SIZE = 48 + 4096 + 0x200000


def state() -> GoldenState:
    config = bytearray(CONFIG_SIZE)
    config[0:4] = bytes.fromhex("86801219")  # 8086:1912
    config[8:12] = bytes.fromhex("06000003")  # revision 6, VGA class
    return GoldenState(bytes(config), bytes(MMIO_SIZE - 8) + random.Random(3).randbytes(8))


def rewritten(data: bytes, **fields: int) -> bytes:
    """``data`` with header fields replaced and the check sum made right again."""
    header = FIRMWARE_HEADER.unpack_from(data)._replace(**fields)
    body = FIRMWARE_HEADER.pack(header)[12:] + data[48:]
    return FIRMWARE_HEADER.pack(header._replace(crc32=bitwise_crc32(body)))[:12] + body


_TABLE = []
for _byte in range(256):
    for _ in range(8):
        _byte = _byte >> 1 ^ (0xEDB88320 if _byte & 1 else 0)
    _TABLE.append(_byte)


def bitwise_crc32(data: bytes) -> int:
    """CRC-32, least significant bit first, seed 0, written out from its definition."""
    crc = 0
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc


def test_the_file_has_the_size_the_kernel_publishes() -> None:
    assert len(state().to_bytes()) == FILE_SIZE == 2101296


def test_what_is_written_is_read_back() -> None:
    assert GoldenState.from_bytes(state().to_bytes()) == state()


def test_the_header_names_magic_sizes_and_places() -> None:
    assert FIRMWARE_HEADER.unpack_from(state().to_bytes())._replace(crc32=0) == FirmwareHeader(
        0x4776544776544776, 0, 0, 4096, 48, 0x200000, 48 + 4096
    )


def test_the_check_sum_begins_with_zero_and_is_not_inverted() -> None:
    data = state().to_bytes()
    assert FIRMWARE_HEADER.unpack_from(data).crc32 == bitwise_crc32(data[12:])


def test_the_file_is_named_after_vendor_device_and_revision() -> None:
    assert state().file_name == "vid_0x8086_did_0x1912_rid_0x06.golden_hw_state"
    assert firmware_file_name(0x8086, 0x16, 0xA) == "vid_0x8086_did_0x0016_rid_0x0a.golden_hw_state"


def test_parts_may_stand_in_any_order() -> None:
    wanted = state()
    plain = wanted.to_bytes()
    swapped = plain[:48] + wanted.mmio + wanted.config
    assert GoldenState.from_bytes(rewritten(swapped, cfg_space_offset=48 + MMIO_SIZE, mmio_offset=48)) == wanted


def test_a_file_cut_inside_its_header_names_the_field_that_is_cut() -> None:
    with pytest.raises(WireError, match=r"FirmwareHeader\.crc32 at byte 0x8: 11 bytes given"):
        GoldenState.from_bytes(state().to_bytes()[:11])


def test_a_file_with_another_magic_is_refused() -> None:
    data = b"\0" + state().to_bytes()[1:]
    with pytest.raises(WireError, match=r"FirmwareHeader\.magic.*0x4776544776544700 is not 0x4776544776544776"):
        GoldenState.from_bytes(data)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"version": 1}, r"\.version at byte 0xc: version 1"),
        ({"cfg_space_size": 256}, r"\.cfg_space_size at byte 0x10: 256 bytes, the kernel takes exactly 4096"),
        ({"mmio_size": 0x400000}, r"\.mmio_size at byte 0x20: 4194304 bytes, the kernel takes exactly 2097152"),
        ({"cfg_space_offset": 47}, r"\.cfg_space_offset at byte 0x18: 0x2f lies inside the header"),
        ({"mmio_offset": 4145}, r"\.mmio_offset at byte 0x28: 0x1031 and 2097152 bytes go beyond the end of the file at 0x201030"),
        ({"mmio_offset": 1 << 63}, r"\.mmio_offset at byte 0x28: 0x8000000000000000 and 2097152 bytes go beyond"),
        ({"cfg_space_offset": 5000}, r"\.mmio_offset at byte 0x28: registers at 0x1030 lie over the configuration space at 0x1388"),
    ],
)
def test_a_header_that_breaks_a_rule_is_refused_by_that_rule(fields: dict[str, int], message: str) -> None:
    with pytest.raises(WireError, match=message):
        GoldenState.from_bytes(rewritten(state().to_bytes(), **fields))


def test_one_flipped_bit_anywhere_after_the_check_sum_is_noticed() -> None:
    good = state().to_bytes()
    rng = random.Random(11)
    for place in (12, 48, FILE_SIZE - 1, *(rng.randrange(12, FILE_SIZE) for _ in range(5))):
        bad = bytearray(good)
        bad[place] ^= 1 << rng.randrange(8)
        with pytest.raises(WireError):
            GoldenState.from_bytes(bytes(bad))


def test_a_flipped_bit_of_the_content_is_called_a_wrong_check_sum() -> None:
    bad = bytearray(state().to_bytes())
    bad[-1] ^= 0x80
    with pytest.raises(WireError, match=r"\.crc32 at byte 0x8: 0x[0-9a-f]{8} stands in the file, its content gives 0x[0-9a-f]{8}"):
        GoldenState.from_bytes(bytes(bad))


def test_a_part_of_the_wrong_length_cannot_be_written() -> None:
    with pytest.raises(WireError, match=r"\.cfg_space_size.*256 bytes given"):
        state()._replace(config=bytes(256)).to_bytes()
    with pytest.raises(WireError, match=r"\.mmio_size.*0 bytes given"):
        state()._replace(mmio=b"").to_bytes()


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ((0x1002, 0x1912, 6), r"ConfigHeader\.vendor_id at byte 0x0: .* 0x8086 here, this one has 0x1002"),
        ((0x8086, 0x5912, 6), r"ConfigHeader\.device_id at byte 0x2: .* 0x1912 here, this one has 0x5912"),
        ((0x8086, 0x1912, 7), r"ConfigHeader\.class_code at byte 0x8: .* 0x6 here, this one has 0x7"),
    ],
)
def test_a_state_of_another_gpu_is_refused(device: tuple[int, int, int], message: str) -> None:
    with pytest.raises(WireError, match=message):
        state().require_device(*device)


def test_a_state_of_the_same_gpu_is_accepted() -> None:
    state().require_device(0x8086, 0x1912, 6)
