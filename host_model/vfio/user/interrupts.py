"""The interrupts of a served device: event descriptors that the client gave, and the state of the interrupt pin.

A message-signalled interrupt is an event and nothing else. The pin (INTx) is a level: it is signalled once and then
waits, masked, until the client says that the guest has seen it; if the device still asserts it then, it is signalled
again. The client says so by a message, or through an event descriptor of its own.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
from collections.abc import Callable
from typing import Final, Protocol, final

from pvinfo.errors import PeerError
from pvinfo.vfio_user import IrqAction, IrqFlags, IrqIndex, IrqSet

__all__ = ("DescriptorWatch", "EventDescriptor", "InterruptLines")


class DescriptorWatch(Protocol):
    """Whoever waits for file descriptors: the server's loop."""

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        """Call ``ready`` whenever ``fd`` can be read."""

    def unwatch(self, fd: int) -> None:
        """No more of that."""


_EVENTFD: Final = "anon_inode:[eventfd]"


@final
class EventDescriptor:
    """An event descriptor of the client's; whoever drops it closes it.

    Raises: PeerError when ``fd`` is something else.
    """

    def __init__(self, fd: int) -> None:
        if os.readlink(f"/proc/self/fd/{fd}") != _EVENTFD:
            raise PeerError(errno.EINVAL, "DEVICE_SET_IRQS: a file descriptor that is no event descriptor")
        self.fd = fd
        # A full counter must not stop the server: one that would wait is asked first.
        self._may_block = not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK

    def signal(self) -> None:
        """Count one event; a counter that is full has been signalled anyway."""
        if self._may_block:
            poll = select.poll()
            poll.register(self.fd, select.POLLOUT)
            if not poll.poll(0):
                return
        try:
            os.eventfd_write(self.fd, 1)
        except BlockingIOError:
            pass

    def take(self) -> bool:
        """Take the events counted so far; False when there were none."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        if not poll.poll(0):
            return False
        try:
            return os.eventfd_read(self.fd) > 0
        except BlockingIOError:
            return False

    def close(self) -> None:
        os.close(self.fd)


@final
class InterruptLines:
    """All interrupts of one device. ``counts`` says how many there are of each kind.

    ``asserted`` tells whether the device would assert its pin at this moment.
    """

    def __init__(self, counts: dict[IrqIndex, int], asserted: Callable[[], bool], watch: DescriptorWatch) -> None:
        self.counts = counts
        self.sent: dict[IrqIndex, int] = dict.fromkeys(IrqIndex, 0)
        self.lost = 0
        """Interrupts that the device sent while nothing was connected; the guest finds their cause in its registers."""
        self._asserted = asserted
        self._watch = watch
        self._triggers: dict[IrqIndex, list[EventDescriptor | None]] = {irq: [None] * count for irq, count in counts.items()}
        self._unmask: EventDescriptor | None = None
        self._masked = False
        """By the client."""
        self._waiting = False
        """Signalled, and the guest has not seen it yet."""
        self._pending = False
        """To be signalled as soon as it may."""

    # ---- what the device does ----

    def fire(self) -> None:
        """The device sends an interrupt: as a message where the client listens to those, else by its pin."""
        if self._signal(IrqIndex.MSI, 0):
            return
        if self._connected(IrqIndex.INTX, 0):
            self._pending = True
            self._signal_pin()
        else:
            self.lost += 1

    def _connected(self, irq: IrqIndex, number: int) -> bool:
        triggers = self._triggers[irq]
        return number < len(triggers) and triggers[number] is not None

    def _signal(self, irq: IrqIndex, number: int) -> bool:
        triggers = self._triggers[irq]
        trigger = triggers[number] if number < len(triggers) else None
        if trigger is None:
            return False
        trigger.signal()
        self.sent[irq] += 1
        return True

    def _signal_pin(self) -> None:
        if self._pending and not self._masked and not self._waiting and self._signal(IrqIndex.INTX, 0):
            self._pending = False
            self._waiting = True

    def _unmask_pin(self) -> None:
        self._masked = self._waiting = False
        self._pending = self._pending or self._asserted()
        self._signal_pin()

    def device_reset(self) -> None:
        """The device asserts nothing any more; what is connected stays connected."""
        self._pending = self._waiting = self._masked = False

    # ---- what the client does ----

    def describe(self, irq: IrqIndex) -> tuple[IrqFlags, int]:
        """Behaviour and count of one kind."""
        if irq is IrqIndex.INTX:
            return IrqFlags.of(eventfd=True, maskable=True, automasked=True), self.counts[irq]
        return IrqFlags.of(eventfd=True, noresize=irq in (IrqIndex.MSI, IrqIndex.MSIX)), self.counts[irq]

    def set(self, request: IrqSet, data: bytes, fds: tuple[int, ...]) -> None:
        """Do what a DEVICE_SET_IRQS says. ``fds`` are taken over, unless it raises.

        Raises: PeerError for what the protocol or this kind of interrupt does not allow; nothing has changed then.
        """
        irq, action = self._check(request, fds)
        first, end = request.start, request.start + request.number
        if request.number == 0:
            self._disconnect_kind(irq)
        elif request.flags.data_eventfd:
            self._connect(irq, action, first, end, fds)
        else:
            chosen = [n for n in range(first, end) if request.flags.data_none or data[n - first]]
            self._act(irq, action, chosen)

    def _check(self, request: IrqSet, fds: tuple[int, ...]) -> tuple[IrqIndex, IrqAction]:
        flags, action = request.flags, request.flags.action
        if flags.data_none + flags.data_bool + flags.data_eventfd != 1 or not isinstance(action, IrqAction) or flags >> 6:
            raise self._refused(request, "one kind of data and one action")
        try:
            irq = IrqIndex(request.irq)
        except ValueError:
            raise self._refused(request, f"kinds of interrupt are 0 to {max(IrqIndex)}") from None
        if request.number == 0:
            if request.start or not flags.data_none or action is not IrqAction.TRIGGER:
                raise self._refused(request, "an empty range is for disconnecting all of a kind, from 0, with trigger and no data")
        elif request.start + request.number > self.counts[irq]:
            raise self._refused(request, f"there are {self.counts[irq]} of {irq.name}")
        if fds and (not flags.data_eventfd or len(fds) != request.number):
            raise self._refused(request, f"{len(fds)} file descriptors: one for each, or none at all")
        if action is not IrqAction.TRIGGER and irq is not IrqIndex.INTX:
            raise self._refused(request, f"{irq.name} can be triggered only")
        if action is IrqAction.MASK and flags.data_eventfd:
            raise self._refused(request, "INTX tells nobody when it is masked")
        return irq, action

    @staticmethod
    def _refused(request: IrqSet, rule: str) -> PeerError:
        what = f"flags {int(request.flags):#x} on kind {request.irq}, {request.number} from {request.start}"
        return PeerError(errno.EINVAL, f"DEVICE_SET_IRQS {what}: {rule}")

    def _connect(self, irq: IrqIndex, action: IrqAction, first: int, end: int, fds: tuple[int, ...]) -> None:
        events = [EventDescriptor(fd) for fd in fds]
        if action is IrqAction.UNMASK:
            self._connect_unmask(events[0] if events else None)
            return
        self._disconnect(irq, first, end)
        for number, event in enumerate(events, first):
            self._triggers[irq][number] = event
        if irq is IrqIndex.INTX and events:
            self._pending = self._asserted()
            self._signal_pin()

    def _connect_unmask(self, event: EventDescriptor | None) -> None:
        if self._unmask is not None:
            self._watch.unwatch(self._unmask.fd)
            self._unmask.close()
        self._unmask = event
        if event is not None:
            self._watch.watch(event.fd, self._unmask_ready)

    def _unmask_ready(self) -> None:
        if self._unmask is not None and self._unmask.take():
            self._unmask_pin()

    def _disconnect(self, irq: IrqIndex, first: int, end: int) -> None:
        triggers = self._triggers[irq]
        for number in range(first, end):
            trigger, triggers[number] = triggers[number], None
            if trigger is not None:
                trigger.close()
        if irq is IrqIndex.INTX:
            self._pending = self._waiting = False

    def _disconnect_kind(self, irq: IrqIndex) -> None:
        self._disconnect(irq, 0, self.counts[irq])
        if irq is IrqIndex.INTX:
            self._connect_unmask(None)
            self._masked = False

    def _act(self, irq: IrqIndex, action: IrqAction, chosen: list[int]) -> None:
        if not chosen:
            return
        if action is IrqAction.TRIGGER:
            for number in chosen:
                self._signal(irq, number)
        elif action is IrqAction.MASK:
            self._masked = True
        else:
            self._unmask_pin()

    def clear(self) -> None:
        """The client has gone: every descriptor it gave is closed."""
        for irq in self.counts:
            self._disconnect_kind(irq)
