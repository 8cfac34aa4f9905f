"""The probe, step by step, in the order, with the widths and the values of the real driver.

Each step is named after the kernel function it mirrors; ``PROBE_STEPS`` lists them with the state each leads to.
The display is not part of it: power wells, display clocks, outputs and planes are taken up when somebody asks for a picture,
:mod:`guest_driver.display`. Of what is said to the host about it there is the one write that says it is ready.
Source: linux:drivers/gpu/drm/i915/i915_driver.c, linux:drivers/gpu/drm/i915/i915_gem.c
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from pvinfo.errors import NotVirtualized
from pvinfo.page import PVINFO_BASE, GraphicsRange, PvInfo
from pvinfo.platform import Engine, Platform
from pvinfo.registers import EngineRegisters, GttRegisters, MemoryController, PatCache, PatTarget, PrivatePat
from pvinfo.units import format_size

from .balloon import Balloon, read_ranges
from .client import Client
from .detect import check_capabilities, detect_vgpu
from .device import Device, Resources
from .device_info import read_device_info
from .faults import check_and_clear_faults
from .fence import Fences
from .ggtt import Ggtt, size_ggtt
from .gt import Gt, GtState
from .interrupts import Interrupts
from .memory import GuestPages
from .pci import PciFunction
from .reset import reset_all_engines
from .state import Act
from .uncore import Uncore
from .workarounds import init_clock_gating

__all__ = ("PROBE_STEPS", "ProbeStep")

_BY_CLASS: Final = (Engine.RCS0, Engine.VCS0, Engine.VECS0, Engine.BCS0)
"""Engines are found class by class; everywhere else they come in the order of the platform."""
_ALL: Final = 0xFFFF_FFFF


def i915_pci_probe(device: Device) -> None:
    """Firmware places the function, the PCI core switches it on, the driver knows its platform by its ids."""
    pci = PciFunction(device.machine, device.log)
    platform = pci.identify()
    pci.place()
    pci.enable()
    device.pci = pci
    device.platform = platform
    device.uncore = Uncore(pci.registers(), device.machine.clock, device.log, platform, pci.revision)
    device.log.info("device", f"{platform.title}, device {pci.header.device_id:04x}, revision {pci.revision:#x}")


def intel_vgpu_detect(device: Device) -> None:
    """Ask the PVINFO page whether there is a host. Raises: NotVirtualized when there is none and the driver insists on one."""
    interface = detect_vgpu(device.uncore.regs, device.log)
    if interface is not None:
        device.interface = interface
    elif device.vgpu_required:
        raise NotVirtualized(f"no PVINFO page at {PVINFO_BASE:#x} of BAR0: this is a bare {device.platform.title} GPU")


def i915_driver_mmio_probe(device: Device) -> None:
    """Registers: do they answer, what has the part, which engines; then reset what ran before."""
    uncore = device.uncore
    uncore.init_mmio(virtual=device.virtual)
    device.info = read_device_info(uncore)
    for engine in _BY_CLASS:
        if engine in uncore.platform.engines:
            uncore.write(EngineRegisters.hwstam, _ALL, engine.name)
    check_and_clear_faults(uncore)
    reset_all_engines(uncore)


def i915_driver_hw_probe(device: Device) -> None:
    """Insist on the capabilities; size graphics memory; clear the fences; become bus master with messages."""
    uncore, pci = device.uncore, device.pci
    if device.virtual:
        check_capabilities(device.interface)
    if uncore.read(MemoryController.edram_cap).enabled:
        device.log.info("edram", "the package has an extra cache")
    total, mappable_end = size_ggtt(pci, uncore)
    device.memory = GuestPages(device.machine.memory)
    device.aperture, _ = pci.aperture()
    ggtt = Ggtt(uncore, device.memory, total, mappable_end)
    device.ggtt = ggtt
    device.undo.append(ggtt.cleanup)
    device.fences = Fences(uncore, mappable_end, virtual=device.virtual)
    stolen = pci.stolen_bytes()
    if stolen:
        device.log.info("stolen-memory", f"firmware has set {format_size(stolen)} aside for graphics; this driver leaves it alone")
    pci.set_master()
    device.undo.append(pci.disable_msi)
    if not pci.enable_msi():
        device.log.warning("no-msi", "the function has no message-signalled interrupts; this driver uses no others")


def intel_irq_install(device: Device) -> None:
    """Mask and forget everything, connect the handler, open what the driver wants to hear."""
    interrupts = Interrupts(device.uncore, device.info.has_display)
    interrupts.then = device.work.run_tasklets
    device.interrupts = interrupts
    device.undo.append(lambda: interrupts.uninstall(device.machine.gpu))
    interrupts.install(device.machine.gpu)


def _pat(platform: Platform) -> tuple[PrivatePat, PrivatePat]:
    """Memory attributes 0 to 3 and 4 to 7."""
    if platform.name == "bxt":
        # Only bit 6, snooping, means anything there.
        return PrivatePat(0x40), PrivatePat(0x4040_4040)
    ages: dict[str, int] = {}
    for number in range(4):
        ages |= {f"cache{number}": PatCache.WRITE_BACK, f"target{number}": PatTarget.LLC_AND_EDRAM, f"age{number}": number}
    gen9 = platform.graphics_version >= 9
    low = PrivatePat.of(
        cache0=PatCache.WRITE_BACK, target0=PatTarget.LLC,
        cache1=PatCache.WRITE_COMBINING, target1=PatTarget.LLC_AND_EDRAM,
        cache2=PatCache.WRITE_BACK if gen9 else PatCache.WRITE_THROUGH,
        target2=PatTarget.EDRAM_OR_PTE if gen9 else PatTarget.LLC_AND_EDRAM,
    )  # fmt: skip
    return low, PrivatePat.of(**ages)


def setup_private_pat(uncore: Uncore) -> None:
    """What page table entries may ask of caches."""
    low, high = _pat(uncore.platform)
    uncore.write(GttRegisters.private_pat_lo, low)
    uncore.write(GttRegisters.private_pat_hi, high)


def i915_init_ggtt(device: Device) -> None:
    """Keep clear of what belongs to others, where there are others, and set the error capture pages aside."""
    uncore, ggtt = device.uncore, device.ggtt
    setup_private_pat(uncore)
    balloon = Balloon(ggtt.space, device.log)
    if device.virtual:
        mappable, nonmappable = read_ranges(uncore)
        balloon.inflate(mappable, nonmappable, ggtt.mappable_end)
        device.undo.append(balloon.deflate)
    else:
        mappable = GraphicsRange(0, ggtt.mappable_end)
        nonmappable = GraphicsRange(ggtt.mappable_end, ggtt.total - ggtt.mappable_end)
    device.resources = Resources(mappable, nonmappable, len(device.fences))
    device.balloon = balloon
    ggtt.reserve_error_capture()


def i915_gem_init(device: Device) -> None:
    """Start the GT; when it cannot be used, put back what giving it up may have lost, for the display's sake."""
    uncore = device.uncore
    large_pages = uncore.platform.graphics_version >= 9 and (not device.virtual or device.interface.huge_gtt)
    init_clock_gating(uncore)
    gt = Gt(
        uncore, device.memory, device.ggtt, device.fences, device.info, device.interrupts, device.work,
        virtual=device.virtual, large_pages=large_pages,
    )  # fmt: skip
    device.gt = gt
    device.undo += [gt.release, gt.remove]
    gt.init()
    if gt.state is GtState.RUNNING:
        return
    device.log.error("gt-wedged", "the GT is given up: there is no GPU work until the driver is loaded anew")
    check_and_clear_faults(uncore)
    device.ggtt.resume()
    device.fences.restore()
    init_clock_gating(uncore)


def i915_driver_register(device: Device) -> None:
    """Tell the host, if there is one, that the display is ready, then let clients come: the console is the first, where
    there is a display."""
    if device.virtual:
        device.uncore.write(PvInfo.display_ready, 1)
    if device.info.has_display:
        Client(device, "console")
    device.log.info("registered", "the device node is there")


class ProbeStep(NamedTuple):
    """One step and the act that it completes."""

    run: Callable[[Device], None]
    act: Act
    native_act: Act | None = None
    """What it completes on a bare GPU, where that differs."""

    def completes(self, device: Device) -> Act:
        """The act that it has completed."""
        return self.act if device.virtual or self.native_act is None else self.native_act

    @property
    def name(self) -> str:
        """The kernel's function."""
        return self.run.__name__

    @property
    def doc(self) -> str:
        """What it does, in a sentence."""
        return self.run.__doc__ or ""


PROBE_STEPS: Final = (
    ProbeStep(i915_pci_probe, Act.PLACE),
    ProbeStep(intel_vgpu_detect, Act.DETECT, Act.FIND_NO_PAGE),
    ProbeStep(i915_driver_mmio_probe, Act.WAKE),
    ProbeStep(i915_driver_hw_probe, Act.SIZE),
    ProbeStep(intel_irq_install, Act.LISTEN),
    ProbeStep(i915_init_ggtt, Act.BALLOON),
    ProbeStep(i915_gem_init, Act.START),
    ProbeStep(i915_driver_register, Act.REGISTER),
)
"""The whole probe."""
