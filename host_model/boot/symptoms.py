"""The tables behind the judge: which log line points at which defect, and which line is normal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from importlib import resources
from typing import Final, NamedTuple

from pvinfo.errors import LayoutError

__all__ = ("EXPECTED", "SYMPTOMS", "ExpectedLine", "Symptom", "SymptomKind")


class SymptomKind(Enum):
    """When a symptom is there: see the head of ``symptoms.tsv``."""

    LINE = "line"
    MISSING = "missing"
    MISSING_ON_VGPU = "missing-on-vgpu"
    SPOKEN_ON_PHYSICAL = "spoken-on-physical"
    WEDGED = "wedged"


class Symptom(NamedTuple):
    """A pattern in the driver's log and the device defect that it points at."""

    kind: SymptomKind
    pattern: re.Pattern[str]
    cause: str


class ExpectedLine(NamedTuple):
    """A line that looks like a warning and is none, by the named rule."""

    rule: str
    pattern: re.Pattern[str]
    why: str


def _rows(name: str) -> Iterator[tuple[str, str, str]]:
    text = resources.files("host_model.boot").joinpath(name).read_text("utf-8")
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("#") or not line:
            continue
        cells = line.split("\t")
        if len(cells) != 3 or not all(cells):
            raise LayoutError(f"{name}:{number}: {len(cells)} cells, a row has three filled ones")
        yield cells[0], cells[1], cells[2]


SYMPTOMS: Final = tuple(
    Symptom(SymptomKind(kind), re.compile(pattern), cause)
    for kind, pattern, cause in _rows("symptoms.tsv")
)

EXPECTED: Final = tuple(
    ExpectedLine(rule, re.compile(pattern), why) for rule, pattern, why in _rows("expected.tsv")
)
