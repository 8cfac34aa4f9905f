"""What a plain run takes a sample of: ``-m full`` takes the rest, once and not on each interpreter."""

from __future__ import annotations

from collections.abc import Container, Iterable

import pytest

__all__ = ("sampled",)


def sampled(values: Iterable[object], sample: Container[object]) -> list[object]:
    """Parameters of a test of all ``values``, of which a plain run takes those of ``sample``; a tuple is a parameter each."""
    marks = {True: (), False: (pytest.mark.full,)}
    return [pytest.param(*value if isinstance(value, tuple) else (value,), marks=marks[value in sample]) for value in values]
