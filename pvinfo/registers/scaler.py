"""Scalers: on gen9 two per pipe, for the whole picture or for one plane; on gen8 one per pipe, for the picture."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ..bits import Bits, choice, flag, uint
from ..register import Register, RegisterBlock

__all__ = ("PanelFitter", "PanelFitterControl", "PanelFitterFilter", "Scaler", "ScalerControl", "ScalerFilter", "WindowPosition", "WindowSize")

SOURCE: Final = "linux:drivers/gpu/drm/i915/i915_reg.h"


class ScalerFilter(IntEnum):
    """Kind of interpolation."""

    MEDIUM = 0
    PROGRAMMED = 1
    EDGE_ENHANCE = 2
    BILINEAR = 3


class ScalerControl(Bits):
    """What is scaled and how."""

    vertical_adaptive_mode = uint(5, 2, "strength of the adaptive vertical filter")
    vertical_adaptive = flag(7, "adaptive vertical filter")
    vertical_bypass = flag(8, "no vertical filter")
    power_up_progress = flag(17, "the scaler is powering up")
    invert_field = flag(20, "start with the other field")
    vertical_3_tap = flag(21, "three vertical taps instead of five")
    filter = choice(23, 2, ScalerFilter, "kind of interpolation")
    binding = uint(25, 3, "0: the pipe's picture; n: plane n. A vGPU that binds one to a plane has its write dropped")
    enable = flag(31, "scale")


class WindowPosition(Bits):
    """Upper left corner of the result."""

    y = uint(0, 16, "from the top", unit="lines")
    x = uint(16, 16, "from the left", unit="pixels")


class WindowSize(Bits):
    """Size of the result."""

    height = uint(0, 16, "height", unit="lines")
    width = uint(16, 16, "width", unit="pixels")


class Scaler(
    RegisterBlock,
    bases={
        "PIPE_A_SCALER_1": 0x68170, "PIPE_A_SCALER_2": 0x68270,
        "PIPE_B_SCALER_1": 0x68970, "PIPE_B_SCALER_2": 0x68A70,
        "PIPE_C_SCALER_1": 0x69170, "PIPE_C_SCALER_2": 0x69270,
    },
    source=SOURCE,
):  # fmt: skip
    """One scaler of gen9."""

    win_pos = Register(0x0, WindowPosition, "upper left corner of the result", kernel_name="SKL_PS_WIN_POS")
    win_sz = Register(
        0x4, WindowSize,
        "size of the result; the write makes the others take effect at the next vblank",
        kernel_name="SKL_PS_WIN_SZ",
    )  # fmt: skip
    ctrl = Register(0x10, ScalerControl, "what is scaled and how", emulated=True, kernel_name="SKL_PS_CTRL")


class PanelFitterFilter(IntEnum):
    """Kind of interpolation (gen8)."""

    PROGRAMMED = 0
    MEDIUM = 1
    EDGE_ENHANCE = 2
    EDGE_SOFTEN = 3


class PanelFitterControl(Bits):
    """How the pipe's picture is scaled (gen8)."""

    filter = choice(23, 2, PanelFitterFilter, "kind of interpolation")
    pipe = uint(29, 2, "the pipe, where the choice is free")
    enable = flag(31, "scale")


class PanelFitter(RegisterBlock, bases={"PIPE_A": 0x68070, "PIPE_B": 0x68870, "PIPE_C": 0x69070}, source=SOURCE):
    """The scaler of a pipe, gen8."""

    win_pos = Register(0x0, WindowPosition, "upper left corner of the result", kernel_name="PF_WIN_POS")
    win_sz = Register(0x4, WindowSize, "size of the result", kernel_name="PF_WIN_SZ")
    ctl = Register(0x10, PanelFitterControl, "how the picture is scaled", kernel_name="PF_CTL")
    vscale = Register(0x14, int, "vertical ratio", kernel_name="PF_VSCALE")
    hscale = Register(0x20, int, "horizontal ratio", kernel_name="PF_HSCALE")
