"""``pvinfo decode`` of an OpRegion: its fields in words, and what a display driver makes of it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pvinfo.__main__ import main
from pvinfo.connector import Connector, Link, Port
from pvinfo.errors import WireError
from pvinfo.opregion import OPREGION, VBT_OFFSET, opregion
from pvinfo.opregion.explain import OpRegionExplanation, explain_opregion
from pvinfo.platform import PLATFORMS

SKL = PLATFORMS["skl"]
DP_D = Connector(Port.D, Link.DISPLAYPORT)
HDMI_B = Connector(Port.B, Link.HDMI)
CHILD = VBT_OFFSET + 88
VERSION = VBT_OFFSET + 64


def explain(*changes: tuple[int, bytes], connectors: tuple[Connector, ...] = (DP_D, HDMI_B)) -> OpRegionExplanation:
    raw = bytearray(opregion(connectors, SKL))
    for at, data in changes:
        raw[at : at + len(data)] = data
    return explain_opregion(bytes(raw))


def meanings(explanation: OpRegionExplanation) -> dict[str, str]:
    return {field.path: field.meaning for field in explanation.fields}


def verdict(explanation: OpRegionExplanation, rule: str) -> tuple[bool, str]:
    (found,) = (verdict for verdict in explanation.verdicts if verdict.rule == rule)
    return found.accepted, found.text


def test_what_the_header_says_is_told_in_words() -> None:
    told = meanings(explain())
    assert told["header.size"].startswith("8 KiB")
    assert told["header.version"] == "major 2"
    assert told["header.mailboxes"] == "vbt"
    assert told["acpi.clid"] == "lid OPEN"


def test_child_devices_are_told_by_the_connectors_that_they_make() -> None:
    explanation = explain()
    children = [(field.offset, field.size, field.path, field.value, field.meaning) for field in explanation.fields if field.path.startswith("child ")]
    assert children == [
        (CHILD, 33, "child 0", "0x68c6", "DP-D, port DP_D, AUX channel D"),
        (CHILD + 33, 33, "child 1", "0x60d2", "HDMI-B, port HDMI_B, DDC pin 5"),
    ]
    assert explanation.accepted
    assert verdict(explanation, "connectors") == (True, "the driver makes DP-D, HDMI-B and no other connector")


def test_fields_stand_in_order_and_zero_ones_are_left_out() -> None:
    explanation = explain()
    offsets = [field.offset for field in explanation.fields]
    assert offsets == sorted(offsets) and len(set(offsets)) == len(offsets)
    assert not {"acpi.drdy", "swsci.scic", "vbt.reserved0"} & set(meanings(explanation))


def test_what_else_firmware_puts_there_is_shown() -> None:
    explanation = explain((OPREGION.offset_of("header.bios_version"), b"SKLSE2R1.R00"), (OPREGION.offset_of("swsci.scic"), b"\x29\x05"))
    values = {field.path: field.value for field in explanation.fields}
    assert values["header.bios_version"] == "'SKLSE2R1.R00'"
    assert meanings(explanation)["swsci.scic"] == "indicator, function GET_BIOS_DATA, exit_status SUCCESS, sub_function 5"


@pytest.mark.parametrize(
    ("changes", "connectors", "rule", "accepted", "text"),
    [
        ([(VBT_OFFSET + 26, b"\x00")], (DP_D,), "checksum", True, "do not add up to a multiple of 256"),
        ([(VERSION, (196).to_bytes(2, "little"))], (DP_D,), "child-size", False, "child devices of 33 bytes, version 196 has 38"),
        ([(VBT_OFFSET + 80, b"\x03")], (DP_D,), "no-definitions", False, "block 2 is missing: the driver makes no connector"),
        ([(CHILD + 33 + 16, b"\x03")], (DP_D, HDMI_B), "port-twice", False, "HDMI-D: port D is named by two child devices; the first has it"),
        ([(CHILD + 16, b"\x04")], (DP_D,), "connectors", True, "the driver makes no connector"),
        ([], (), "connectors", True, "the driver makes no connector"),
        ([(23, b"\x03"), (88, b"\x0a")], (DP_D,), "swsci", False, "mailbox 2 with version 3 or later"),
    ],
)
def test_what_a_driver_would_complain_of_is_said(
    changes: list[tuple[int, bytes]], connectors: tuple[Connector, ...], rule: str, accepted: bool, text: str
) -> None:
    said = verdict(explain(*changes, connectors=connectors), rule)
    assert said[0] is accepted and text in said[1]


@pytest.mark.parametrize(("minor", "where"), [(0, "is at 0x2000"), (1, "is behind the OpRegion, at 0x2000")])
def test_a_vbt_elsewhere_is_named_by_its_place(minor: int, where: str) -> None:
    rvda = OPREGION.offset_of("asle.rvda")
    explanation = explain((22, bytes([minor])), (88, b"\x0c"), (rvda, (0x2000).to_bytes(8, "little") + b"\0\x10"))
    assert where in verdict(explanation, "vbt-elsewhere")[1]


def test_the_command_takes_an_opregion_raw_or_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = opregion([DP_D], SKL)
    (tmp_path / "raw").write_bytes(raw)
    lines, blank = [], False
    for at in range(0, len(raw), 16):
        row = raw[at : at + 16]
        if at and not any(row) and not any(raw[at - 16 : at]):
            lines += [] if blank else ["*"]
            blank = True
            continue
        blank = False
        lines.append(f"{at:08x}  {row[:8].hex(' ')}  {row[8:].hex(' ')}  |{'.' * 16}|")
    (tmp_path / "listed").write_text("\n".join([*lines, "00002000", ""]))
    printed = []
    for name in ("raw", "listed"):
        assert main(["decode", str(tmp_path / name)]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "0x458  child 0 " in printed[0]
    assert printed[0].endswith("ok       connectors  the driver makes DP-D and no other connector\n")


def test_the_command_says_what_is_wrong_with_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cut"
    path.write_bytes(opregion([DP_D], SKL)[:4096])
    assert main(["decode", str(path)]) == 1
    assert capsys.readouterr().err == f"pvinfo: error: {path}: OpRegion at byte 0x1000: 4096 bytes given, an OpRegion has 8192\n"


def test_damaged_opregions_are_explained_or_refused() -> None:
    generator = random.Random(11)
    fresh = opregion([DP_D, HDMI_B], SKL)
    explained = 0
    for _ in range(1500):
        raw = bytearray(fresh)
        for _ in range(generator.randint(1, 5)):
            raw[generator.choice((16 + generator.randrange(80), VBT_OFFSET + generator.randrange(176)))] = generator.randrange(256)
        try:
            explanation = explain_opregion(bytes(raw))
        except WireError:
            continue
        explained += 1
        assert explanation.verdicts[0].rule == "version"
    assert 0 < explained < 1500
