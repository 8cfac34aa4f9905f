"""The C header, judged by a C compiler."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pvinfo.docgen import collect, render
from pvinfo.docgen.c_header import HEADER_NAME, render_c_header
from pvinfo.docgen.model import ConstantDoc
from pvinfo.errors import LayoutError

COMPILER = shutil.which("cc") or shutil.which("gcc")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler (cc, gcc) on this machine")

PAGE_LAYOUT = {
    "magic": (0x000, 8),
    "version_major": (0x008, 2),
    "version_minor": (0x00A, 2),
    "vgt_id": (0x00C, 4),
    "vgt_caps": (0x010, 4),
    "rsv1": (0x014, 0x2C),
    "avail_rs": (0x040, 0x20),
    "avail_rs.mappable_gmadr.base": (0x040, 4),
    "avail_rs.mappable_gmadr.size": (0x044, 4),
    "avail_rs.nonmappable_gmadr.base": (0x048, 4),
    "avail_rs.nonmappable_gmadr.size": (0x04C, 4),
    "avail_rs.fence_num": (0x050, 4),
    "avail_rs.rsv2": (0x054, 0xC),
    "rsv3": (0x060, 0x7A0),
    "rsv4": (0x800, 4),
    "display_ready": (0x804, 4),
    "rsv5": (0x808, 0x10),
    "g2v_notify": (0x818, 4),
    "rsv6": (0x81C, 0x14),
    "cursor_x_hot": (0x830, 4),
    "cursor_y_hot": (0x834, 4),
    "pdp": (0x838, 0x20),
    "pdp[0].lo": (0x838, 4),
    "pdp[0].hi": (0x83C, 4),
    "pdp[1].lo": (0x840, 4),
    "pdp[1].hi": (0x844, 4),
    "pdp[2].lo": (0x848, 4),
    "pdp[2].hi": (0x84C, 4),
    "pdp[3].lo": (0x850, 4),
    "pdp[3].hi": (0x854, 4),
    "execlist_context_descriptor_lo": (0x858, 4),
    "execlist_context_descriptor_hi": (0x85C, 4),
    "rsv7": (0x860, 0x7A0),
}
"""The kernel's struct vgt_if: offset and size of each field."""

VALUES = {
    "GVTG_VGT_MAGIC": 0x4776544776544776,
    "GVTG_PVINFO_BASE": 0x78000,
    "GVTG_VGTIF_REG_G2V_NOTIFY": 0x78818,
    "GVTG_VGTIF_REG_PDP_3_HI": 0x78854,
    "GVTG_RCS0_RING_CTL": 0x203C,
    "GVTG_VECS0_RING_ELSP": 0x1A230,
    "GVTG_RCS0_RING_FORCE_TO_NONPRIV(11)": 0x24FC,
    "GVTG_RCS0_RING_FORCE_TO_NONPRIV_COUNT": 12,
    "GVTG_BCS0_GEN8_RING_PDP_UDW(3)": 0x2228C,
    "GVTG_RING_CONTROL_LENGTH_PAGES_MASK": 0x001FF000,
    "GVTG_RING_CONTROL_LENGTH_PAGES_SHIFT": 12,
    "GVTG_GGTT_ENTRY_FRAME_MASK": 0x3FFFFFFFF000,
    "GVTG_CAPABILITY_HUGE_GTT": 0x10,
    "GVTG_NOTIFICATION_PPGTT_L4_PAGE_TABLE_DESTROY": 5,
}
"""What the macros and enumerators must come to."""


@pytest.fixture(scope="module")
def header(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("header")
    for name, content in render(collect(), ["c-header"]):
        (directory / name).write_text(content)
    return directory


def compile_and_run(directory: Path, source: str) -> list[str]:
    """Compile with every warning an error, run, and return what it printed."""
    assert COMPILER is not None
    (directory / "check.c").write_text(source)
    subprocess.run([COMPILER, "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-o", "check", "check.c"], cwd=directory, check=True)
    return subprocess.run([directory / "check"], check=True, capture_output=True, text=True).stdout.splitlines()


@needs_compiler
def test_the_compiler_lays_the_page_out_as_the_kernel_does(header: Path) -> None:
    lines = "\n".join(
        f'printf("%zu %zu\\n", offsetof(struct gvtg_vgt_if, {field}), sizeof(((struct gvtg_vgt_if *)0)->{field}));' for field in PAGE_LAYOUT
    )
    printed = compile_and_run(header, f'#include "{HEADER_NAME}"\n#include <stdio.h>\nint main(void) {{\n{lines}\nreturn 0;\n}}\n')
    assert dict(zip(PAGE_LAYOUT, (tuple(map(int, line.split())) for line in printed), strict=True)) == PAGE_LAYOUT


@needs_compiler
def test_macros_and_enumerators_come_to_the_numbers_they_stand_for(header: Path) -> None:
    lines = "\n".join(f'printf("%llu\\n", (unsigned long long){name});' for name in VALUES)
    printed = compile_and_run(header, f'#include "{HEADER_NAME}"\n#include <stdio.h>\nint main(void) {{\n{lines}\nreturn 0;\n}}\n')
    assert dict(zip(VALUES, map(int, printed), strict=True)) == VALUES


@needs_compiler
def test_the_header_stands_alone_and_may_be_included_twice(header: Path) -> None:
    assert compile_and_run(header, f'#include "{HEADER_NAME}"\n#include "{HEADER_NAME}"\nint main(void) {{ return 0; }}\n') == []


@needs_compiler
def test_a_compiler_that_would_lay_a_record_out_differently_refuses_the_header(header: Path, tmp_path: Path) -> None:
    text = (header / HEADER_NAME).read_text().replace("uint16_t version_minor;", "uint32_t version_minor;")
    (tmp_path / HEADER_NAME).write_text(text)
    (tmp_path / "check.c").write_text(f'#include "{HEADER_NAME}"\n')
    assert COMPILER is not None
    run = subprocess.run([COMPILER, "-std=c11", "-c", "check.c"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "vgt_id stands at 0xc" in run.stderr


def test_every_macro_is_defined_once() -> None:
    (content,) = (text for _, text in render_c_header(collect()))
    names = [line.split()[1].partition("(")[0] for line in content.splitlines() if line.startswith("#define ")]
    assert len(names) == len(set(names)) > 3000


def test_two_declarations_that_want_the_same_macro_are_refused() -> None:
    documentation = collect()
    chapter = documentation.chapters[0]
    section = chapter.sections[0]
    twice = ConstantDoc("pvinfo.base", "pvinfo.base", 1, "", ())
    changed = chapter._replace(sections=(section._replace(constants=(*section.constants, twice)), *chapter.sections[1:]))
    with pytest.raises(LayoutError, match="GVTG_PVINFO_BASE would be defined for PVINFO_BASE and for pvinfo.base: rename one of the two"):
        list(render_c_header(documentation._replace(chapters=(changed, *documentation.chapters[1:]))))
