"""The HTML site and the Markdown files: whole, self-contained, every link leads somewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pvinfo.docgen import FORMATS, Documentation, collect, render, write_documentation
from pvinfo.docgen.bit_picture import bit_picture, wrap_name
from pvinfo.docgen.model import BitFieldDoc, with_reserved
from pvinfo.docgen.prose import first_sentence, paragraphs, spans
from pvinfo.docgen.record_picture import record_picture
from pvinfo.docgen.text_boxes import text_box
from pvinfo.errors import SetupError, UsageError


@pytest.fixture(scope="module")
def documentation() -> Documentation:
    return collect()


class Page(HTMLParser):
    """Ids, links and outside references of a page; what is opened and not closed."""

    VOID = ("meta", "input", "br", "wbr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            self.ids.append(values["id"])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif "src" in values or (tag == "link" and "href" in values):
            self.loaded.append(values.get("src") or values["href"])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"line {self.getpos()[0]}"


@pytest.fixture(scope="module")
def site(documentation: Documentation) -> dict[str, Page]:
    return {name: Page(content) for name, content in render(documentation, ["html"]) if name.endswith(".html")}


def test_every_page_is_well_formed_and_names_each_place_once(site: dict[str, Page]) -> None:
    assert {"index.html", "pvinfo-page.html", "engines.html", "registers-by-offset.html", "tracked-registers.html"} <= set(site)
    for name, page in site.items():
        assert page.open == [], name
        assert [place for place, times in Counter(page.ids).items() if times > 1] == [], name


def test_every_link_of_the_site_leads_somewhere(site: dict[str, Page]) -> None:
    for name, page in site.items():
        for link in page.links:
            if link.startswith("https://"):
                continue
            target, _, place = link.partition("#")
            assert (target or name) in site, f"{name}: {link}"
            assert not place or place in site[target or name].ids, f"{name}: {link}"


def test_no_page_loads_anything_but_the_search_index_beside_it(site: dict[str, Page]) -> None:
    for name, page in site.items():
        assert page.loaded == ["search-index.js"], name


def test_search_entries_lead_to_places_and_carry_offsets(documentation: Documentation, site: dict[str, Page]) -> None:
    script = dict(render(documentation, ["html"]))["search-index.js"]
    entries = json.loads(script.removeprefix("window.SEARCH_INDEX=").rstrip().removesuffix(";"))
    for entry in entries:
        target, _, place = entry["h"].partition("#")
        assert place in site[target].ids, entry
    by_name = {entry["n"]: entry for entry in entries}
    assert by_name["EngineRegisters.force_to_nonpriv"]["p"] == [[0x24D0, 12, 4, 4], [0x224D0, 12, 4, 4], [0x124D0, 12, 4, 4], [0x1A4D0, 12, 4, 4]]
    assert by_name["EngineRegisters.mi_mode"]["o"] == "RING_MI_MODE"
    assert by_name["VgtIf.magic"]["p"] == [[0x78000, 1, 4, 8]]
    assert by_name["PvInfo.g2v_notify"]["p"] == [[0x78818, 1, 4, 4]]


def test_every_register_and_every_bit_layout_has_its_picture(documentation: Documentation) -> None:
    text = "".join(content for _, content in render(documentation, ["html"]))
    drawn = Counter(re.findall(r'aria-label="bits of ([^"]+)"', text))
    registers = Counter(register.kernel_name for _, register in documentation.registers())
    assert {name: times for name, times in registers.items() if drawn[name] < times} == {}
    for section in documentation.sections():
        homes = {register.bits.anchor for block in section.blocks for register in block.registers if register.bits_home and register.bits}
        assert {bits.name for bits in section.bits if bits.anchor not in homes and not drawn[bits.name]} == set()


def test_every_markdown_link_leads_to_a_file_and_a_place(documentation: Documentation) -> None:
    files = dict(render(documentation, ["markdown"]))
    places = {name: set(re.findall(r'<a id="([^"]+)"></a>', content)) for name, content in files.items()}
    assert "README.md" in files
    for name, content in files.items():
        for target, place in re.findall(r"\]\((?!https?://)([^)#]*)#?([^)]*)\)", content):
            assert (target or name) in files, f"{name}: {target}"
            assert not place or place in places[target or name], f"{name}: {target}#{place}"


def test_markdown_tables_keep_their_columns(documentation: Documentation) -> None:
    for name, content in render(documentation, ["markdown"]):
        columns = 0
        for number, line in enumerate(content.splitlines(), 1):
            cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("| ") else 0
            assert not (cells and columns) or cells == columns, f"{name}:{number}: {line}"
            columns = cells


# ---- pictures ----


def field(name: str, low: int, width: int) -> BitFieldDoc:
    return BitFieldDoc(name, low, width, f"the {name}", "", (), None)


def boxes(picture: str) -> list[tuple[str, float, float, float]]:
    """Title, left edge, width and top of each rectangle."""
    root = ElementTree.fromstring(picture)
    found = []
    for rect in root.iter("rect"):
        title = rect.findtext("title")
        assert title is not None
        found.append((title, float(rect.attrib["x"]), float(rect.attrib["width"]), float(rect.attrib["y"])))
    return found


def test_a_bit_picture_is_drawn_to_scale_from_the_highest_bit_down() -> None:
    layout = tuple(with_reserved((field("valid", 0, 1), field("page", 12, 20)), 32))
    cell = 27
    assert boxes(bit_picture("Fence", layout, 32)) == [
        ("31:12 page: the page", 0, 20 * cell, 16),
        ("reserved", 20 * cell, 11 * cell, 16),
        ("0 valid: the valid", 31 * cell, cell, 16),
    ]


def test_sixty_four_bits_make_two_rows_and_a_field_across_them_two_boxes() -> None:
    layout = tuple(with_reserved((field("frame", 12, 34),), 64))
    drawn = boxes(bit_picture("Entry", layout, 64))
    assert [(title, width / 27) for title, _, width, _ in drawn] == [
        ("reserved", 18),
        ("45:12 frame: the frame", 14),
        ("45:12 frame: the frame", 20),
        ("reserved", 12),
    ]
    assert drawn[0][3] == drawn[1][3] < drawn[2][3] == drawn[3][3]


def test_a_name_that_does_not_fit_is_turned_and_a_longer_one_broken_or_cut() -> None:
    def names(name: str) -> list[str]:
        picture = ElementTree.fromstring(bit_picture("R", tuple(with_reserved((field(name, 0, 1),), 32)), 32))
        return [text.text or "" for text in picture.iter("text") if "transform" in text.attrib]

    assert names("stop_ring") == ["stop_ring"]
    assert names("semaphore_idle_message_disable") == ["semaphore_idle_", "message_disable"]
    (cut,) = names("x" * 60)
    assert cut.endswith("x…") and len(cut) < 25


def test_names_break_after_underscores_only() -> None:
    assert wrap_name("write_port_select", 80) == ["write_port_", "select"]
    assert wrap_name("unbreakable", 10) == ["unbreakable"]


def test_the_page_is_drawn_in_two_halves_with_its_reserved_spans(documentation: Documentation) -> None:
    page = next(record for section in documentation.sections() for record in section.records if record.name == "VgtIf")
    picture = record_picture(page)
    root = ElementTree.fromstring(picture)
    captions = [text.text for text in root.iter("text") if text.get("class") == "cap"]
    assert captions == ["host → guest", "guest → host"]
    reserved = [group for group in root.iter("g") if group.get("class") == "r"]
    assert [text.text for group in reserved for text in group.iter("text")] == [
        "rsv1: 44 bytes",
        "rsv2: 12 bytes",
        "rsv3: 1952 bytes",
        "rsv4: 4 bytes",
        "rsv5: 16 bytes",
        "rsv6: 20 bytes",
        "rsv7: 1952 bytes",
    ]
    tops = {title.split()[1]: top for title, _, _, top in boxes(picture)}
    assert tops["magic"] == tops["rsv4"] < tops["version_major"] == tops["version_minor"] < tops["vgt_id"]


def test_a_text_box_lines_bits_up_with_names() -> None:
    layout = tuple(with_reserved((field("valid", 0, 1), field("start_page", 12, 20)), 32))
    assert text_box(layout).splitlines() == [
        "    31..12     11..1     0",
        "+------------+-------+-------+",
        "| start_page |   -   | valid |",
        "+------------+-------+-------+",
    ]


# ---- prose ----


def test_docstrings_are_read_as_paragraphs_code_and_emphasis() -> None:
    text = "First *word* of ``code`` and :class:`~pvinfo.trace.TraceRow`; 2 * 3 * 4.\n\nUse::\n\n    a = 1\n    b = 2\n\nEnd"
    assert [(paragraph.text, paragraph.literal) for paragraph in paragraphs(text)][1:] == [("Use:", False), ("a = 1\nb = 2", True), ("End", False)]
    assert list(spans(text.splitlines()[0])) == [
        ("First ", "plain"),
        ("word", "emphasis"),
        (" of ", "plain"),
        ("code", "code"),
        (" and ", "plain"),
        ("TraceRow", "code"),
        ("; 2 * 3 * 4.", "plain"),
    ]
    assert first_sentence("Bits 3.5 of it. More; and more") == "Bits 3.5 of it"


# ---- writing ----


def test_the_same_bytes_come_out_whatever_the_hash_seed(tmp_path: Path) -> None:
    outputs = []
    for seed in ("0", "4711"):
        out = tmp_path / seed
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-m", "pvinfo", "docs", "--out", str(out)], check=True, env=environment, capture_output=True)
        outputs.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert outputs[0] == outputs[1]
    assert {"index.html", "README.md", "gvtg_pvinfo.h", "search-index.js"} <= set(outputs[0])


def test_nothing_of_this_machine_or_moment_is_written(documentation: Documentation) -> None:
    for name, content in render(documentation, list(FORMATS)):
        assert " object at 0x" not in content and "<function" not in content and "<class" not in content, name
        assert str(Path(__file__).parents[2]) not in content, name


def test_files_are_written_whole_and_nothing_else_is_left(documentation: Documentation, tmp_path: Path) -> None:
    told: list[str] = []
    written = write_documentation(documentation, tmp_path / "deep" / "er", ["c-header", "markdown"], progress=told.append)
    assert sorted(written) == sorted((tmp_path / "deep" / "er").iterdir())
    assert told == [path.name for path in written]


def test_no_two_formats_write_the_same_file(documentation: Documentation) -> None:
    names = Counter(name for name, _ in render(documentation, list(FORMATS)))
    assert [name for name, times in names.items() if times > 1] == []


def test_a_directory_that_cannot_be_made_is_named(documentation: Documentation, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(SetupError, match=r"taken is no directory that files can be written to: File exists"):
        write_documentation(documentation, tmp_path / "taken", ["c-header"])


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs a directory in which nobody can make files")
def test_a_directory_that_nobody_can_write_is_named(documentation: Documentation) -> None:
    with pytest.raises(SetupError, match=r"/proc/gvtg_pvinfo.h cannot be written"):
        write_documentation(documentation, Path("/proc"), ["c-header"])


def test_an_unknown_format_is_answered_with_the_known_ones(documentation: Documentation, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no format 'pdf'; there are html, markdown, c-header"):
        write_documentation(documentation, tmp_path, ["pdf"])
