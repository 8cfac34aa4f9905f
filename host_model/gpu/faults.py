"""How a failed translation is shown: the fault registers of the GPU, which keep the oldest, and the engine's errors."""

from __future__ import annotations

from typing import Final

from pvinfo.platform import Engine
from pvinfo.registers.gtt import FaultTlbData1, GttRegisters, RingFault

from .address_space import TranslationFault

__all__ = ("report_fault",)

_ENGINE_NUMBERS: Final = {Engine.RCS0: 0, Engine.VCS0: 1, Engine.BCS0: 2, Engine.VECS0: 3}
"""As the fault register numbers them. Source: prm:skl:vol2c"""


def report_fault(registers: memoryview, engine: Engine, fault: TranslationFault) -> None:
    """Show ``fault`` in the fault registers, unless an older one stands there still."""
    place = GttRegisters.ring_fault.offset >> 2
    if registers[place] & RingFault.valid.mask:
        return
    registers[GttRegisters.fault_tlb_data0.offset >> 2] = fault.address >> 12 & 0xFFFFFFFF
    registers[GttRegisters.fault_tlb_data1.offset >> 2] = FaultTlbData1.of(address_high=fault.address >> 44 & 0xF, ggtt=fault.global_table)
    registers[place] = RingFault.of(valid=1, fault_type=fault.level, ggtt=fault.global_table, engine=_ENGINE_NUMBERS[engine])
