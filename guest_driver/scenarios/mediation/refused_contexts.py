"""Submissions and contexts that a mediator does not carry out, because of what they say of themselves."""

from __future__ import annotations

from collections.abc import Callable

from pvinfo.context_image import STATE_OFFSET, context_image
from pvinfo.execlist import AddressingMode, ContextDescriptor, Submission
from pvinfo.gtt_entry import GGTT_OFFSET
from pvinfo.platform import Engine
from pvinfo.registers import EngineRegisters
from pvinfo.units import PAGE_SIZE

from ...request import Request
from ..catalogue import scenario
from ..stage import Stage
from ..work.acts import Events, at_work, come_to_rest
from . import TWO
from .acts import A_WHILE_NS, Neighbour, bound_page, check_works, refused_once, submit_in_ring


@scenario(needs=TWO)
def dropped_submissions(stage: Stage) -> None:
    """A submission without a valid first element, or without page tables, is none: it is dropped, and costs nothing else."""
    neighbour = Neighbour(stage)
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    come_to_rest(stage, driver)
    whole = driver.client.context(Engine.BCS0).descriptor()
    cases = {
        "empty-submission": ContextDescriptor.of(whole, valid=0),
        "submission-without-tables": ContextDescriptor.of(whole, privilege=0),
    }
    for rule, descriptor in cases.items():
        stage.step(f"the port is written: {rule.replace('-', ' ')}")
        events = Events(driver, Engine.BCS0)
        for dword in Submission.loading(descriptor):
            stage.guest.mmio.write32(EngineRegisters.elsp.at("BCS0"), dword)
        driver.wait(A_WHILE_NS)
        stage.expect_finding(rule, times=1)
        stage.check("events that tell of it", events.of(), 0)
    check_works(stage, driver)
    neighbour.check()


@scenario(needs=TWO)
def dropped_contexts(stage: Stage) -> None:
    """Contexts with a ring or batches outside the slice, or positions outside the ring, are dropped; mended ones are carried out."""
    neighbour = Neighbour(stage)
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    theirs = stage.guests[1].offer.nonmappable.base
    version, inside = stage.platform.graphics_version, bound_page(driver, "work-around batch")

    def submit(engine: Engine, register: str, value: int) -> tuple[Callable[[], Request], Callable[[], None]]:
        context = driver.client.context(engine)
        offset = context_image(version, engine).value_offset(register)
        before = context.read_register(register)

        def poke(content: int) -> None:
            assert context.image is not None
            context.image.buffer.write_dword(offset, content)

        return lambda: submit_in_ring(context, (), lambda: poke(value)), lambda: poke(before)

    for what, rule, engine, register, value in (
        ("a context whose ring is the neighbour's memory", "ring-outside-slice", Engine.BCS0, "start", theirs),
        ("a context whose ring begins in a page", "ring-outside-slice", Engine.VCS0, "start", int(driver.client.context(Engine.VCS0).ring.binding.address) + 64),
        ("a context with a head behind its ring", "ring-position", Engine.VECS0, "head", 0x1F_0000),
        ("a context with a work-around batch that begins inside a page", "audit-workaround", Engine.RCS0, "indirect_ctx", int(inside.address) + 64 | 1),
        ("a context with a work-around batch in the neighbour's memory", "workaround-outside-slice", Engine.RCS0, "indirect_ctx", theirs | 1),
    ):
        request, mend = submit(engine, register, value)
        refused_once(stage, driver, what, rule, request, mend)
    neighbour.check()


@scenario(needs=TWO)
def dropped_lost_image(stage: Stage) -> None:
    """A context image that is mapped nowhere cannot be carried out; once it is mapped again it is."""
    neighbour = Neighbour(stage)
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    context = driver.client.context(Engine.VECS0)
    assert context.image is not None
    place = GGTT_OFFSET + (int(context.image.address) + STATE_OFFSET) // PAGE_SIZE * 8
    entry = stage.guest.mmio.read(place, 8)

    def submit() -> Request:
        return submit_in_ring(context, (), lambda: stage.guest.mmio.write(place, 8, 0))

    refused_once(stage, driver, "a context whose image is mapped nowhere", "context-unreachable", submit, lambda: stage.guest.mmio.write(place, 8, entry))
    neighbour.check()


@scenario(needs=TWO)
def dropped_addressing_modes(stage: Stage) -> None:
    """Modes of addressing that share tables with processors are not mediated."""
    neighbour = Neighbour(stage)
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    come_to_rest(stage, driver)
    for mode in (AddressingMode.ADVANCED, AddressingMode.ADVANCED_AD):
        stage.step(f"a context is submitted with mode {int(mode)}")
        descriptor = ContextDescriptor.of(driver.client.context(Engine.BCS0).descriptor(), addressing_mode=mode)
        for dword in Submission.loading(descriptor):
            stage.guest.mmio.write32(EngineRegisters.elsp.at("BCS0"), dword)
        stage.guest.wait(A_WHILE_NS)
        stage.expect_finding("addressing-mode")
    check_works(stage, driver)
    neighbour.check()
