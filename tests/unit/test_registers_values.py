"""Register values that real drivers write or accept, read through the declared bits."""

from __future__ import annotations

import pytest

from pvinfo.bits import Bits
from pvinfo.register import masked_bits
from pvinfo.registers import (
    AuxControl,
    BatchState,
    BroadwellLcpll,
    BroadwellPlaneControl,
    CdclkControl,
    ContextControl,
    ContextStatus,
    ContextStatusPointer,
    CopyRenderInterrupt,
    CursorControl,
    DdiBufferControl,
    DdiFunctionControl,
    Dfsm,
    DpllControl1,
    DpllControl2,
    DpllEnable,
    EngineInterrupt,
    EngineMode,
    EngineRegisters,
    FenceHigh,
    FenceLow,
    FenceRegister,
    ForceToNonpriv,
    Fuse2,
    GmbusCommand,
    GmbusStatus,
    GpioPins,
    IndirectContext,
    IndirectContextOffset,
    L3Control,
    MasterControl,
    MemoryLatency,
    MiMode,
    MocsControl,
    MulticastSelector,
    PcodeMailbox,
    PcodeReply,
    PlaneControl,
    PowerWellControl,
    PrivatePat,
    RingControl,
    SbiControl,
    TotalTiming,
    VideoEnhanceInterrupt,
)


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        # a ring of one page, of four, of 512 KiB (linux:gt/intel_lrc.c)
        (RingControl(0x00000001), "enabled"),
        (RingControl(0x00003001), "enabled, length_pages=0x3"),
        (RingControl(0x0007F001), "enabled, length_pages=0x7f"),
        # the first and the later forms of a context image (linux:gt/intel_lrc.c)
        (ContextControl(0x000F0009 & 0xFFFF), "restore_inhibit, inhibit_sync_switch"),
        (ContextControl(0x000F0008 & 0xFFFF), "inhibit_sync_switch"),
        # events of the execlist emulation (linux:gvt/execlist.c)
        (ContextStatus(0x00000001), "idle_to_active"),
        (ContextStatus(0x00000014), "element_switch, context_complete"),
        (ContextStatus(0x00000018), "active_to_idle, context_complete"),
        (ContextStatus(0x00008002), "preempted, lite_restore"),
        # what the driver leaves in the pointer around a reset
        (ContextStatusPointer(0xFFFF0505 & 0xFFFF), "write_pointer=0x5, read_pointer=0x5"),
        (BatchState(1 << 5), "ppgtt"),
        (IndirectContext(0x00345000 | 6), "length=0x6, address=0xd140"),
        (IndirectContextOffset(0x26 << 6), "offset=0x26"),
        # gen9 white list: the last slot in use and an unused one
        (ForceToNonpriv(0xB118), "address=0x2c46"),
        (ForceToNonpriv(0x2094), "address=0x825"),
        # interrupt enables of GT0 and GT3 as the driver sets them
        (
            CopyRenderInterrupt(0x09090909),
            "rcs_user, rcs_error, rcs_context_switch, rcs_semaphore, bcs_user, bcs_error, bcs_context_switch, bcs_semaphore",
        ),
        (VideoEnhanceInterrupt(0x00000909), "vecs_user, vecs_error, vecs_context_switch, vecs_semaphore"),
        (MasterControl(0x80000041), "rcs0, vecs0, enable"),
        # a GT2: one slice, three subslices
        (Fuse2(0x02800000), "subslice_disable=0x8, slice_enable=0x1"),
        (Fuse2(0x02000000), "slice_enable=0x1"),
        (Dfsm(1 << 30 | 1 << 21 | 1 << 28), "pipe_b_disable, pipe_c_disable, pipe_a_disable"),
        (MulticastSelector(1 << 26 | 2 << 24), "subslice=0x2, slice=0x1"),
        # a display clock that the driver leaves alone
        (CdclkControl(0x080002A1), "decimal=0x2a1, select=MHZ_337_5_OR_308_57"),
        (DpllEnable(0xC0000000), "locked, enable"),
        (DpllControl1(0x00000005), "dpll0_override, dpll0_rate=MHZ_810"),
        (DpllControl1(0x00000007), "dpll0_override, dpll0_rate=MHZ_1620"),
        (DpllControl2(1 << 9 | 1 << 15), "ddi_d_override, ddi_a_clock_off"),
        (BroadwellLcpll(0x40000000), "locked"),
        (PowerWellControl(0xF0000003), "misc_io_state, misc_io_request, pw1_state, pw1_request, pw2_state, pw2_request"),
        # mailbox: memory latencies asked for; unknown command; the reply of a reference host
        (PcodeMailbox(0x80000006), "command=READ_MEM_LATENCY, busy"),
        (PcodeReply(0x00000001), "error=ILLEGAL_COMMAND"),
        (MemoryLatency(0x1E1A1100), "level_1_5=0x11, level_2_6=0x1a, level_3_7=0x1e"),
        # transcoder A on port D by DisplayPort, 8 bits, four lanes; on port B by HDMI
        (DdiFunctionControl(0xB2000006), "port_width=0x3, mode=DP_SST, port=D, enable"),
        (DdiFunctionControl(0x90030000), "horizontal_sync_high, vertical_sync_high, port=B, enable"),
        (DdiBufferControl(0x80), "idle"),
        # AUX: busy with four bytes; nobody there
        (AuxControl(0x80400000), "message_size=0x4, busy"),
        (AuxControl(0x50000000), "timeout_error, done"),
        # GMBUS: read 128 bytes of EDID from 0; NAK; an idle pair of pins
        (GmbusCommand(0x46800000 | 0x50 << 1 | 1), "read, address=0x50, byte_count=0x80, cycle=INDEX_WAIT, software_ready"),
        (GmbusStatus(0x00000C00), "nak, hardware_ready"),
        (GpioPins(0x1010), "clock_value_in, data_value_in"),
        (SbiControl(0x00000601), "busy, opcode=READ"),
        # the console's frame buffer: linear, 32 bits; gen8's of the same kind
        (PlaneControl(0x84002000), "gamma_disable, pixel_format=XRGB8888, enable"),
        (PlaneControl(0x84002400), "tiling=X, gamma_disable, pixel_format=XRGB8888, enable"),
        (BroadwellPlaneControl(0xD8000400), "tiled_x, pixel_format=BGRX8888, pipe_gamma, enable"),
        (CursorControl(0x04000027), "mode=X64_ARGB, pipe_gamma"),
        # 1024 of 1344 pixels
        (TotalTiming(0x053F03FF), "active=0x3ff, total=0x53f"),
        # memory attributes: gen9's first four; caching tables of gen9
        (PrivatePat(0x00000107), "cache0=WRITE_BACK, target0=LLC, cache1=WRITE_COMBINING"),
        (MocsControl(0x00000009), "cacheability=UNCACHED, target=LLC_AND_EDRAM"),
        (MocsControl(0x0000003B), "cacheability=WRITE_BACK, target=LLC_AND_EDRAM, lru_management=0x3"),
        (L3Control(0x00300010), "even_cacheability=UNCACHED, odd_cacheability=WRITE_BACK"),
    ],
    ids=lambda value: f"{type(value).__name__}-{value:#x}" if isinstance(value, int) else "",
)  # fmt: skip
def test_a_value_of_a_real_driver_reads_as_what_it_means(value: Bits, meaning: str) -> None:
    assert value.describe() == meaning


def test_a_masked_register_is_written_by_enabling_the_bits_that_change() -> None:
    assert masked_bits(EngineMode.run_list_enable.mask) == 0x80008000
    assert masked_bits(MiMode.stop_ring.mask) == 0x01000100
    assert masked_bits(MiMode.stop_ring.mask, False) == 0x01000000


def test_an_engine_with_a_waiter_leaves_user_error_switch_and_semaphore_events_open() -> None:
    open_events = EngineInterrupt.of(user=1, master_error=1, context_switch=1, wait_semaphore=1)
    assert ~int(open_events) & 0xFFFFFFFF == 0xFFFFF6F6


def test_a_fence_over_tiled_memory_names_first_and_last_page_and_pitch() -> None:
    start, size, pitch = 0x0100_0000, 0x0080_0000, 4096
    low = FenceLow.of(start_page=start >> 12, tiling=1, valid=1)
    high = FenceHigh.of(last_page=(start + size - 4096) >> 12, pitch=pitch // 128 - 1)
    assert (int(low), int(high)) == (0x01000003, 0x017FF01F)
    assert FenceRegister.hi.at("FENCE31") == 0x1000FC


class Memory:
    """Registers as plain storage."""

    def __init__(self) -> None:
        self.dwords: dict[int, int] = {}

    def read32(self, offset: int, /) -> int:
        return self.dwords.get(offset, 0)

    def write32(self, offset: int, value: int, /) -> None:
        self.dwords[offset] = value


def test_arrays_of_pairs_interleave_their_halves() -> None:
    bus = Memory()
    copy = EngineRegisters(bus, "BCS0")
    copy.pdp_lo[0] = 0x1234_5000
    copy.pdp_hi[0] = 0x1
    copy.pdp_hi[3] = 0x2
    copy.gpr_hi[15] = 7
    assert bus.dwords == {0x22270: 0x1234_5000, 0x22274: 1, 0x2228C: 2, 0x2267C: 7}


def test_a_status_buffer_entry_is_two_of_its_dwords() -> None:
    bus = Memory()
    bus.dwords[0x2370 + 8 * 5] = 0x18
    bus.dwords[0x2374 + 8 * 5] = 0x20
    render = EngineRegisters(bus, "RCS0")
    assert (render.context_status_buffer[10], render.context_status_buffer[11]) == (0x18, 0x20)
    assert len(render.context_status_buffer) == 12
