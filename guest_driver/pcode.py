"""Questions to the power control unit's firmware, and orders.

Source: linux:drivers/gpu/drm/i915/intel_pcode.c
"""

from __future__ import annotations

from typing import Final

from pvinfo.errors import WaitTimeout
from pvinfo.registers import Pcode, PcodeCommand, PcodeError, PcodeMailbox, PcodeReply

from .uncore import Uncore

__all__ = ("pcode_read", "pcode_write")

_REPLY_TIMEOUT_NS: Final = 20_500_000
"""Of a question: 500 us spinning, then 20 ms."""
_DONE_TIMEOUT_NS: Final = 500_000
"""Of an order."""


def _ask(uncore: Uncore, command: PcodeCommand, data: int, timeout_ns: int) -> PcodeReply | None:
    """Hand over ``command`` and wait for the verdict; None when there is none."""
    if uncore.read(Pcode.mailbox).busy:
        uncore.log.warning("pcode-busy", f"the mailbox is busy before {command.name} is asked")
        return None
    uncore.write(Pcode.data, data)
    uncore.write(Pcode.data1, 0)
    uncore.write(Pcode.mailbox, PcodeMailbox.of(busy=1, command=command))
    try:
        return PcodeReply(uncore.wait_for(Pcode.mailbox, PcodeMailbox.busy.mask, 0, timeout_ns))
    except WaitTimeout as error:
        uncore.log.error("pcode-timeout", f"no reply to {command.name}: {error}")
        return None


def _succeeded(uncore: Uncore, command: PcodeCommand, reply: PcodeReply) -> bool:
    if reply.error == PcodeError.SUCCESS:
        return True
    uncore.log.debug("pcode-refused", f"{command.name} ends with error {int(reply.error):#x}")
    return False


def pcode_read(uncore: Uncore, command: PcodeCommand, parameter: int = 0) -> int | None:
    """The reply to ``command``, or None when the firmware is busy, does not answer or refuses (``snb_pcode_read``)."""
    reply = _ask(uncore, command, parameter, _REPLY_TIMEOUT_NS)
    if reply is None:
        return None
    value = uncore.read(Pcode.data)
    return value if _succeeded(uncore, command, reply) else None


def pcode_write(uncore: Uncore, command: PcodeCommand, value: int) -> bool:
    """Have the firmware carry out ``command``; False when it is busy, does not answer or refuses (``snb_pcode_write``)."""
    reply = _ask(uncore, command, value, _DONE_TIMEOUT_NS)
    return reply is not None and _succeeded(uncore, command, reply)
