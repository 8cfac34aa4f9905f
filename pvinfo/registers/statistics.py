"""Counters of the 3D pipeline, which user batches load and store for queries. 64 bits each, as a pair of dwords."""

from __future__ import annotations

from typing import Final

from ..register import Register, RegisterArray, RegisterBlock

__all__ = ("IndirectParameters", "PipelineStatistics", "StreamOutput")

SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_gt_regs.h"


class PipelineStatistics(RegisterBlock, source=SOURCE):
    """What the stages of the 3D pipeline have done; element 0 is the low half, element 1 the high."""

    gpgpu_threads_dispatched = RegisterArray(0x2290, 2, int, "compute threads started", unit="threads", kernel_name="GPGPU_THREADS_DISPATCHED")
    hs_invocation_count = RegisterArray(0x2300, 2, int, "runs of the hull shader", unit="invocations", kernel_name="HS_INVOCATION_COUNT")
    ds_invocation_count = RegisterArray(0x2308, 2, int, "runs of the domain shader", unit="invocations", kernel_name="DS_INVOCATION_COUNT")
    ia_vertices_count = RegisterArray(0x2310, 2, int, "vertices fetched", unit="vertices", kernel_name="IA_VERTICES_COUNT")
    ia_primitives_count = RegisterArray(0x2318, 2, int, "primitives put together", unit="primitives", kernel_name="IA_PRIMITIVES_COUNT")
    vs_invocation_count = RegisterArray(0x2320, 2, int, "runs of the vertex shader", unit="invocations", kernel_name="VS_INVOCATION_COUNT")
    gs_invocation_count = RegisterArray(0x2328, 2, int, "runs of the geometry shader", unit="invocations", kernel_name="GS_INVOCATION_COUNT")
    gs_primitives_count = RegisterArray(
        0x2330, 2, int,
        "primitives that the geometry shader made",
        unit="primitives", kernel_name="GS_PRIMITIVES_COUNT",
    )  # fmt: skip
    cl_invocation_count = RegisterArray(0x2338, 2, int, "primitives that reached the clipper", unit="primitives", kernel_name="CL_INVOCATION_COUNT")
    cl_primitives_count = RegisterArray(0x2340, 2, int, "primitives that left the clipper", unit="primitives", kernel_name="CL_PRIMITIVES_COUNT")
    ps_invocation_count = RegisterArray(0x2348, 2, int, "runs of the pixel shader", unit="invocations", kernel_name="PS_INVOCATION_COUNT")
    ps_depth_count = RegisterArray(0x2350, 2, int, "samples that passed the depth test", unit="samples", kernel_name="PS_DEPTH_COUNT")


class IndirectParameters(RegisterBlock, source=SOURCE):
    """Parameters of an indirect draw or dispatch, which a batch loads before the command that uses them."""

    prim_end_offset = Register(0x2420, int, "end of the vertices of a draw", kernel_name="GEN7_3DPRIM_END_OFFSET")
    prim_start_vertex = Register(0x2430, int, "first vertex", kernel_name="GEN7_3DPRIM_START_VERTEX")
    prim_vertex_count = Register(0x2434, int, "vertices per instance", kernel_name="GEN7_3DPRIM_VERTEX_COUNT")
    prim_instance_count = Register(0x2438, int, "instances", kernel_name="GEN7_3DPRIM_INSTANCE_COUNT")
    prim_start_instance = Register(0x243C, int, "first instance", kernel_name="GEN7_3DPRIM_START_INSTANCE")
    prim_base_vertex = Register(0x2440, int, "added to each index", kernel_name="GEN7_3DPRIM_BASE_VERTEX")
    dispatch_dim_x = Register(0x2500, int, "thread groups in x", kernel_name="GEN7_GPGPU_DISPATCHDIMX")
    dispatch_dim_y = Register(0x2504, int, "thread groups in y", kernel_name="GEN7_GPGPU_DISPATCHDIMY")
    dispatch_dim_z = Register(0x2508, int, "thread groups in z", kernel_name="GEN7_GPGPU_DISPATCHDIMZ")


class StreamOutput(RegisterBlock, source=SOURCE):
    """Counters of stream output, for four streams of 64 bits each."""

    num_prims_written_lo = RegisterArray(
        0x5200, 4, int,
        "primitives written, bits 31:0",
        stride=8, unit="primitives", kernel_name="GEN7_SO_NUM_PRIMS_WRITTEN",
    )  # fmt: skip
    num_prims_written_hi = RegisterArray(0x5204, 4, int, "primitives written, bits 63:32", stride=8, kernel_name="GEN7_SO_NUM_PRIMS_WRITTEN_UDW")
    prim_storage_needed_lo = RegisterArray(
        0x5240, 4, int,
        "primitives that would have been written with enough room, bits 31:0",
        stride=8, unit="primitives", kernel_name="GEN7_SO_PRIM_STORAGE_NEEDED",
    )  # fmt: skip
    prim_storage_needed_hi = RegisterArray(
        0x5244, 4, int,
        "primitives that would have been written with enough room, bits 63:32",
        stride=8, kernel_name="GEN7_SO_PRIM_STORAGE_NEEDED_UDW",
    )  # fmt: skip
    write_offset = RegisterArray(
        0x5280, 4, int,
        "where in its buffer each stream goes on",
        unit="bytes", kernel_name="GEN7_SO_WRITE_OFFSET", source="linux:drivers/gpu/drm/i915/i915_reg.h",
    )  # fmt: skip
