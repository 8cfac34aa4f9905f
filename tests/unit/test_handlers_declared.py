"""The declarations say which registers are served by code; the handlers are that code. The two must agree."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

import pytest

import pvinfo.registers
from host_model.mediator.policy import handlers_for
from pvinfo.page import PVINFO_BASE, PVINFO_SIZE
from pvinfo.platform import PLATFORMS
from pvinfo.register import declared_blocks
from pvinfo.registers.tracked import tracked_offsets

for _module in iter_modules(pvinfo.registers.__path__):
    import_module(f"{pvinfo.registers.__name__}.{_module.name}")


def _emulated() -> dict[int, str]:
    """Offsets of all registers that are declared to be served by code, with their names."""
    return {
        offset: register.title
        for block in declared_blocks()
        if block.__module__.startswith("pvinfo.registers.")
        for register in block.registers
        if register.emulated
        for offset in register.offsets()
    }


def _served(platform: str) -> set[int]:
    handlers = handlers_for(platform)
    return {*handlers.reads, *handlers.writes}


def test_every_register_declared_emulated_is_served_on_some_platform_that_has_it() -> None:
    served = {name: _served(name) for name in PLATFORMS}
    tracked = {name: {offset for offset, _ in tracked_offsets(name)} for name in PLATFORMS}
    unserved = {}
    for offset, title in _emulated().items():
        platforms = [name for name in PLATFORMS if offset in tracked[name]] or list(PLATFORMS)
        if not any(offset in served[name] for name in platforms):
            unserved[hex(offset)] = title
    assert unserved == {}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_no_register_is_served_that_is_not_declared_emulated(platform: str) -> None:
    emulated = _emulated()
    page = range(PVINFO_BASE, PVINFO_BASE + PVINFO_SIZE)
    surprising = {hex(offset) for offset in _served(platform) if offset not in emulated and offset not in page}
    assert surprising == set()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_register_that_the_kernel_serves_by_code_is_served_or_is_plain_on_purpose(platform: str) -> None:
    """The kernel's table as a check list: what it marks and we leave plain is named here with its reason."""
    plain = {
        **{base + at: "no guest work runs yet, so nothing but the snapshot could be shown" for base in (0x2000, 0x12000, 0x1A000, 0x22000) for at in (0x5C, 0x6C, 0x74)},
        0x7100: "as above",
        0x4DFC: "the kernel's handler only stores",
        0xC6004: "the value is put there when the access is started",
        **{base + at: "the kernel's handler only stores" for base in (0x68170, 0x68270, 0x68970, 0x68A70, 0x69170, 0x69270) for at in (0, 4)},
        **{base + 4 * n: "only the control register acts" for base in (0x64010, 0x64110, 0x64210, 0x64310, 0xE4110, 0xE4210, 0xE4310) for n in range(1, 6)},
        0x130040: "a register of Broadwell" if platform != "bdw" else "",
    }  # fmt: skip
    served = _served(platform)
    missing = {
        hex(offset)
        for offset, run in tracked_offsets(platform)
        if (run.read_handled or run.write_handled) and offset not in served and not plain.get(offset)
    }
    assert missing == set()
