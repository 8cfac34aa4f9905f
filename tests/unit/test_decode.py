"""``pvinfo decode``: a page dump in words, and what a guest would make of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvinfo.__main__ import main
from pvinfo.errors import UsageError, WireError
from pvinfo.explain import PageExplanation, explain_page, read_dump
from pvinfo.page import VGT_IF, VGT_MAGIC, AvailableResources, GraphicsRange, PageRoot, VgtIf

MIB = 1 << 20


def page(**changes: object) -> VgtIf:
    """The page of a GVTg_V5_8 at the bottom of both parts, with ``changes``."""
    blank = VGT_IF.unpack_from(bytes(VGT_IF.size))
    filled = blank._replace(
        magic=VGT_MAGIC,
        version_major=1,
        vgt_id=1,
        vgt_caps=0x1C,
        avail_rs=AvailableResources(GraphicsRange(0, 64 * MIB), GraphicsRange(256 * MIB, 384 * MIB), 4, bytes(12)),
        cursor_x_hot=0xFFFFFFFF,
        cursor_y_hot=0xFFFFFFFF,
    )
    return filled._replace(**changes)  # type: ignore[arg-type]


def explain(**changes: object) -> PageExplanation:
    return explain_page(VGT_IF.pack(page(**changes)))


def ranges(low: GraphicsRange, high: GraphicsRange, fences: int = 4) -> AvailableResources:
    return AvailableResources(low, high, fences, bytes(12))


def meaning(explanation: PageExplanation, path: str) -> str:
    return next(field.meaning for field in explanation.fields if field.path == path)


def refusals(explanation: PageExplanation) -> list[str]:
    return [verdict.rule for verdict in explanation.verdicts if not verdict.accepted]


def test_a_faithful_page_is_accepted_and_its_ranges_are_told_in_mib() -> None:
    explanation = explain()
    assert explanation.accepted
    assert meaning(explanation, "vgt_caps") == "FULL_PPGTT, HWSP_EMULATION, HUGE_GTT"
    assert meaning(explanation, "avail_rs.mappable_gmadr.base") == "mappable slice: [0x0, 0x4000000) (64 MiB)"
    assert meaning(explanation, "avail_rs.nonmappable_gmadr.size") == "384 MiB"
    assert meaning(explanation, "avail_rs.fence_num") == "fence registers 0 to 3"
    assert meaning(explanation, "cursor_x_hot") == "never set"
    assert meaning(explanation, "g2v_notify") == "none sent yet"


def test_every_field_is_explained_and_zero_reserved_spans_are_left_out() -> None:
    assert [(field.offset, field.path) for field in explain().fields] == [
        (field.offset, field.path) for field in VGT_IF.fields if field.kind == "integer"
    ]


def test_a_reserved_span_with_something_in_it_is_shown_with_its_first_byte() -> None:
    (span,) = (field for field in explain(rsv5=bytes(5) + b"\x03" + bytes(10)).fields if field.path == "rsv5")
    assert span.offset == 0x808
    assert span.value == "…0x300…"
    assert span.meaning.endswith("1 of 16 bytes are not zero, the first at 0x80d")


def test_what_the_guest_has_said_is_told_by_name() -> None:
    roots = (PageRoot(0x14D0000, 1), PageRoot(0x123, 0), PageRoot(0, 0), PageRoot(0, 0))
    explanation = explain(display_ready=1, g2v_notify=5, pdp=roots, cursor_x_hot=7, execlist_context_descriptor_lo=0x10, execlist_context_descriptor_hi=2)
    assert meaning(explanation, "display_ready") == "the guest's display driver is up"
    assert meaning(explanation, "g2v_notify").startswith("last sent: PPGTT_L4_PAGE_TABLE_DESTROY, ")
    assert meaning(explanation, "pdp.0.lo") == "root 0 at guest-physical 0x1014d0000"
    assert meaning(explanation, "pdp.1.lo") == "root 1 at guest-physical 0x123, which is no page address"
    assert meaning(explanation, "pdp.2.lo") == "not set"
    assert meaning(explanation, "cursor_x_hot") == "7 pixels from the left edge"
    assert meaning(explanation, "execlist_context_descriptor_lo") == "descriptor 0x0000000200000010"


def test_an_unknown_notification_and_an_unknown_capability_are_called_so() -> None:
    explanation = explain(g2v_notify=8, vgt_caps=0x5C)
    assert meaning(explanation, "g2v_notify") == "no notification that a host knows"
    assert meaning(explanation, "vgt_caps") == "FULL_PPGTT, HWSP_EMULATION, HUGE_GTT, undeclared bits 0x40"


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"version_major": 0}, ["version"]),
        ({"vgt_caps": 0x18}, ["no-full-ppgtt"]),
        ({"vgt_caps": 0x14}, ["no-hwsp-emulation"]),
        ({"vgt_caps": 0}, ["no-full-ppgtt", "no-hwsp-emulation"]),
        ({"vgt_caps": 0x0C}, []),
        ({"avail_rs": ranges(GraphicsRange(0, 64 * MIB), GraphicsRange(256 * MIB, 384 * MIB), 33)}, ["too-many-fences"]),
        ({"avail_rs": ranges(GraphicsRange(0, 64 * MIB), GraphicsRange(256 * MIB, 384 * MIB), 0)}, []),
        ({"avail_rs": ranges(GraphicsRange(0, 64 * MIB), GraphicsRange(32 * MIB, 64 * MIB))}, ["nonmappable-in-aperture"]),
        ({"avail_rs": ranges(GraphicsRange(0, 130 * MIB), GraphicsRange(200 * MIB, 64 * MIB))}, ["mappable-past-aperture"]),
        ({"avail_rs": ranges(GraphicsRange(0, 64 * MIB), GraphicsRange(256 * MIB, 0xFFFFF000))}, ["nonmappable-past-ggtt"]),
        ({"avail_rs": ranges(GraphicsRange(0x800, 0x1000), GraphicsRange(256 * MIB, MIB))}, ["unaligned-slice"]),
    ],
)
def test_the_page_alone_is_judged_by_the_rules_of_the_guest_driver(changes: dict[str, object], refused: list[str]) -> None:
    explanation = explain(**changes)
    assert refusals(explanation) == refused
    assert explanation.accepted == (not refused)


def test_refusals_have_the_names_that_the_guest_driver_gives_them() -> None:
    """The rules are the page's here and the driver's there; their names must not drift apart."""
    from guest_driver.refusal import Refusal

    worst = ranges(GraphicsRange(0x800, 130 * MIB), GraphicsRange(200 * MIB, 0xF8000000), 40)
    found = {*refusals(explain(version_major=0, vgt_caps=0, avail_rs=worst)), *refusals(explain(avail_rs=ranges(GraphicsRange(0, MIB), GraphicsRange(0, MIB))))}
    assert found == {
        "version", "no-full-ppgtt", "no-hwsp-emulation", "unaligned-slice", "nonmappable-past-ggtt", "mappable-past-aperture",
        "nonmappable-in-aperture", "too-many-fences",
    }  # fmt: skip
    assert found <= {refusal.value for refusal in Refusal}


def test_for_which_apertures_the_ranges_fit_is_said_since_the_page_does_not_tell() -> None:
    (verdict,) = (verdict for verdict in explain().verdicts if verdict.rule == "ranges")
    assert "the slices fit if BAR2 is 128 MiB or 256 MiB and the GGTT spans 0x28000000 or more" in verdict.text


# ---- wrong dumps ----


@pytest.mark.parametrize("length", [0, 1, 4095])
def test_a_short_dump_is_refused_at_the_field_it_cuts(length: int) -> None:
    with pytest.raises(WireError, match=f"{length} bytes given, the record needs 4096"):
        explain_page(VGT_IF.pack(page())[:length])


def test_a_long_dump_is_refused_with_where_the_page_stands_in_bar0() -> None:
    with pytest.raises(WireError, match=r"0x2000 bytes given, the page ends after 0x1000; in a dump of BAR0 it stands at 0x78000"):
        explain_page(bytes(0x2000))


def test_a_wrong_magic_is_shown_beside_the_right_one() -> None:
    with pytest.raises(WireError) as caught:
        explain(magic=0x4776544776544777)
    assert caught.value.field == "magic"
    assert "0x4776544776544777 is not 0x4776544776544776 (ASCII vGTvGTvG)" in str(caught.value)


# ---- listings ----


def xxd(data: bytes, start: int = 0) -> str:
    lines = []
    for offset in range(0, len(data), 16):
        part = data[offset : offset + 16]
        pairs = " ".join(part[index : index + 2].hex() for index in range(0, len(part), 2))
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{start + offset:08x}: {pairs:<39}  {text}")
    return "\n".join(lines) + "\n"


def hexdump_c(data: bytes) -> str:
    lines, previous, folded = [], b"", False
    for offset in range(0, len(data), 16):
        part = data[offset : offset + 16]
        if part == previous:
            lines += [] if folded else ["*"]
            folded = True
            continue
        previous, folded = part, False
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{offset:08x}  {part[:8].hex(' ')}  {part[8:].hex(' ')}  |{text}|")
    return "\n".join([*lines, f"{len(data):08x}"]) + "\n"


@pytest.mark.parametrize("listing", [xxd(VGT_IF.pack(page())), xxd(VGT_IF.pack(page()), 0x78000), hexdump_c(VGT_IF.pack(page()))])
def test_listings_of_xxd_and_hexdump_are_read_like_the_raw_page(tmp_path: Path, listing: str) -> None:
    (tmp_path / "page.txt").write_text(listing)
    assert read_dump(tmp_path / "page.txt") == VGT_IF.pack(page())


def test_a_listing_with_a_gap_is_refused_at_its_line(tmp_path: Path) -> None:
    lines = xxd(VGT_IF.pack(page())).splitlines()
    (tmp_path / "page.txt").write_text("\n".join(lines[:3] + lines[4:]))
    with pytest.raises(WireError, match=r"line 4 at byte 0x30: address 0x40 does not follow on 0x30"):
        read_dump(tmp_path / "page.txt")


def test_a_raw_page_that_looks_like_text_stays_raw(tmp_path: Path) -> None:
    data = (b"00000000: 4776 5447\n" * 300)[:4096]
    (tmp_path / "page.bin").write_bytes(data)
    assert read_dump(tmp_path / "page.bin") == data


# ---- the command ----


def test_the_command_prints_fields_and_verdicts_and_succeeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "page.bin").write_bytes(VGT_IF.pack(page(vgt_caps=0x18)))
    assert main(["decode", str(tmp_path / "page.bin")]) == 0
    printed = capsys.readouterr().out
    assert "0x010  vgt_caps" in printed
    assert "REFUSED  no-full-ppgtt" in printed


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (bytes(100), "VgtIf.rsv3 at byte 0x60: 100 bytes given, the record needs 4096"),
        (bytes(4096), "VgtIf.magic at byte 0x0: 0x0000000000000000 is not 0x4776544776544776"),
    ],
)
def test_a_wrong_dump_is_one_line_of_error_and_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, told: str) -> None:
    dump = tmp_path / "page.bin"
    dump.write_bytes(content)
    assert main(["decode", str(dump)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"pvinfo: error: {dump}: {told}")
    assert captured.err.count("\n") == 1


def test_a_dump_that_is_not_there_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file or directory"):
        read_dump(tmp_path / "none")
    assert main(["decode", str(tmp_path / "none")]) == 2
    assert main(["decode", str(tmp_path)]) == 2
    assert "cannot be read: Is a directory" in capsys.readouterr().err
