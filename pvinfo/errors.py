"""Every error of the kit, in one small tree.

::

    GvtError                              root; each message names value, place and rule
     ├── LayoutError      (ValueError)    a declaration is wrong; raised at import
     ├── WireError        (ValueError)    bytes are not a well-formed record
     ├── UsageError       (ValueError)    an argument names nothing we know
     ├── StateError       (RuntimeError)  our interface used at the wrong time
     ├── DriverError                      the guest driver gives up
     │    ├── NotVirtualized              no PVINFO page: this is bare metal
     │    ├── HostRefused                 the page is there, but the driver cannot use what it offers
     │    ├── WaitTimeout                 a register or request never showed the value waited for
     │    ├── RequestFailed               a request was not executed, or not as a whole
     │    └── GpuWedged                   the GT was given up: nothing is executed any more
     ├── ResourceExhausted                something there is only so much of is used up
     ├── SaveRefused                      a vGPU does not come to a standstill, and so cannot be saved
     ├── RestoreRefused   (ValueError)    saved bytes are no vGPU, or none that this host can go on with
     ├── PeerError                        a vfio-user peer broke the protocol
     ├── ConformanceError                 somebody's hypervisor or scheduler does not keep what such a thing promises
     └── SetupError                       something of the machine around us is missing or unusable

What a *guest* does wrong is never one of these: it is a :class:`pvinfo.finding.Finding`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, final

__all__ = (
    "ConformanceError",
    "DriverError",
    "GpuWedged",
    "GvtError",
    "HostRefused",
    "LayoutError",
    "NotVirtualized",
    "PeerError",
    "RequestFailed",
    "ResourceExhausted",
    "RestoreRefused",
    "SaveRefused",
    "SetupError",
    "StateError",
    "UsageError",
    "WaitTimeout",
    "WireError",
)


_NAMED_HOLDERS: Final = 8
"""As many share a GPU by the kernel's mediator, which is as many as a line can name."""


class GvtError(Exception):
    """Root of the kit's errors."""


@final
class LayoutError(GvtError, ValueError):
    """A record, bit or register declaration contradicts itself."""


@final
class WireError(GvtError, ValueError):
    """Bytes that should hold a record do not.

    ``record`` and ``field`` say where (``field`` is a dotted path, empty when the record as a whole
    is at fault) and ``offset`` is the byte offset of that field inside the record.
    """

    def __init__(self, record: str, field: str, offset: int, rule: str) -> None:
        self.record = record
        self.field = field
        self.offset = offset
        self.rule = rule
        place = f"{record}.{field}" if field else record
        super().__init__(f"{place} at byte {offset:#x}: {rule}")


@final
class UsageError(GvtError, ValueError):
    """A name or number given by the user means nothing here; the message lists what would."""


@final
class StateError(GvtError, RuntimeError):
    """A call that is not legal in the present state; says which state and what would be legal."""

    def __init__(self, action: str, state: str, required: str) -> None:
        self.action = action
        self.state = state
        self.required = required
        super().__init__(f"{action} needs state {required}, but the state is {state}")


class DriverError(GvtError):
    """The guest driver cannot go on."""


@final
class NotVirtualized(DriverError):
    """There is no PVINFO page behind BAR0: the device is bare metal, or not a GVT-g host."""


@final
class HostRefused(DriverError):
    """The PVINFO page is there, but the guest driver must refuse what it says.

    ``rule`` is the short name of the rule that failed, the same in reports and scenarios.
    """

    def __init__(self, rule: str, message: str) -> None:
        self.rule = rule
        super().__init__(message)


@final
class WaitTimeout(DriverError):
    """A register, or the dword in which a request reports, did not reach the awaited value in time."""

    def __init__(self, what: str, value: int, wanted: int, timeout_ns: int) -> None:
        self.what = what
        self.value = value
        self.wanted = wanted
        self.timeout_ns = timeout_ns
        super().__init__(
            f"{what}: reads {value:#x}, still not {wanted:#x} after {timeout_ns / 1000:.0f} us"
        )


@final
class RequestFailed(DriverError):
    """A request was not executed, or not as a whole: its context hung the engine, or was banned before for doing so.

    ``engine``, ``context`` and ``seqno`` name the request.
    """

    def __init__(self, engine: str, context: str, seqno: int, reason: str) -> None:
        self.engine = engine
        self.context = context
        self.seqno = seqno
        self.reason = reason
        super().__init__(f"request {seqno} of {context} on {engine}: {reason}")


@final
class GpuWedged(DriverError):
    """The driver has given the GT up: there is no GPU work until it is loaded anew, or the GT is reset."""


@final
class ResourceExhausted(GvtError):
    """What was asked for cannot be had, because one resource is used up.

    ``resource`` names it; ``wanted`` and ``left`` are in ``unit``, and so is ``held``: how much of it each of those has who have the
    rest. The message names the greatest of them.
    """

    def __init__(self, resource: str, wanted: int, left: int, unit: str, hint: str = "", held: Mapping[str, int] | None = None) -> None:
        self.resource = resource
        self.wanted = wanted
        self.left = left
        self.unit = unit
        self.held = dict(held or {})
        text = f"not enough {resource}: {wanted} {unit} wanted, {left} {unit} left"
        more = "; ".join(part for part in (hint, _holders(self.held)) if part)
        super().__init__(f"{text} ({more})" if more else text)


def _holders(held: Mapping[str, int]) -> str:
    """Who has how much, the greatest first."""
    ranked = sorted(((much, who) for who, much in held.items() if much), key=lambda each: -each[0])
    named = [f"{who} has {much}" for much, who in ranked[:_NAMED_HOLDERS]]
    others = ranked[_NAMED_HOLDERS:]
    if others:
        named.append(f"{len(others)} others have {sum(much for much, _ in others)}")
    return ", ".join(named)


@final
class SaveRefused(GvtError):
    """Work of a vGPU did not end in time, so that it does not stand still; it goes on as if nobody had asked.

    ``engine`` and ``context`` name the work.
    """

    def __init__(self, vgpu: int, engine: str, context: int, waited_ns: int) -> None:
        self.engine = engine
        self.context = context
        self.waited_ns = waited_ns
        super().__init__(
            f"vGPU {vgpu} does not come to a standstill: context {context:#x} on {engine} has not ended after {waited_ns / 1e6:g} ms; the vGPU goes on"
        )


@final
class RestoreRefused(GvtError, ValueError):
    """Saved bytes are no whole vGPU, or this host cannot go on with it; nothing of it was made.

    ``rule`` is the short name of the rule that failed, ``where`` the part of the bytes, ``value`` what stands there.
    """

    def __init__(self, rule: str, where: str, value: object, wanted: str) -> None:
        self.rule = rule
        self.where = where
        self.value = value
        super().__init__(f"{rule}: {where} is {value}, must be {wanted}")


@final
class PeerError(GvtError):
    """A vfio-user peer sent something the protocol forbids; ``errno`` is what to answer with."""

    def __init__(self, errno: int, rule: str) -> None:
        self.errno = errno
        self.rule = rule
        super().__init__(f"{rule} (errno {errno})")


@final
class ConformanceError(GvtError):
    """An implementation of an interface breaks what the interface promises; ``broken`` has a line for each rule, with what was seen."""

    def __init__(self, who: str, broken: tuple[str, ...]) -> None:
        self.broken = broken
        super().__init__(f"{who} breaks {len(broken)} rule{'s' if len(broken) > 1 else ''}: " + "; ".join(broken))


@final
class SetupError(GvtError):
    """A program, kernel, socket or file that the run needs is missing or unusable."""
