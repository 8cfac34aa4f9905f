"""Questions to the power control unit's firmware.

Source: linux:drivers/gpu/drm/i915/intel_pcode.c
"""

from __future__ import annotations

from typing import Final

from pvinfo.errors import WaitTimeout
from pvinfo.registers import Pcode, PcodeCommand, PcodeError, PcodeMailbox, PcodeReply

from .uncore import Uncore

__all__ = ("pcode_read",)

_REPLY_TIMEOUT_NS: Final = 20_500_000


def pcode_read(uncore: Uncore, command: PcodeCommand, parameter: int = 0) -> int | None:
    """The reply to ``command``, or None when the firmware is busy, does not answer or refuses (``snb_pcode_read``)."""
    if uncore.read(Pcode.mailbox).busy:
        uncore.log.warning("pcode-busy", f"the mailbox is busy before {command.name} is asked")
        return None
    uncore.write(Pcode.data, parameter)
    uncore.write(Pcode.data1, 0)
    uncore.write(Pcode.mailbox, PcodeMailbox.of(busy=1, command=command))
    try:
        mailbox = uncore.wait_for(Pcode.mailbox, PcodeMailbox.busy.mask, 0, _REPLY_TIMEOUT_NS)
    except WaitTimeout as error:
        uncore.log.error("pcode-timeout", f"no reply to {command.name}: {error}")
        return None
    reply = uncore.read(Pcode.data)
    verdict = PcodeReply(mailbox).error
    if verdict != PcodeError.SUCCESS:
        uncore.log.debug("pcode-refused", f"{command.name} ends with error {int(verdict):#x}")
        return None
    return reply
