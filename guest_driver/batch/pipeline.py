"""Commands of the 3D and media pipelines, which this kit knows by their length alone."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from functools import cache
from typing import Final

from pvinfo.commands.command import Command
from pvinfo.commands.pipelines import PipelineHeader, pipeline_commands
from pvinfo.errors import UsageError
from pvinfo.platform import Engine

from .buffer import CommandBuffer

__all__ = ("PipelineCommands", "PipelineChoice")

_SELECT_MASK: Final = 0x300
"""Gen9: bits 9:8 of PIPELINE_SELECT enable the write of bits 1:0. Source: prm:skl:vol2a"""


class PipelineChoice(IntEnum):
    """What the render engine is used for. Source: prm:skl:vol2a"""

    RENDER_3D = 0
    MEDIA = 1
    GPGPU = 2


@cache
def _named(engine: Engine) -> dict[str, Command[PipelineHeader]]:
    return {command.name: command for command in pipeline_commands() if engine in command.engines}


class PipelineCommands(CommandBuffer):
    """State of pipelines. Nothing is drawn by it."""

    def pipeline_select(self, choice: PipelineChoice, *, masked: bool = True) -> None:
        """PIPELINE_SELECT: what the commands that follow are for. ``masked``: the form of gen9."""
        header = int(_named(Engine.RCS0)["PIPELINE_SELECT"].header()) | choice
        self.raw((header | (_SELECT_MASK if masked else 0),))

    def pipeline_command(self, name: str, payload: Sequence[int] = (), *, engine: Engine = Engine.RCS0) -> None:
        """The command called ``name`` of the pipelines of ``engine``, with the dwords behind its header as they are.

        Raises: UsageError for a name that no such command has, or a length that it cannot have.
        """
        command = _named(engine).get(name)
        if command is None:
            raise UsageError(f"no pipeline command {name} of {engine.value}")
        header = command.header(1 + len(payload)) if command.length.bits else command.header()
        if command.length_of(header) != 1 + len(payload):
            raise UsageError(f"{name} of {1 + len(payload)} dwords: it has {command.length}")
        self.raw((int(header), *payload))
