"""Commands are documented: each with its header, its shapes and its treatment, and as macros for C."""

from __future__ import annotations

import pytest

from pvinfo.commands import declared_commands
from pvinfo.docgen import Documentation, collect, render
from pvinfo.docgen.model import CommandDoc


@pytest.fixture(scope="module")
def documentation() -> Documentation:
    return collect()


@pytest.fixture(scope="module")
def commands(documentation: Documentation) -> dict[str, CommandDoc]:
    return {command.name: command for section in documentation.sections() for command in section.commands}


def test_every_command_is_documented_once(documentation: Documentation) -> None:
    documented = [command.name for section in documentation.sections() for command in section.commands]
    assert sorted(documented) == sorted(command.name for command in declared_commands())
    assert {documentation.places[name] for name in documented} == {"commands"}


def test_a_command_is_told_with_engines_length_forms_and_the_mediators_treatment(commands: dict[str, CommandDoc]) -> None:
    wait = commands["MI_SEMAPHORE_WAIT"]
    assert (wait.match, wait.engines, wait.length, wait.audit) == (0x0E000000, (), "bits 7:0 + 2 dwords", ("REFUSED", "4 dwords only"))
    assert [(form.anchor, form.dwords) for form in wait.forms] == [("MiSemaphoreWait", 4)]
    assert commands["XY_FAST_COPY_BLT"].versions == "from gen9 on"
    assert commands["MFX_WAIT"].audit == ("PASSED", "taken for bits 5:0 + 2 dwords")
    assert commands["MI_LOAD_REGISTER_IMM"].forms[0].tail_anchor == "RegisterValue"
    assert commands["3DSTATE_VS"].engines == ("RCS0",)


def test_every_record_and_header_of_a_command_has_a_place(documentation: Documentation, commands: dict[str, CommandDoc]) -> None:
    for command in commands.values():
        linked = [command.header_anchor, command.audit_anchor, *(form.anchor for form in command.forms), *(form.tail_anchor for form in command.forms)]
        assert all(anchor in documentation.places for anchor in linked if anchor), command.name


@pytest.mark.parametrize("kind", ["html", "markdown"])
def test_the_chapter_names_each_command_with_its_header(documentation: Documentation, kind: str) -> None:
    chapter = next(content for name, content in render(documentation, [kind]) if name.startswith("commands."))
    for command in declared_commands():
        assert f'id="{command.name}"' in chapter
        assert f"{command.match:#010x}" in chapter


def test_the_header_for_c_defines_each_commands_header(documentation: Documentation) -> None:
    header = "".join(content for _, content in render(documentation, ["c-header"]))
    for command in declared_commands():
        number = f"UINT32_C({command.match:#x})" if command.match > 0x7FFFFFFF else f"{command.match:#x}"
        assert f"#define GVTG_{command.name} {number}  /* " in header
