"""Makes a failing program small, and a test of it.

First whole acts are cut out, in ever smaller runs; then single bytes are made simple. Whatever still fails is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

__all__ = ("TRIES_OF_A_TEST", "as_test", "failure_of", "hold", "shrink")

T = TypeVar("T")

TRIES_OF_A_TEST = 1000
"""How often a failing test runs its program to make it small: a suite that fails is to end, too."""


def _without_runs(script: bytes, fails: Callable[[bytes], bool], unit: int) -> bytes:
    length = max(len(script) // unit // 2, 1)
    while True:
        at, cut_any = 0, False
        while at < len(script):
            shorter = script[:at] + script[at + length * unit :]
            if len(shorter) < len(script) and fails(shorter):
                script, cut_any = shorter, True
            else:
                at += length * unit
        if length == 1 and not cut_any:
            return script
        length = max(length // 2, 1)


def _with_simple_bytes(script: bytes, fails: Callable[[bytes], bool]) -> bytes:
    for at in range(len(script)):
        for byte in (0, script[at] & 0x0F, script[at] & 0xF0, script[at] >> 1, script[at] - 1):
            if 0 <= byte < script[at]:
                simpler = script[:at] + bytes((byte,)) + script[at + 1 :]
                if fails(simpler):
                    script = simpler
                    break
    return script


def shrink(script: bytes, fails: Callable[[bytes], bool], unit: int, *, tries: int = 5000) -> bytes:
    """The smallest program found that still ``fails``; ``unit`` is the length of one act, and no more than ``tries`` are run.

    Raises: ValueError when ``script`` does not fail to begin with.
    """
    if not fails(script):
        raise ValueError(f"a program of {len(script)} bytes does not fail, so there is nothing to shrink")
    left = tries - 1

    def still_fails(shorter: bytes) -> bool:
        nonlocal left
        left -= 1
        return left >= 0 and fails(shorter)

    while True:
        before = script
        script = _with_simple_bytes(_without_runs(script, still_fails, unit), still_fails)
        if script == before or left <= 0:
            return script


def as_test(script: bytes, call: str, story: str, unit: int, name: str = "the_guest_sees_what_the_rules_say") -> str:
    """A test to paste: ``call`` is the source of what runs the program, with ``{}`` for its bytes."""
    rows = [script[at : at + unit].hex(" ") for at in range(0, len(script), unit)]
    body = "\n".join(f'        "{row} "' for row in rows) or '        ""'
    comment = "\n".join(f"    # {line}" for line in story.splitlines())
    return f"def test_{name}() -> None:\n{comment}\n    script = bytes.fromhex(\n{body}\n    )\n    {call.format('script')}\n"


def failure_of(run: Callable[[bytes], object], script: bytes) -> Exception | None:
    """What escapes from a program that is run; None where nothing does."""
    try:
        run(script)
    except Exception as failure:  # whatever escapes is a failure
        return failure
    return None


def hold(
    script: bytes, run: Callable[[bytes], T], tell: Callable[[bytes], str], call: str, unit: int, name: str = "the_guest_sees_what_the_rules_say"
) -> T:
    """Run a program; when it fails, make it small and fail with its story, as ``tell`` has it, and a test that shows it."""
    try:
        return run(script)
    except Exception as failure:
        small = shrink(script, lambda shorter: failure_of(run, shorter) is not None, unit, tries=TRIES_OF_A_TEST)
        last = failure_of(run, small) or failure
        story = f"{type(last).__name__}: {last}\n{tell(small)}"
        pytest.fail(f"{story}\n\n{as_test(small, call, story, unit, name)}", pytrace=False)
