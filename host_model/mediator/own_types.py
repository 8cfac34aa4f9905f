"""Types of vGPU of the user's own, beside those of the kernel's mediator: a table of a TOML file for each.

::

    [container]
    low_mib = 64            # aperture
    high_mib = 128          # other graphics memory
    fences = 1
    weight = 2              # share of GPU time
    resolution = "1024x768"
"""

from __future__ import annotations

import argparse
import re
import tomllib
from pathlib import Path
from typing import Final

from pvinfo.errors import SetupError, UsageError
from pvinfo.units import MIB

from .types import TOTAL_FENCES, VgpuType

__all__ = ("add_types_argument", "own_types_of", "read_types")

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_RESOLUTION: Final = re.compile(r"[1-9][0-9]*x[1-9][0-9]*")
_NUMBERS: Final = {"low_mib": range(1, 1 << 12), "high_mib": range(1, 1 << 12), "fences": range(TOTAL_FENCES + 1), "weight": range(1, 1 << 10)}
"""What each number may be."""


def read_types(path: Path) -> tuple[VgpuType, ...]:
    """The types of the file, in its order. Raises: SetupError for no such file; UsageError naming type, key and rule."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}") from None
    return tuple(_type_of(path, name, table) for name, table in tables.items())


def _type_of(path: Path, name: str, table: object) -> VgpuType:
    where = f"{path}: type {name!r}"
    if not _NAME.fullmatch(name):
        raise UsageError(f"{where}: a name is letters, digits, _ . and -")
    if not isinstance(table, dict) or table.keys() != {*_NUMBERS, "resolution"}:
        raise UsageError(f"{where}: a table of {', '.join(_NUMBERS)} and resolution, no more and no fewer")
    numbers: dict[str, int] = {}
    for key, allowed in _NUMBERS.items():
        value: object = table[key]
        if type(value) is not int or value not in allowed:
            raise UsageError(f"{where}: {key} = {value!r}, but it is a number from {allowed.start} to {allowed.stop - 1}")
        numbers[key] = value
    resolution: object = table["resolution"]
    if not isinstance(resolution, str) or not _RESOLUTION.fullmatch(resolution):
        raise UsageError(f"{where}: resolution = {resolution!r}, but it is WIDTHxHEIGHT")
    return VgpuType(name, numbers["low_mib"] * MIB, numbers["high_mib"] * MIB, numbers["fences"], numbers["weight"], resolution)


def add_types_argument(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` the option that :func:`own_types_of` reads."""
    parser.add_argument(
        "--types", type=Path, metavar="FILE",
        help="offer types of your own, too: a TOML table each, named after it, of low_mib, high_mib, fences, weight, resolution",
    )  # fmt: skip


def own_types_of(arguments: argparse.Namespace) -> tuple[VgpuType, ...]:
    """The types that the user asks for. Raises: as :func:`read_types`."""
    path: Path | None = arguments.types
    return () if path is None else read_types(path)
