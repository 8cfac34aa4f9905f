"""What a scheduling policy is: whoever is told what vGPUs want and have had, and says which of them is next.

A policy has no clock, no GPU and no memory of a guest: vGPUs are numbers, times are nanoseconds that it is given. So it can
be tried in virtual time without anything around it (:mod:`.trial`), and replaced by anybody's own (:mod:`.registry`), of which
:func:`~.conformance.check_policy` looks whether it keeps what is promised here.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

__all__ = ("Choice", "Policy")


class Choice(NamedTuple):
    """A policy's answer."""

    vgpu: int | None
    """Whose the GPU should be. None: nobody's; whoever has it is given nothing new."""
    until_ns: int | None = None
    """When the policy wants to be asked again, if nothing happens before. None: not before something does."""


@runtime_checkable
class Policy(Protocol):
    """The order of the vGPUs of one GPU. An object serves one host.

    Whoever drives it keeps these rules: times never go back; a vGPU has come before anything else is said of it; ``ready`` and
    ``idle`` take turns; ``used`` covers all the time between ``given`` and the next ``given`` without a gap, and is said before
    whatever has ended the time that it tells of. Work that runs is never interrupted: between a choice and ``given`` the vGPU
    that has the GPU may use it for as long as its running work takes. ``given`` is said when the GPU changes hands, not to a vGPU
    that keeps it.

    What a policy promises: only who is there and has work is chosen anew; who alone has work gets the GPU; when to be asked again is
    later than now; what was used may be told at once or in parts; the same story has the same answers; nobody waits longer than
    the bound that is stated, where one is.
    """

    @property
    def name(self) -> str:
        """What it is chosen by."""

    def came(self, vgpu: int, weight: int, now_ns: int) -> None:
        """There is a vGPU of this weight; it has no work, and its guest has not yet set its engines up."""

    def left(self, vgpu: int, now_ns: int) -> None:
        """There is no such vGPU any more. The GPU is not its."""

    def started(self, vgpu: int, now_ns: int) -> None:
        """Its guest has its engines take work from now on. A guest may do so again and again: nothing good may come of it."""

    def stopped(self, vgpu: int, now_ns: int) -> None:
        """Its guest has reset an engine: what there was to do is gone, and nothing comes before ``started``."""

    def ready(self, vgpu: int, now_ns: int) -> None:
        """It has work, where it had none."""

    def idle(self, vgpu: int, now_ns: int) -> None:
        """Nothing of it runs or waits any more."""

    def given(self, vgpu: int | None, now_ns: int) -> None:
        """The GPU is its from now on; None: nobody's."""

    def used(self, vgpu: int, held_ns: int, busy_ns: int) -> None:
        """It has had the GPU for ``held_ns`` more, and ``busy_ns`` of them there was work of it."""

    def choose(self, current: int | None, now_ns: int) -> Choice:
        """Who is next, while the GPU is ``current``'s. Asked whenever something was told, and when the last answer says so."""

    def worst_wait_ns(self, vgpu: int, longest_ns: int) -> int | None:
        """How long it can be kept waiting with work, by all others that there are, when no work holds out longer than ``longest_ns``
        after its vGPU's time is up. None: there is no bound."""
