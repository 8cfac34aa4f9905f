"""The interrupts of a device in the same process as its user: what is called, instead of event descriptors.

The rules are those of VFIO. A message is an event and nothing else; the pin is a level: it is signalled once and is then masked by
itself, until it is unmasked; if the device still asserts it, it is signalled again.

Source: linux:drivers/vfio/pci/vfio_pci_intrs.c, linux:include/uapi/linux/vfio.h (VFIO_DEVICE_SET_IRQS)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import final

from pvinfo.errors import UsageError
from pvinfo.vfio_user import IrqFlags, IrqIndex

__all__ = ("Signal", "Signals")

Signal = Callable[[], None]
"""What an interrupt is delivered to."""


@final
class Signals:
    """All interrupts of one device. ``counts`` says how many there are of each kind; ``asserted`` whether the device would assert its
    pin at this moment."""

    def __init__(self, counts: Mapping[IrqIndex, int], asserted: Callable[[], bool]) -> None:
        self._asserted = asserted
        self._connected: dict[IrqIndex, list[Signal | None]] = {irq: [None] * counts.get(irq, 0) for irq in IrqIndex}
        self._masked = self._pending = False
        self.sent: dict[IrqIndex, int] = dict.fromkeys(IrqIndex, 0)
        self.lost = 0
        """Interrupts that the device sent while nothing was connected."""

    def describe(self, irq: IrqIndex) -> tuple[IrqFlags, int]:
        """Behaviour and count of one kind."""
        if irq is IrqIndex.INTX:
            return IrqFlags.of(eventfd=True, maskable=True, automasked=True), len(self._connected[irq])
        return IrqFlags.of(eventfd=True, noresize=irq in (IrqIndex.MSI, IrqIndex.MSIX)), len(self._connected[irq])

    # ---- what the device does ----

    def fire(self) -> None:
        """The device sends an interrupt: as a message where one is connected, else by its pin."""
        if self._send(IrqIndex.MSI, 0):
            return
        if any(self._connected[IrqIndex.INTX]):
            self._pending = True
            self._send_pin()
        else:
            self.lost += 1

    def _send(self, irq: IrqIndex, number: int) -> bool:
        signals = self._connected[irq]
        signal = signals[number] if number < len(signals) else None
        if signal is None:
            return False
        self.sent[irq] += 1
        signal()
        return True

    def _send_pin(self) -> None:
        if self._pending and not self._masked and any(self._connected[IrqIndex.INTX]):
            self._pending, self._masked = False, True
            self._send(IrqIndex.INTX, 0)

    def device_reset(self) -> None:
        """The device asserts nothing any more; what is connected stays connected."""
        self._pending = self._masked = False

    # ---- what the user does ----

    def connect(self, irq: IrqIndex, signals: Sequence[Signal | None], start: int = 0) -> None:
        """Connect each of ``signals`` from number ``start`` on; None disconnects. Raises: UsageError for numbers there are not."""
        self._check(irq, start, len(signals))
        self._connected[irq][start : start + len(signals)] = signals
        if irq is IrqIndex.INTX and signals:
            self._pending, self._masked = signals[0] is not None and self._asserted(), False
            self._send_pin()

    def disconnect(self, irq: IrqIndex) -> None:
        """Disconnect all of a kind."""
        self._connected[irq] = [None] * len(self._connected[irq])
        if irq is IrqIndex.INTX:
            self._pending = self._masked = False

    def disconnect_all(self) -> None:
        """The user has gone."""
        for irq in IrqIndex:
            self.disconnect(irq)

    def trigger(self, irq: IrqIndex, number: int = 0) -> None:
        """Deliver an interrupt as if the device had sent it, to try the connection. Raises: UsageError for a number there is not."""
        self._check(irq, number, 1)
        self._send(irq, number)

    def mask(self, irq: IrqIndex) -> None:
        """Deliver nothing until it is unmasked. Raises: UsageError for a kind that cannot be masked."""
        self._check_maskable(irq)
        self._masked = True

    def unmask(self, irq: IrqIndex) -> None:
        """Deliver again; at once where the device still asserts its pin. Raises: UsageError for a kind that cannot be masked."""
        self._check_maskable(irq)
        self._masked = False
        self._pending = self._pending or self._asserted()
        self._send_pin()

    def _check(self, irq: IrqIndex, start: int, count: int) -> None:
        have = len(self._connected[irq])
        if start < 0 or count < 1 or start + count > have:
            raise UsageError(f"{irq.name} {start} to {start + count - 1}: the device has {have} of them, numbered from 0, and one at least is named")

    @staticmethod
    def _check_maskable(irq: IrqIndex) -> None:
        if irq is not IrqIndex.INTX:
            raise UsageError(f"{irq.name} cannot be masked: INTX alone can")
