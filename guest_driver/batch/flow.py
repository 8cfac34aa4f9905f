"""Commands that say what is executed next, and who is told."""

from __future__ import annotations

from pvinfo.commands.mi.batch import (
    MI_BATCH_BUFFER_END,
    MI_BATCH_BUFFER_START,
    MI_CONDITIONAL_BATCH_BUFFER_END,
    MI_PREDICATE,
    MI_SEMAPHORE_SIGNAL,
    MI_SEMAPHORE_WAIT,
    MI_SET_PREDICATE,
    MiBatchBufferStart,
    MiConditionalBatchBufferEnd,
    MiSemaphoreSignal,
    MiSemaphoreWait,
    PredicateCombine,
    PredicateCompare,
    PredicateLoad,
    PredicateMode,
    SemaphoreCompare,
    SemaphoreTarget,
)
from pvinfo.commands.mi.control import MI_ARB_CHECK, MI_ARB_ON_OFF, MI_NOOP, MI_REPORT_HEAD, MI_USER_INTERRUPT

from .buffer import CommandBuffer, place

__all__ = ("FlowCommands",)


class FlowCommands(CommandBuffer):
    """Batches, arbitration, interrupts, semaphores, predicates."""

    # ---- one dword ----

    def noop(self, identification: int | None = None) -> None:
        """MI_NOOP: nothing; with an ``identification`` that number is left in the engine's ``nopid``."""
        fields = {} if identification is None else {"identification": identification, "write_identification": 1}
        self._header(MI_NOOP.header(**fields))

    def _header(self, header: int) -> None:
        self.add(header.to_bytes(4, "little"))

    def align(self, quantum: int = 8) -> None:
        """MI_NOOP up to a multiple of ``quantum`` bytes."""
        while self.position % quantum:
            self.noop()

    def user_interrupt(self) -> None:
        """MI_USER_INTERRUPT: raise the engine's ``user`` event. (Each request does so by itself.)"""
        self._header(MI_USER_INTERRUPT.header())

    def arb_check(self) -> None:
        """MI_ARB_CHECK: a point at which the context may be preempted."""
        self._header(MI_ARB_CHECK.header())

    def arb_on_off(self, *, enable: bool) -> None:
        """MI_ARB_ON_OFF: whether the context may be preempted from here on."""
        self._header(MI_ARB_ON_OFF.header(enable=enable))

    def report_head(self) -> None:
        """MI_REPORT_HEAD: write the ring's head to the context's status page."""
        self._header(MI_REPORT_HEAD.header())

    # ---- batches ----

    def batch_start(
        self, address: int, *, privileged: bool = False, second_level: bool = False, predicate: bool = False, add_offset: bool = False
    ) -> None:
        """MI_BATCH_BUFFER_START: go on at ``address``.

        ``privileged``: it is an address of the global table. ``second_level``: come back here when that batch ends, else it
        takes the place of this one. ``predicate``: only where MI_PREDICATE's result is true. ``add_offset``: add ``bb_offset``.
        """
        header = MI_BATCH_BUFFER_START.header(ppgtt=not privileged, second_level=second_level, predicate=predicate, add_offset=add_offset)
        self.add(MI_BATCH_BUFFER_START.build(MiBatchBufferStart(header, place(address, 4))))

    def batch_end(self) -> None:
        """MI_BATCH_BUFFER_END: the batch is over. (A submitted batch gets one by itself where it has none.)"""
        self._header(MI_BATCH_BUFFER_END.header())

    def conditional_end(self, address: int, value: int, *, use_global_gtt: bool = False, mask: bool = False) -> None:
        """MI_CONDITIONAL_BATCH_BUFFER_END: the batch is over unless the dword at ``address`` is greater than ``value``.

        ``mask``: the dword behind it is a mask for it (gen9).
        """
        header = MI_CONDITIONAL_BATCH_BUFFER_END.header(compare=1, compare_mask=mask, use_global_gtt=use_global_gtt)
        self.add(MI_CONDITIONAL_BATCH_BUFFER_END.build(MiConditionalBatchBufferEnd(header, value, place(address, 8))))

    # ---- semaphores ----

    def semaphore_wait(
        self, address: int, value: int, compare: SemaphoreCompare = SemaphoreCompare.GREATER_OR_EQUAL,
        *, poll: bool = True, use_global_gtt: bool = False, register_poll: bool = False,
    ) -> None:  # fmt: skip
        """MI_SEMAPHORE_WAIT: wait until the dword at ``address`` compares as wanted with ``value``.

        ``poll``: look again and again, else when signalled. ``register_poll``: the address is that of a register (gen9).
        """
        header = MI_SEMAPHORE_WAIT.header(compare=compare, poll=poll, use_global_gtt=use_global_gtt, register_poll=register_poll)
        self.add(MI_SEMAPHORE_WAIT.build(MiSemaphoreWait(header, value, place(address, 4))))

    def semaphore_signal(self, target: SemaphoreTarget, context_id: int, *, post_sync: bool = False) -> None:
        """MI_SEMAPHORE_SIGNAL: have the context called ``context_id`` on the engine ``target`` look at its semaphore again."""
        header = MI_SEMAPHORE_SIGNAL.header(target=target, post_sync=post_sync)
        self.add(MI_SEMAPHORE_SIGNAL.build(MiSemaphoreSignal(header, context_id)))

    # ---- predicates ----

    def predicate(
        self, compare: PredicateCompare, *, load: PredicateLoad = PredicateLoad.LOAD, combine: PredicateCombine = PredicateCombine.SET
    ) -> None:
        """MI_PREDICATE: find the predicate, render engine only."""
        self._header(MI_PREDICATE.header(compare=compare, load=load, combine=combine))

    def set_predicate(self, mode: PredicateMode) -> None:
        """MI_SET_PREDICATE: which of the commands that follow are no-operations."""
        self._header(MI_SET_PREDICATE.header(mode=mode))
