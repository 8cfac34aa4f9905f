"""How the kernel's mediator treats each declared register: the tracked table, looked up by declaration."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..register import Register, RegisterArray
from ..registers.tracked import TrackedAttribute, TrackedRun, tracked_runs
from .model import TrackedDoc, TrackedRowDoc

__all__ = ("TrackedUse",)


class _Treatment(NamedTuple):
    tracked: bool
    attributes: tuple[str, ...]
    read_only: int
    read_handled: bool
    write_handled: bool


_UNTRACKED = _Treatment(False, (), 0, False, False)


def _words(attributes: TrackedAttribute) -> tuple[str, ...]:
    return tuple(str(flag.name).lower().replace("_", " ") for flag in TrackedAttribute if flag in attributes)


def _treatment(run: TrackedRun) -> _Treatment:
    return _Treatment(True, _words(run.attributes), run.read_only, run.read_handled, run.write_handled)


class TrackedUse:
    """The tracked table of all platforms, by offset."""

    def __init__(self, platforms: Sequence[str]) -> None:
        self._platforms = tuple(platforms)
        self._dwords: dict[str, dict[int, TrackedRun]] = {}
        self._blocks: dict[str, tuple[list[int], list[TrackedRun]]] = {}
        for platform in platforms:
            runs = tracked_runs(platform)
            self._dwords[platform] = {offset: run for run in runs if not run.is_block for offset in run.offsets()}
            blocks = sorted((run for run in runs if run.is_block), key=lambda run: run.offset)
            self._blocks[platform] = ([run.offset for run in blocks], blocks)

    def _run_at(self, platform: str, offset: int) -> TrackedRun | None:
        starts, blocks = self._blocks[platform]
        index = bisect_right(starts, offset) - 1
        if index >= 0 and offset < blocks[index].offset + blocks[index].size:
            return blocks[index]
        return self._dwords[platform].get(offset)

    def of_register(self, register: Register[int] | RegisterArray[int]) -> tuple[TrackedDoc, ...]:
        """The different treatments of ``register``, most widespread first; judged by its first element."""
        bases = register.block.bases
        by_treatment: dict[_Treatment, dict[str, list[str]]] = {}
        for instance, base in bases.items():
            for platform in self._platforms:
                run = self._run_at(platform, base + register.offset)
                treatment = _treatment(run) if run else _UNTRACKED
                by_treatment.setdefault(treatment, {}).setdefault(instance, []).append(platform)
        found: list[tuple[int, TrackedDoc]] = []
        for treatment, instances in by_treatment.items():
            by_platforms: dict[tuple[str, ...], list[str]] = {}
            for instance, platforms in instances.items():
                by_platforms.setdefault(tuple(platforms), []).append(instance)
            for platforms_, names in by_platforms.items():
                everywhere = len(platforms_) == len(self._platforms)
                doc = TrackedDoc(() if len(names) == len(bases) else tuple(names), () if everywhere else platforms_, *treatment)
                found.append((-len(names) * len(platforms_), doc))
        return tuple(doc for _, doc in sorted(found, key=lambda entry: (entry[0], not entry[1].tracked, entry[1].platforms)))

    def rows(self, registers: Mapping[int, str]) -> tuple[TrackedRowDoc, ...]:
        """The table itself; ``registers`` gives the anchor of the register declared at an offset."""
        on: dict[TrackedRun, list[str]] = {}
        for platform in self._platforms:
            for run in tracked_runs(platform):
                on.setdefault(run, []).append(platform)
        return tuple(
            TrackedRowDoc(
                run.offset, run.size, () if len(platforms) == len(self._platforms) else tuple(platforms),
                _words(run.attributes), run.read_only, run.read_handled, run.write_handled, run.kernel_name,
                registers.get(run.offset, ""),
            )  # fmt: skip
            for run, platforms in sorted(on.items(), key=lambda entry: (entry[0].offset, entry[0].size, entry[1]))
        )
