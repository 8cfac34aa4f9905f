"""Commands of the 3D, media, video and video-enhancement pipelines, known by their length alone.

Nothing here says what they draw: a streamer without those pipelines steps over them, and so does an audit.

Source: linux:drivers/gpu/drm/i915/gvt/cmd_parser.c
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

from ..bits import Bits, choice, uint
from ..errors import LayoutError
from ..platform import Engine
from .command import Audit, Client, Command, Length, counted, fixed

__all__ = ("PIPELINE_COMMANDS", "PIPELINE_MASK", "PipelineHeader", "pipeline_commands")

PIPELINE_MASK: Final = 0xFFFF0000
"""The bits that tell one pipeline command from another. Source: linux:drivers/gpu/drm/i915/gvt/cmd_parser.c"""
_SOURCE: Final = "linux:drivers/gpu/drm/i915/gvt/cmd_parser.c"
_OTHER_SOURCE: Final = "intel-vaapi-driver:src/i965_defines.h"
"""Of the commands that the kernel's mediator does not list."""


class PipelineHeader(Bits):
    """Header of a command to one of the pipelines behind the streamer."""

    sub_opcode = uint(16, 8, "which command of its group", source=_SOURCE)
    opcode = uint(24, 3, "which group of commands", source=_SOURCE)
    pipeline = uint(27, 2, "which pipeline: 0 common, 1 single-dword, 2 media, 3 3D", source=_SOURCE)
    client = choice(29, 3, Client, "three: a pipeline", source=_SOURCE)


def _length(text: str) -> Length:
    return counted(int(text[1:])) if text.startswith("+") else fixed(int(text))


@cache
def pipeline_commands() -> tuple[Command[PipelineHeader], ...]:
    """Every command of the table. Raises: LayoutError naming the line that is no row of it."""
    commands = []
    text = files("pvinfo.commands").joinpath("pipelines.tsv").read_text("ascii")
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("0x"):
            continue
        try:
            match, engine, length, audited, since, name, what = line.split("\t")
            commands.append(
                Command(
                    name, int(match, 16), PIPELINE_MASK, PipelineHeader, f"{what[0].upper()}{what[1:]}.",
                    engines=frozenset({Engine(engine.lower())}), length=_length(length), since=int(since),
                    audit=Audit.ABSENT if audited == "-" else Audit.PASSED,
                    audited_length=_length(audited) if audited not in "-=" else None,
                    source=_OTHER_SOURCE if audited == "-" else _SOURCE,
                )  # fmt: skip
            )
        except ValueError as error:
            raise LayoutError(f"pipelines.tsv line {number}: {line!r} is no row of the table ({error})") from None
    return tuple(commands)


PIPELINE_COMMANDS: Final = pipeline_commands()
"""All of them but PIPE_CONTROL, by header."""
