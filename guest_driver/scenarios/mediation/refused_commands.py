"""Commands that a mediator audits and refuses, wherever they have privilege: in rings, privileged batches, context images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pvinfo.commands.mi.flush import FlushPostSync
from pvinfo.commands.mi.memory import AtomicOpcode
from pvinfo.commands.pipe_control import PipeControlPostSync
from pvinfo.context_image import RING_CONTEXT_DWORDS, STATE_OFFSET
from pvinfo.gtt_entry import GGTT_OFFSET
from pvinfo.platform import Engine
from pvinfo.registers import EngineRegisters, ResetRegisters
from pvinfo.units import MIB, PAGE_SIZE

from ...batch import Batch, BlitSurface, Rectangle
from ...driver import GuestDriver
from ...request import Request
from ..catalogue import scenario
from ..stage import Stage
from ..work.acts import at_work
from . import TWO
from .acts import Case, Neighbour, bound_page, refused_for_good, refused_once, submit_in_ring

_NO_COMMAND = 0x7F << 23
_LONG_MATH = 0x1A << 23 | 0x3F
"""MI_MATH with the most instructions that it can have."""
_ADD_OFFSET = 1 << 16
"""Of MI_BATCH_BUFFER_START. Source: prm:skl:vol2a"""
_FLIP_OF_NOTHING = 0x14 << 23 | 6 << 19 | 1 << 8 | 1
"""MI_DISPLAY_FLIP with numbers of planes that neither generation has. Source: linux:drivers/gpu/drm/i915/gvt/cmd_parser.c"""
_HALF = 3 << 8
"""Of MI_LOAD_REGISTER_IMM: two of the four bytes stay as they are. Source: prm:skl:vol2a"""
_ROOTS = 0x270
"""Where an engine's page-table roots are among its registers."""
_TRTTE = 0x4DF4
"""Enables the table of sparse resources; gen9."""


def _words(write: Callable[[Batch], None]) -> Callable[[GuestDriver], Sequence[int]]:
    def commands(driver: GuestDriver) -> Sequence[int]:
        batch = Batch()
        write(batch)
        return batch.words

    return commands


def _raw(*words: int) -> Callable[[GuestDriver], Sequence[int]]:
    return lambda driver: words


def _store(address: int) -> Callable[[GuestDriver], Sequence[int]]:
    return _words(lambda batch: batch.store_dword(address, 0xBAD0_BAD0, use_global_gtt=True))


def _in_batch(inner: Callable[[GuestDriver], Sequence[int]]) -> Callable[[GuestDriver], Sequence[int]]:
    """The same commands, in a privileged batch that the ring starts."""

    def commands(driver: GuestDriver) -> Sequence[int]:
        place, batch, start = bound_page(driver, "privileged batch"), Batch(), Batch()
        batch.raw(inner(driver))
        batch.batch_end()
        place.buffer.write(0, batch.bytes)
        start.batch_start(place.address, privileged=True)
        return start.words

    return commands


@scenario(needs=TWO)
def refused_unknown_commands(stage: Stage) -> None:
    """What is no command, or a command of another engine, is not executed where it has privilege, and costs the host's trust."""

    def blit(batch: Batch) -> None:
        batch.xy_color_blt(BlitSurface(0x10_0000, 256, 8), Rectangle(0, 0, 16, 4), 0x55)

    refused_for_good(stage, "audit-command-unknown", [
        Case("what is no command", Engine.VCS0, _raw(_NO_COMMAND)),
        Case("a blit to the render engine", Engine.RCS0, _words(blit)),
        Case("a pipe control to the copy engine", Engine.BCS0, _words(lambda batch: batch.pipe_control())),
        Case("a privileged batch with what is no command", Engine.VECS0, _in_batch(_raw(_NO_COMMAND))),
    ])  # fmt: skip


@scenario(needs=TWO)
def refused_forbidden_commands(stage: Stage) -> None:
    """Commands that change the global table, copy between any two addresses or wait are for batches without privilege alone."""
    refused_for_good(stage, "audit-command-refused", [
        Case("a change of the global table", Engine.RCS0, _words(lambda batch: batch.update_gtt(0x10_0000, [1]))),
        Case("a copy from memory to memory", Engine.BCS0, _words(lambda batch: batch.copy_dword(0x1000, 0x2000))),
        Case("a semaphore", Engine.VCS0, _words(lambda batch: batch.semaphore_wait(0x1000, 1, use_global_gtt=True))),
        Case("a conditional end in a privileged batch", Engine.VECS0, _in_batch(_words(lambda batch: batch.conditional_end(0x1000, 1)))),
    ])  # fmt: skip


@scenario(needs=TWO)
def refused_lengths(stage: Stage) -> None:
    """A command whose length is not what it must be would hide what comes behind it."""

    def longer(words: Sequence[int]) -> Sequence[int]:
        return (words[0] + 1, *words[1:], 0)

    def store(driver: GuestDriver) -> Sequence[int]:
        return longer(_store(bound_page(driver, "target").address)(driver))

    def start(driver: GuestDriver) -> Sequence[int]:
        batch = Batch()
        batch.batch_start(bound_page(driver, "batch").address, privileged=True)
        return longer(batch.words)

    refused_for_good(stage, "audit-length", [
        Case("a store that is a dword too long", Engine.RCS0, store), Case("the start of a batch that is a dword too long", Engine.BCS0, start),
    ])  # fmt: skip


@scenario(needs=TWO)
def refused_addresses(stage: Stage) -> None:
    """No engine reaches graphics memory of the neighbour or the host with privilege, by any command that writes or reads it."""
    other = stage.guests[1].offer
    mine = stage.guest.offer
    theirs, beyond = other.mappable.base + PAGE_SIZE, mine.nonmappable.base + mine.nonmappable.size
    low = 0 if mine.mappable.base else mine.mappable.size
    flush = _words(lambda batch: batch.flush_dw(theirs, 1, post_sync=FlushPostSync.WRITE_IMMEDIATE, use_global_gtt=True))
    pipe = _words(lambda batch: batch.pipe_control(theirs, 1, post_sync=PipeControlPostSync.WRITE_IMMEDIATE, use_global_gtt=True))
    refused_for_good(stage, "audit-address", [
        Case("a store to the neighbour's memory", Engine.RCS0, _store(theirs)),
        Case("a store to the first page that is not its own", Engine.BCS0, _store(low)),
        Case("an atomic operation on the neighbour's memory", Engine.VCS0, _words(lambda batch: batch.atomic(AtomicOpcode.INCREMENT, theirs, 0, use_global_gtt=True))),
        Case("a store just behind its slice", Engine.VECS0, _store(beyond)),
        Case("a flush that writes the neighbour's memory", Engine.BCS0, flush),
        Case("a pipe control that writes the neighbour's memory", Engine.RCS0, pipe),
        Case("a store of a register to the neighbour's memory", Engine.RCS0, _words(lambda batch: batch.store_register(0xB118, theirs, use_global_gtt=True))),
        Case("a privileged batch that stores there", Engine.VCS0, _in_batch(_store(theirs))),
    ])  # fmt: skip


@scenario(needs=TWO)
def refused_batches(stage: Stage) -> None:
    """A privileged batch must be in memory of the guest, and started as audits can follow."""
    theirs = stage.guests[1].offer.nonmappable.base
    refused_for_good(stage, "audit-batch-address", [
        Case("the start of a batch in the neighbour's memory", Engine.RCS0, _words(lambda batch: batch.batch_start(theirs, privileged=True))),
        Case("a batch that starts one in the neighbour's memory", Engine.BCS0, _in_batch(_words(lambda batch: batch.batch_start(theirs, privileged=True)))),
    ])  # fmt: skip


@scenario(needs=TWO)
def refused_batch_levels(stage: Stage) -> None:
    """A second-level batch is started from a batch, and starts none itself."""

    def second(driver: GuestDriver) -> Sequence[int]:
        batch = Batch()
        batch.batch_start(bound_page(driver, "batch").address, privileged=True, second_level=True)
        return batch.words

    refused_for_good(stage, "audit-batch-level", [Case("a second-level batch in a ring", Engine.VCS0, second)])


@scenario(needs=TWO)
def refused_batch_offset(stage: Stage) -> None:
    """A privileged batch may not be started at an address to which the engine adds what a register will hold by then."""

    def start(driver: GuestDriver) -> Sequence[int]:
        batch = Batch()
        batch.batch_start(bound_page(driver, "batch").address, privileged=True)
        return (batch.words[0] | _ADD_OFFSET, *batch.words[1:])

    refused_for_good(stage, "audit-batch-offset", [Case("a batch whose address is not known yet", Engine.RCS0, start)])


@scenario(needs=TWO)
def refused_batch_end(stage: Stage) -> None:
    """A ring has no end of a batch in it: hardware would pass over it, and whoever audits must not stop there."""
    refused_for_good(stage, "audit-batch-end", [Case("the end of a batch, in its ring", Engine.VECS0, _words(lambda batch: batch.batch_end()))])


@scenario(needs=TWO)
def refused_flips(stage: Stage) -> None:
    """A flip of a plane that no guest has is refused, and shows nothing."""
    refused_for_good(stage, "audit-flip", [Case("a flip of no plane", Engine.BCS0, _raw(_FLIP_OF_NOTHING, 0x40, 0x1000))])


@scenario(needs=TWO)
def refused_register_parts(stage: Stage) -> None:
    """A register that the mediator watches is loaded as a whole: bytes that are left out would be what nobody has looked at."""
    mode = EngineRegisters.mode.at("RCS0")
    partly = _words(lambda batch: batch.load_register_imm((mode, 0xFFFF_0000)))
    refused_for_good(stage, "audit-register-bytes", [
        Case("a load of half its engine's mode", Engine.RCS0, lambda driver: (partly(driver)[0] | _HALF, *partly(driver)[1:])),
    ])  # fmt: skip


@scenario(needs=TWO)
def refused_registers(stage: Stage) -> None:
    """Commands load the registers that belong to contexts: none that resets, none of another engine, none that nobody knows."""
    refused_for_good(stage, "audit-register", [
        Case("a load of the reset register", Engine.RCS0, _words(lambda batch: batch.load_register_imm((ResetRegisters.gdrst.offset, 1)))),
        Case("a load of another engine's mode", Engine.BCS0, _words(lambda batch: batch.load_register_imm((EngineRegisters.mode.at("RCS0"), 0xFFFF_0000)))),
        Case("a load of its own status page's address", Engine.VCS0, _words(lambda batch: batch.load_register_imm((EngineRegisters.hws_pga.at("VCS0"), 0)))),
        Case("a privileged batch that loads the reset register", Engine.VECS0, _in_batch(_words(lambda batch: batch.load_register_imm((ResetRegisters.gdrst.offset, 1))))),
    ])  # fmt: skip


@scenario(needs=TWO)
def refused_other_commands(stage: Stage) -> None:
    """An index beyond the status page is refused as such, whoever's page comes behind it."""
    index = _words(lambda batch: batch.flush_dw(PAGE_SIZE, 1, post_sync=FlushPostSync.WRITE_IMMEDIATE, store_index=True, use_global_gtt=True))
    refused_for_good(stage, "audit-index", [Case("an index beyond the status page", Engine.BCS0, index)])


@scenario(needs=TWO._replace(graphics_versions=(9,)))
def refused_context_registers(stage: Stage) -> None:
    """A context image is audited like a batch: a register that commands may not load is not loaded from there either.

    It is told of gen9 alone: on gen8 an image ends before its engine's own registers begin.
    """
    batch = Batch()
    batch.load_register_imm((ResetRegisters.gdrst.offset, 1))

    def submit(driver: GuestDriver) -> Request:
        context = driver.client.context(Engine.RCS0)

        def spoil() -> None:
            assert context.image is not None
            context.image.buffer.write(STATE_OFFSET + 4 * RING_CONTEXT_DWORDS, batch.bytes)

        return submit_in_ring(context, (), spoil)

    refused_for_good(stage, "audit-register", [("a context that loads the reset register", submit)])


@scenario(needs=TWO)
def refused_lost_ring(stage: Stage) -> None:
    """A ring whose page leads to no memory costs the host's trust: nobody can say what is to be executed."""

    def submit(driver: GuestDriver) -> Request:
        context = driver.client.context(Engine.VECS0)
        place = GGTT_OFFSET + int(context.ring.binding.address) // PAGE_SIZE * 8

        def spoil() -> None:
            for page in range(context.ring.size // PAGE_SIZE):
                stage.guest.mmio.write(place + 8 * page, 8, 0)

        return submit_in_ring(context, (), spoil)

    refused_for_good(stage, "ring-unreachable", [("a context whose ring is mapped nowhere", submit)])


@scenario(needs=TWO)
def dropped_commands(stage: Stage) -> None:
    """Some refusals cost the work alone: the host drops it, and the guest's reset of the engine sets things right."""
    neighbour = Neighbour(stage)
    stage.step("the driver starts the engines")
    driver = at_work(stage)

    def ring(engine: Engine, words: Sequence[int]) -> Callable[[], Request]:
        return lambda: submit_in_ring(driver.client.context(engine), words)

    def batch_words(write: Callable[[Batch], None]) -> Sequence[int]:
        return _words(write)(driver)

    plain = 0x7014
    refused_once(stage, driver, "a load from memory of a register that takes values only", "audit-register-use", ring(
        Engine.RCS0, batch_words(lambda batch: batch.load_register_mem(plain, bound_page(driver, "value").address, use_global_gtt=True)),
    ))  # fmt: skip
    refused_once(stage, driver, "a command that goes on behind the tail", "audit-past-end", ring(Engine.RCS0, (_LONG_MATH, 0)))
    roots = _words(lambda batch: batch.load_register_imm((EngineRegisters.bases["RCS0"] + _ROOTS, 0x123_4000), (EngineRegisters.bases["RCS0"] + _ROOTS + 4, 0)))
    refused_once(stage, driver, "a root that was never announced", "audit-root", ring(Engine.RCS0, roots(driver)))
    if stage.platform.graphics_version >= 9:
        sparse = batch_words(lambda batch: batch.load_register_imm((_TRTTE, 1)))
        refused_once(stage, driver, "a table of sparse resources at a physical address", "audit-sparse-table", ring(Engine.RCS0, sparse))
    long = bound_page(driver, "long batch", 2 * MIB // PAGE_SIZE + 1)
    start = batch_words(lambda batch: batch.batch_start(long.address, privileged=True))
    refused_once(stage, driver, "a privileged batch of more than 2 MiB", "audit-batch-size", ring(Engine.BCS0, start))
    neighbour.check()
