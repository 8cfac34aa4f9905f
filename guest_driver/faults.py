"""Old errors: looked at, reported, and forgotten, before the GPU is used.

Source: linux:drivers/gpu/drm/i915/gt/intel_gt.c
"""

from __future__ import annotations

from pvinfo.registers import EngineRegisters, FixedFunctionWorkarounds, GttRegisters, RingFault

from .uncore import Uncore

__all__ = ("check_and_clear_faults",)

_RENDER = "RCS0"


def check_and_clear_faults(uncore: Uncore) -> None:
    """Report a fault that nobody has expected, then clear faults and errors (``intel_gt_check_and_clear_faults``)."""
    fault = uncore.read(GttRegisters.ring_fault)
    if fault.valid:
        low = uncore.read(GttRegisters.fault_tlb_data0)
        high = uncore.read(GttRegisters.fault_tlb_data1)
        address = high.address_high << 44 | low << 12
        uncore.log.warning(
            "unexpected-fault", f"{GttRegisters.ring_fault.title} reads {int(fault):#x}: engine {fault.engine} met no translation at {address:#x}"
        )
    uncore.write(FixedFunctionWorkarounds.pgtbl_er, 0)
    uncore.write(EngineRegisters.ipeir, 0, _RENDER)
    uncore.write(EngineRegisters.eir, 0, _RENDER)
    stuck = uncore.read(EngineRegisters.eir, _RENDER)
    if stuck:
        uncore.log.warning("eir-stuck", f"{EngineRegisters.eir.title} of {_RENDER} reads {int(stuck):#x} after it was cleared; it is masked")
        uncore.modify(EngineRegisters.emr, 0, stuck, _RENDER)
    uncore.modify(GttRegisters.ring_fault, RingFault.valid.mask, 0)
    uncore.read(GttRegisters.ring_fault)
