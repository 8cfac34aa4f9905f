"""The naive model's registers that do something, one small function each, by byte offset.

Where the product answers as hardware does and the kernel's mediator does not, so does this: masks are never kept in the
upper half of a masked register, errors and status bits of a status register are its own.

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c, linux:drivers/gpu/drm/i915/gvt/interrupt.c
"""

from __future__ import annotations

from functools import cache

from .naive_display import display_read_rules, display_write_rules
from .naive_model import ANYTHING, ENGINE_BASES, PVINFO, NaiveVgpu, ReadRule, Rule

__all__ = ("ZERO_FILLED", "opaque_registers", "read_rules", "write_rules")

GROUP_BASES = (
    0x44300, 0x44310, 0x44320, 0x44330, 0x44400, 0x44410, 0x44420, 0x44440, 0x44460, 0x444E0, 0xC4000,
)  # fmt: skip
DDI_PORTS = (0x64000, 0x64100, 0x64200, 0x64300, 0x64400)
FDI_RECEIVERS = (0xF000C, 0xF100C, 0xF200C)
GUEST_MESSAGES = (0x804, 0x818, *range(0x830, 0x860, 4))
NONPRIV_ALLOWED = [
    int(word, 16)
    for word in (
        "d80 20ec 2248 2340 2348 2350 2580 2690 2694 2698 2754 28a0 4de0 4de4 4dfc 7010 7014 7300 7304 7700 7704 7708 770c "
        "83a8 b110 b118 e100 e18c e48c e5f4 64844"
    ).split()
]
SCALERS = (0x68180, 0x68280, 0x68980, 0x68A80, 0x69180, 0x69280)

ZERO_FILLED = {
    0x941C, 0xA188, 0xA270, 0xA278, 0xC314, 0x42300, 0x64838,
    0x4260, 0x4264, 0x4268, 0x426C, 0x4270,
    *(base + 8 for base in GROUP_BASES),
    *(base + offset for base in ENGINE_BASES for offset in (0xB0, 0xD0, 0xD4, 0x230, 0x29C)),
    *(base + 8 for base in FDI_RECEIVERS),
    0x50080, 0x50088, 0x5008C, 0x50090, 0x50098, 0x5009C,
}  # fmt: skip
"""Masked, write-1-to-clear, self-clearing and write-only registers: bytes that a narrow write leaves out count as zero."""


def sets(value: int, bits: int) -> bool:
    """A masked write sets at least one of ``bits``."""
    return bool(value >> 16 & value & bits)


# ---- PVINFO ----


def page_write(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    if offset == PVINFO + 0x804:
        vgpu.display_ready = value != 0
    if offset == PVINFO + 0x818 and 2 <= value <= 7:
        vgpu.notifications[value] = vgpu.notifications.get(value, 0) + 1
    if offset - PVINFO in GUEST_MESSAGES:
        return value
    if 0x808 <= offset - PVINFO < 0x818:
        vgpu.enter_failsafe("insufficient resource")
    return vgpu.get(offset)


# ---- engines ----


def ring_mode(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    forbidden = 0x0003 if vgpu.platform == "cfl" else 0x0001
    if sets(value, forbidden) or (sets(value, 0x8200) and not vgpu.aware):
        vgpu.enter_failsafe("unsupported guest")
    elif sets(value, 0x8000):
        reset_status_pointer(vgpu, offset & ~0xFFF)
    return value & ~(forbidden | forbidden << 16)


def reset_status_pointer(vgpu: NaiveVgpu, base: int) -> None:
    vgpu.put(base + 0x3A0, vgpu.get(base + 0x3A0) & ~0x707 | 7)
    vgpu.put(base + 0x234, 0)
    vgpu.put(base + 0x238, 0)


def front_end_chicken(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    if sets(value, 0x18):
        vgpu.enter_failsafe("unsupported guest")
    return value & ~0x00180018


def submission_port(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    return 0


def status_page(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    if value and (value % 4096 or not vgpu.owns_range(value, value + 4096)):
        return vgpu.get(offset)
    return value


def reset_control(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    if value >> 16 & 1:
        return vgpu.get(offset) & 0xFFFC | (3 if value & 1 else 0)
    return vgpu.get(offset) & 0xFFFF


def error_identity(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    return vgpu.get(offset) & ~value  # the kernel stores it


def force_to_nonpriv(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    target = value & 0x03FFFFFC
    if target == (offset & ~0xFFF) + 0x94 or (target in NONPRIV_ALLOWED and value & 3 == 0):  # the kernel ignores how many
        return value
    return vgpu.get(offset)


# ---- the GT ----


def forcewake(ack: int) -> Rule:
    def write(vgpu: NaiveVgpu, offset: int, value: int) -> int:
        mask = value >> 16
        new = vgpu.get(offset) & ~mask & 0xFFFF | value & mask
        vgpu.put(ack, new)
        return new

    return write


def graphics_reset(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    if value & 1:
        vgpu.reset_whole_gt()
        return 0
    for bit, base in ((1, 0x2000), (2, 0x12000), (3, 0x22000), (4, 0x1A000)):
        if value >> bit & 1:
            reset_status_pointer(vgpu, base)
            vgpu.put(base + 0xB0, 0)
            vgpu.put(base + 0xB8, 0)
    if value & 0x20:
        vgpu.put(0xC000, vgpu.get(0xC000) | 1)
    return 0


def always_zero(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    return 0


def page_size_control(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    return value if value & 0xF in (0, 0xF) else vgpu.get(offset)


def sparse_table(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    return vgpu.get(offset) if value & 3 == 1 else value


def bus_control(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    return value & ~0x10


def firmware_copy(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    mask = value >> 16
    return (vgpu.get(offset) & ~mask | value & mask) & 0xFFFE


def micro_controller_status(vgpu: NaiveVgpu, offset: int) -> int:
    status = vgpu.get(offset)
    vgpu.put(offset, status & ~1)
    return status


def fence_write(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    number = (offset - 0x100000) // 8
    if number >= vgpu.fence_count:  # of all 32; the kernel guards 16
        if not vgpu.aware:
            vgpu.enter_failsafe("unsupported guest")
        return 0
    vgpu.put(offset, value)
    vgpu.push_fence(number)
    return value


def fence_read(vgpu: NaiveVgpu, offset: int) -> int:
    if (offset - 0x100000) // 8 < vgpu.fence_count:
        return vgpu.get(offset)
    if not vgpu.aware:
        vgpu.enter_failsafe("unsupported guest")
    return 0


# ---- interrupts ----


def interrupt_mask_or_enable(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    vgpu.put(offset, value)
    vgpu.check_pending()
    return value


def interrupt_identity(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    left = vgpu.get(offset) & ~value
    vgpu.put(offset, left)
    vgpu.show_pending()
    return left


def interrupt_master(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    vgpu.put(offset, vgpu.get(offset) & 0x7FFFFFFF | value & 0x80000000)
    vgpu.check_pending()
    return vgpu.get(offset)


# ---- display ----


def mirror(source: int, target: int, *, inverted: bool = False) -> Rule:
    """One bit follows another at once."""

    def write(vgpu: NaiveVgpu, offset: int, value: int) -> int:
        follows = bool(value >> source & 1) is not inverted
        return value & ~(1 << target) | follows << target

    return write


def fpga_debug(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    return value & 0x7FFFFFFF | vgpu.get(offset) & ~value & 0x80000000


def skylake_loop(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    return value & 0x80000000 | value >> 1 & 0x40000000


def skylake_loop_status(vgpu: NaiveVgpu, offset: int) -> int:
    return sum((vgpu.get(source) >> 31) << bit for source, bit in ((0x46010, 0), (0x46014, 8), (0x46040, 16), (0x46060, 24)))


def broadwell_loop(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    value = mirror(31, 30, inverted=True)(vgpu, offset, value)
    return mirror(21, 19)(vgpu, offset, value)


def power_wells(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    requests = value & (0xA0000000 if vgpu.platform == "bxt" else 0xA00002AA)
    return requests | requests >> 1


def port_buffer(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    if offset == 0x64400 and not value >> 31:
        vgpu.put(0x64444, vgpu.get(0x64444) & ~(1 << 12))
    return mirror(31, 7, inverted=True)(vgpu, offset, value)


def port_training(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    if value >> 8 & 7 == 2:
        vgpu.put(offset + 4, vgpu.get(offset + 4) | 1 << 25)
    return value


def port_status(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    latched = 0x0D000000
    return value & ~latched | vgpu.get(offset) & ~value & latched


def panel_power(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    vgpu.put(0xC7200, 0x80000008 if value & 1 else 0)
    return value


def scaler_control(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    return vgpu.get(offset) if value >> 25 & 7 else value


def fdi_training(vgpu: NaiveVgpu, receiver: int) -> None:
    """``receiver`` is its control register; identity stands 8 bytes further, the mask 12."""
    control = vgpu.get(receiver)
    if not control >> 31:
        return
    pattern = control >> 8 & 3
    seen = {0: 1 << 8, 1: 1 << 9}.get(pattern, 0)  # the kernel also asks for a transmitter, which these platforms lack
    vgpu.put(receiver + 8, vgpu.get(receiver + 8) | seen & ~vgpu.get(receiver + 12))
    port_e_trains = vgpu.get(0x64400) >> 31 and vgpu.get(0x64440) >> 31 and vgpu.get(0x64440) >> 15 & 1
    if receiver == FDI_RECEIVERS[0] and control >> 10 & 1 and port_e_trains:
        vgpu.put(0x64444, vgpu.get(0x64444) | 1 << 12)


def fdi_written(distance: int) -> Rule:
    def write(vgpu: NaiveVgpu, offset: int, value: int) -> int:
        vgpu.put(offset, value)
        fdi_training(vgpu, offset - distance)
        return value

    return write


def fdi_identity(vgpu: NaiveVgpu, offset: int, value: int) -> int:
    return vgpu.get(offset) & ~value


def constant(value: int) -> ReadRule:
    return lambda vgpu, offset: value


# ---- the tables ----


@cache
def write_rules(platform: str) -> dict[int, Rule]:
    """What a write does, by offset of the dword."""
    rules: dict[int, Rule] = {offset: page_write for offset in range(PVINFO, PVINFO + 0x1000, 4)}
    for base in ENGINE_BASES:
        rules |= {
            base + 0x80: status_page, base + 0xA8: interrupt_mask_or_enable, base + 0xB0: error_identity,
            base + 0xD0: reset_control, base + 0x230: submission_port, base + 0x29C: ring_mode,
        }  # fmt: skip
        rules |= {base + 0x4D0 + 4 * slot: force_to_nonpriv for slot in range(12)}
    rules |= {0x4260 + 4 * number: always_zero for number in range(5)}
    rules |= {0x100000 + 4 * number: fence_write for number in range(64)}
    rules |= {
        0x4080: page_size_control, 0x907C: bus_control, 0x941C: graphics_reset, 0xA188: forcewake(0x130044),
        0x42300: fpga_debug, 0x44200: interrupt_master, 0x64834: always_zero, 0x64838: always_zero,
        0xC2004: mirror(12, 13), 0xC7204: panel_power, 0xF0008: mirror(31, 30), 0xF1008: mirror(31, 30),
    }  # fmt: skip
    for base in GROUP_BASES:
        rules |= {base + 4: interrupt_mask_or_enable, base + 8: interrupt_identity, base + 12: interrupt_mask_or_enable}
    for port in DDI_PORTS:
        rules |= {port: port_buffer, port + 0x40: port_training, port + 0x44: port_status}
    for receiver in FDI_RECEIVERS:
        rules |= {receiver: fdi_written(0), receiver + 8: fdi_identity, receiver + 12: fdi_written(12)}
    rules |= display_write_rules(platform, GROUP_BASES)
    if platform == "bdw":
        rules |= {0x45400 + 4 * number: mirror(31, 30) for number in range(6)}
        rules |= {0x130040: broadwell_loop, 0xE1100: lambda vgpu, offset, value: value & ~(1 << 16)}
    else:
        rules |= {
            0xA278: forcewake(0xD84), 0xA270: forcewake(0xD88), 0x4DF4: sparse_table, 0xC314: firmware_copy,
            0x45008: mirror(31, 30), 0x45404: power_wells, 0x46010: skylake_loop, 0x46014: skylake_loop,
        }  # fmt: skip
        rules |= {base + 0xD4: front_end_chicken for base in ENGINE_BASES}
        rules |= {offset: scaler_control for offset in SCALERS}
    return rules


@cache
def read_rules(platform: str) -> dict[int, ReadRule]:
    """What a read does, by offset of the dword."""
    rules: dict[int, ReadRule] = {0x100000 + 4 * number: fence_read for number in range(64)}
    rules |= {
        0xC000: micro_controller_status,
        0xE651C: constant(0x20000), 0xE661C: constant(0x20000), 0xE671C: constant(0x20000), 0xE681C: constant(0x20000),
        0xE6C04: constant(3), 0xE6E1C: constant(0x2F0000),
    }  # fmt: skip
    rules |= display_read_rules(platform)
    if platform != "bdw":
        rules[0x6C060] = skylake_loop_status
    for base in ENGINE_BASES:
        for stamp in (0x358, 0x35C):
            rules[base + stamp] = lambda vgpu, offset: ANYTHING
    return rules


@cache
def opaque_registers(platform: str) -> set[int]:
    """Registers whose content this model leaves open: what stands behind them is a device of its own."""
    opaque = {0xC6000, 0xC6004, 0xC6008}  # side-band interface
    opaque |= {0x138124, 0x138128, 0x13812C}  # mailbox of the power control unit
    opaque |= {0xA26C}  # rate of the time stamps
    if platform == "bxt":  # loops and physical layers, which a table of lanes stands behind
        opaque |= {0x40E0, *range(0x46070, 0x46080, 4), 0x138090}
        opaque |= {*range(0x64C00, 0x64CA0, 4), *range(0x6C000, 0x6D000, 4), *range(0x162000, 0x164000, 4)}
    return opaque
