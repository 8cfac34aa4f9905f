"""Streams that nobody would write: whatever a guest puts in a ring, it is refused or harmless, and a slow independent audit says the same."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache

import pytest
from support.audit_rig import ROOTS, SHADOW_ROOTS, AuditRig, context_registers
from support.command_maker import BATCH_PAGES, BATCHES, OTHER_ROOT, STATUS, THREE_LEVELS, Maker
from support.naive_audit import BASES, NaiveAudit, naive_command
from support.sample import sampled

from host_model.mediator.refusal import Refused
from pvinfo.platform import Engine

PLATFORMS = ("bdw", "skl", "kbl", "bxt")


@cache
def rig_of(platform: str) -> AuditRig:
    rig = AuditRig(platform)
    rig.spaces.add(4, OTHER_ROOT, (0x55_5000,))
    rig.spaces.add(3, THREE_LEVELS, tuple(range(0xA000, 0xE000, 0x1000)))
    for engine in Engine:
        rig.set_status_page(engine, rig.low.start + STATUS)
    rig.map(rig.low.start + STATUS)
    rig.map(rig.low.start + BATCHES, BATCH_PAGES)
    return rig


def naive_of(rig: AuditRig, engine: Engine, *, levels: int, inhibit: bool) -> NaiveAudit:
    platform = rig.vgpu.platform.name
    roots = [ROOTS, OTHER_ROOT] if levels == 4 else [THREE_LEVELS]
    return NaiveAudit(
        platform, engine, context_registers(platform), (rig.low, rig.high), rig.read_dword,
        status_page=rig.low.start + STATUS, levels=levels, roots=roots, inhibit=inhibit,
    )  # fmt: skip


def check_what_runs(rig: AuditRig, engine: Engine, words: Sequence[int], level: str) -> None:
    """Nothing is left that reaches what is the host's or nobody's, tells the physical GPU's owner, or leads out of what was audited."""
    version = rig.vgpu.platform.graphics_version
    base = BASES[engine]
    shadows = {SHADOW_ROOTS[0], 0x55_5000, *range(0xA000, 0xE000, 0x1000)}
    at = 0
    while at < len(words):
        header = words[at]
        command = naive_command(engine, version, header)
        assert command is not None and command.done not in ("never", "user interrupt", "flip"), hex(header)
        length = command.length(header)
        if command.done == "start" and not header >> 8 & 1:
            assert words[at + 1] | words[at + 2] << 32 in rig.store.live
        elif command.done == "pipe control" and words[at + 1] >> 24 & 1 and words[at + 1] >> 14 & 3 and not words[at + 1] >> 23 & 1:
            assert not words[at + 1] >> 21 & 1
        elif command.done == "flush" and words[at + 1] & 4 and header >> 14 & 3:
            assert not header >> 21 & 1
        elif command.done == "load":
            roots = {(words[place] & 0x7FFFFC) - base - 0x270: words[place + 1] for place in range(at + 1, at + length, 2)}
            for number in range(0, 0x20, 8):
                if number in roots and number + 4 in roots:
                    assert roots[number] | roots[number + 4] << 32 in shadows | {0}
                else:
                    assert not roots.get(number) and not roots.get(number + 4)
        at += length
    assert at == len(words) or level != "ring"


@pytest.mark.parametrize("engine", list(Engine))
@pytest.mark.parametrize("platform", sampled(PLATFORMS, {"skl"}))
def test_streams_that_are_nearly_legal_are_judged_as_a_slow_audit_judges_them(platform: str, engine: Engine) -> None:
    judge(platform, engine, seed=1, streams=100)


@pytest.mark.fuzz
@pytest.mark.parametrize("engine", list(Engine))
@pytest.mark.parametrize("platform", PLATFORMS)
def test_many_streams_that_are_nearly_legal(platform: str, engine: Engine, request: pytest.FixtureRequest) -> None:
    judge(platform, engine, request.config.getoption("--fuzz-seed"), request.config.getoption("--fuzz-acts") // 40)


def judge(platform: str, engine: Engine, seed: int, streams: int) -> None:
    rig, rng = rig_of(platform), random.Random(f"{platform} {engine.value} {seed}")
    maker = Maker(rig, engine, rng)
    accepted = refused = 0
    for number in range(streams):
        if number % 4 == 0:
            maker.lay_batches()
        words = maker.mutated(maker.stream(rng.randrange(1, 7)))
        levels, inhibit = rng.choice((4, 4, 4, 3)), rng.random() < 0.3
        naive = naive_of(rig, engine, levels=levels, inhibit=inhibit)
        expected = naive.why_not(words)
        space = rig.space if levels == 4 else rig.spaces.find(3, THREE_LEVELS)
        script = f"{platform} {engine.value} seed {seed} stream {number}: {[hex(word) for word in words]}"
        try:
            audited, patched = rig.ring(engine, words, inhibit=inhibit, space=space)
        except Refused as found:
            refused += 1
            assert expected is not None, f"{script}: {found}"
            assert expected == found.rule or "audit-past-end" in (expected, found.rule), f"{script}: {expected}, but {found}"
            assert found.where.startswith(engine.value) and found.text and found.value is not None
            continue
        accepted += 1
        assert expected is None, f"{script}: {expected}"
        check_what_runs(rig, engine, patched, "ring")
        for batch in audited.batches:
            check_what_runs(rig, engine, batch_words(batch.dwords, engine, rig), "batch")
        assert {event.name.endswith("USER") for event in audited.events} == {True} & {naive.user} | {False} & {not naive.notify}
        rig.give_back(audited)
        assert not rig.store.live and not rig.spaces.kept
    assert accepted > streams // 10 and refused > streams // 10, (accepted, refused)


def batch_words(dwords: memoryview, engine: Engine, rig: AuditRig) -> list[int]:
    """A copied batch up to its end."""
    version, at = rig.vgpu.platform.graphics_version, 0
    while True:
        command = naive_command(engine, version, dwords[at])
        assert command is not None
        header = dwords[at]
        at += command.length(header)
        if command.done == "end" or (command.done == "start" and not header >> 22 & 1 and not header >> 15 & 1):
            return list(dwords[:at])


@pytest.mark.parametrize("platform", sampled(PLATFORMS, {"bdw"}))
def test_noise_is_refused_and_raises_nothing_else(platform: str) -> None:
    rig, rng = rig_of(platform), random.Random(7)
    for _ in range(800):
        engine = rng.choice(list(Engine))
        words = [rng.getrandbits(32) & rng.choice((0xFFFFFFFF, 0x1FFFFFFF, 0x7FFFFFFF, 0x188001FF)) for _ in range(rng.randrange(1, 40))]
        expected = naive_of(rig, engine, levels=4, inhibit=False).why_not(words)
        try:
            audited, _ = rig.ring(engine, words)
        except Refused as found:
            assert expected is not None and ("audit-past-end" in (expected, found.rule) or expected == found.rule), (words, expected, found.rule)
        else:
            assert expected is None, (words, expected)
            rig.give_back(audited)
