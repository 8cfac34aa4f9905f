"""Do two drivers of a GPU submit alike? Their traces compared, engine by engine.

Compared is the order, on each engine, of three kinds of *step*: what is written to the submission port, the events that
the engine tells of it, and the breadcrumbs that its rings leave. Between engines there is no order to compare, and time
does not count: two machines are never equally fast.

Contexts are what they are to the engine: the first that is submitted to it is its context 1, and so on. A context is
known by the graphics address of its image, until the table maps something else there. Timelines, the places where
contexts leave their breadcrumbs, are numbered in the same way. What this sets aside has a named rule in :data:`RULES`;
each use of a rule is counted and reported.

The events and breadcrumbs are in memory; a trace of the physical GPU holds them, one of a vGPU does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import Final, NamedTuple, final

from .execlist import SUBMISSION_DWORDS, ContextDescriptor, ContextStatusEvent, Submission
from .platform import ENGINES, Engine
from .registers.engine import CONTEXT_STATUS_ENTRIES, ContextStatus, EngineRegisters
from .trace import NumberedRow, Op
from .trace_diff import side_that_ends
from .units import PAGE_SHIFT

__all__ = (
    "RULES", "Act", "Step", "SubmissionComparison", "SubmissionDifference", "SubmissionRule", "compare_submissions",
    "format_submissions", "submission_rows", "submission_steps",
)  # fmt: skip

_GGTT_ENTRY_SIZE: Final = 8
_CONTEXT: Final = 3
_AHEAD: Final = 4
_FLAGS: Final = 0xFFF
"""What a descriptor holds beside image and id."""
_PORTS: Final = {specification.base + EngineRegisters.elsp.offset: engine for engine, specification in ENGINES.items()}
_BUFFERS: Final = {
    specification.base + EngineRegisters.context_status_buffer.offset + 8 * entry: engine
    for engine, specification in ENGINES.items() for entry in range(CONTEXT_STATUS_ENTRIES)
}  # fmt: skip
_BLOCKS: Final = {specification.base: engine for engine, specification in ENGINES.items()}


class Act(Enum):
    """What a step is."""

    SUBMISSION = "submits"
    EVENT = "event"
    BREADCRUMB = "breadcrumb"


class Step(NamedTuple):
    """One step on one engine."""

    line: int
    """Where in its file it stands; of a submission, the write that completes it."""
    engine: Engine
    act: Act
    shape: tuple[int, ...]
    """What is compared. Of a submission, number and flags of each context; of an event, status and number of the
    context (0: none that was submitted); of a breadcrumb, number of the timeline, the value left there and its size."""
    addresses: tuple[int, ...]
    """Graphics addresses of the images, or of the breadcrumb."""
    ids: tuple[int, ...]
    """The driver's names of the contexts."""
    rested: tuple[bool, ...] = ()
    """Of a submission, which of its contexts had run before and since been told to be complete."""

    def describe(self) -> str:
        """The step in words."""
        shape = self.shape
        if self.act is Act.EVENT:
            return f"event: {ContextStatus(shape[0]).describe()} of {f'context {shape[1]}' if shape[1] else 'a context never submitted'}"
        if self.act is Act.BREADCRUMB:
            return f"breadcrumb {shape[1]} in timeline {shape[0]}, {shape[2]} bytes"
        elements = zip(shape[::2], shape[1::2], strict=True)
        return "submits " + ", then ".join(f"context {number} ({ContextDescriptor(flags).describe()})" for number, flags in elements)


@final
class _Numbers:
    """Places in graphics memory, numbered as they are first met."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int], int] = {}

    def of(self, address: int, generation: int) -> int:
        return self._seen.setdefault((address, generation), len(self._seen) + 1)


@final
class _EngineSteps:
    """What one engine was told, so far."""

    def __init__(self) -> None:
        self.written: list[int] = []
        self.contexts = _Numbers()
        self.timelines = _Numbers()
        self.named: dict[int, int] = {}
        """Number of the context that was last submitted by each of the driver's names."""
        self.rested: set[int] = set()
        """Contexts that were complete when they were last told of."""


def submission_steps(rows: Iterable[NumberedRow]) -> Iterator[Step]:
    """The steps that a trace holds, in its order."""
    engines = {engine: _EngineSteps() for engine in ENGINES}
    generations: Counter[int] = Counter()

    def number(numbers: _Numbers, address: int) -> int:
        return numbers.of(address, generations[address >> PAGE_SHIFT])

    for line, row in rows:
        if row.op is Op.GGTT_WRITE:
            generations[row.offset // _GGTT_ENTRY_SIZE] += 1
        elif row.op is Op.WRITE and row.offset in _PORTS:
            engine = _PORTS[row.offset]
            state = engines[engine]
            for _ in range(row.repeat):
                state.written.append(row.value)
                if len(state.written) < SUBMISSION_DWORDS:
                    continue
                elements = [element for element in Submission(*state.written).elements if element.valid]
                state.written.clear()
                contexts = [number(state.contexts, element.image) for element in elements]
                rested = tuple(context in state.rested for context in contexts)
                state.rested.difference_update(contexts)
                state.named.update(zip((element.context_id for element in elements), contexts, strict=True))
                yield Step(
                    line, engine, Act.SUBMISSION,
                    tuple(part for context, element in zip(contexts, elements, strict=True) for part in (context, int(element) & _FLAGS)),
                    tuple(element.image for element in elements), tuple(element.context_id for element in elements), rested,
                )  # fmt: skip
        elif row.op is Op.STATUS_EVENT and row.offset in _BUFFERS:
            engine = _BUFFERS[row.offset]
            event = ContextStatusEvent(ContextStatus(row.value & 0xFFFFFFFF), row.value >> 32)
            context = engines[engine].named.get(event.context_id, 0)
            if event.status.context_complete:
                engines[engine].rested.add(context)
            yield from [Step(line, engine, Act.EVENT, (int(event.status), context), (), (event.context_id,))] * row.repeat
        elif row.op is Op.BREADCRUMB and row.offset in _BLOCKS:
            engine = _BLOCKS[row.offset]
            address = row.value >> 32
            timeline = number(engines[engine].timelines, address)
            yield from [Step(line, engine, Act.BREADCRUMB, (timeline, row.value & 0xFFFFFFFF, row.size), (address,), ())] * row.repeat


def submission_rows(rows: Iterable[NumberedRow]) -> Iterator[NumberedRow]:
    """The rows of a trace that :func:`submission_steps` looks at and that matter: the same steps come of them alone."""
    kept = list(rows)
    places = {address >> PAGE_SHIFT for step in submission_steps(kept) for address in step.addresses}
    for numbered in kept:
        row = numbered.row
        if row.op is Op.GGTT_WRITE:
            if row.offset // _GGTT_ENTRY_SIZE in places:
                yield numbered
        elif row.op in (Op.STATUS_EVENT, Op.BREADCRUMB) or (row.op is Op.WRITE and row.offset in _PORTS):
            yield numbered


# ---- rules ----


class SubmissionRule(NamedTuple):
    """A difference that is meant."""

    name: str
    sentence: str


RULES: Final = (
    SubmissionRule("context-image-address", "where a driver puts a context's image is its own choice: compared is which of the engine's contexts it is"),
    SubmissionRule("context-id", "what a driver calls a context is its own choice: compared is that events name the context which was submitted by that name"),
    SubmissionRule(
        "restore-after-rest",
        "a driver lets go of a context that has nothing to do, and of the engine, after a while, and restores the context by force when it comes back: "
        "how soon it does so is the moment's, so that of a context that was complete the flag does not count",
    ),
    SubmissionRule("breadcrumb-address", "where a context leaves its breadcrumbs is the driver's own choice: compared is which of the engine's timelines it is"),
)
"""Every intended difference."""

_FORCED: Final = ContextDescriptor.force_restore.mask
_ADDRESS_RULE: Final = {Act.SUBMISSION: "context-image-address", Act.BREADCRUMB: "breadcrumb-address"}


# ---- comparing ----


class SubmissionDifference(NamedTuple):
    """The first place where one engine's steps differ."""

    engine: Engine
    summary: str
    before: tuple[Step, ...]
    """The last equal ones, as the left side has them."""
    left: tuple[Step, ...]
    """What comes next on each side; empty where it has ended."""
    right: tuple[Step, ...]


class SubmissionComparison(NamedTuple):
    """What a comparison found."""

    left: dict[Engine, tuple[Step, ...]]
    right: dict[Engine, tuple[Step, ...]]
    applied: dict[str, int]
    """How often each rule was needed, by name."""
    differences: tuple[SubmissionDifference, ...]
    """At most one per engine."""

    @property
    def equal(self) -> bool:
        """The drivers submit alike, under the rules."""
        return not self.differences


def _by_engine(rows: Iterable[NumberedRow]) -> dict[Engine, tuple[Step, ...]]:
    steps: dict[Engine, list[Step]] = {engine: [] for engine in ENGINES}
    for step in submission_steps(rows):
        steps[step.engine].append(step)
    return {engine: tuple(found) for engine, found in steps.items()}


def _alike(one: Step, other: Step, applied: Counter[str]) -> bool:
    """Whether two steps are equal under the rules."""
    if one.act is not other.act or len(one.shape) != len(other.shape):
        return False
    forgiven = 0
    for index, (left, right) in enumerate(zip(one.shape, other.shape, strict=True)):
        if left == right:
            continue
        flags = one.act is Act.SUBMISSION and index % 2
        if not flags or left ^ right != _FORCED or not (one.rested[index // 2] and other.rested[index // 2]):
            return False
        forgiven += 1
    applied["restore-after-rest"] += forgiven
    if one.addresses != other.addresses:
        applied[_ADDRESS_RULE[one.act]] += 1
    if one.ids != other.ids:
        applied["context-id"] += 1
    return True


def _compare(engine: Engine, left: Sequence[Step], right: Sequence[Step], applied: Counter[str]) -> SubmissionDifference | None:
    equal = 0
    for one, other in zip(left, right, strict=False):
        if not _alike(one, other, applied):
            break
        equal += 1
    if equal == len(left) == len(right):
        return None
    summary = side_that_ends("steps", equal, len(left) - equal, equal, len(right) - equal) or f"step {equal + 1} differs"
    return SubmissionDifference(
        engine, summary, tuple(left[max(equal - _CONTEXT, 0) : equal]), tuple(left[equal : equal + _AHEAD]), tuple(right[equal : equal + _AHEAD])
    )


def compare_submissions(left: Iterable[NumberedRow], right: Iterable[NumberedRow]) -> SubmissionComparison:
    """Compare what two drivers submitted, and what became of it."""
    one, other = _by_engine(left), _by_engine(right)
    applied: Counter[str] = Counter()
    found = [_compare(engine, one[engine], other[engine], applied) for engine in ENGINES]
    counts = {rule.name: applied[rule.name] for rule in RULES if applied[rule.name]}
    return SubmissionComparison(one, other, counts, tuple(difference for difference in found if difference is not None))


# ---- reporting ----


def _counts(steps: Iterable[Step]) -> str:
    counted = Counter(step.act for step in steps)
    return f"{counted[Act.SUBMISSION]} submissions, {counted[Act.EVENT]} events, {counted[Act.BREADCRUMB]} breadcrumbs"


def format_submissions(comparison: SubmissionComparison, left: str, right: str) -> Iterator[str]:
    """The comparison as lines; ``left`` and ``right`` name the sides."""
    for difference in comparison.differences:
        yield f"{difference.engine.value}: {difference.summary}"
        yield from (f"    line {step.line}: {step.describe()}" for step in difference.before)
        for mark, name, steps in (("<", left, difference.left), (">", right, difference.right)):
            yield f"  {mark} {name}"
            yield from (f"  {mark} line {step.line}: {step.describe()}" for step in steps)
            if not steps:
                yield f"  {mark} (ends)"
        yield ""
    for rule in RULES:
        if rule.name in comparison.applied:
            times = comparison.applied[rule.name]
            yield f"rule {rule.name}, applied {times} {'time' if times == 1 else 'times'}: {rule.sentence}"
    for engine in ENGINES:
        one, other = _counts(comparison.left[engine]), _counts(comparison.right[engine])
        yield f"{engine.value}: {one}" if one == other else f"{engine.value}: {one} on the left side; {other} on the right one"
    yield "equal" if comparison.equal else "different"
