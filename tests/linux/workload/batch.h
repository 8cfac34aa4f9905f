/* A batch under construction, and the commands these programs use, as the engines of Gen8 and Gen9 read them. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Source: linux:drivers/gpu/drm/i915/gt/intel_gpu_commands.h */
#define MI_NOOP 0u
#define MI_ARB_CHECK (0x05u << 23)
#define MI_BATCH_BUFFER_END (0x0au << 23)
#define MI_STORE_DWORD_IMM (0x20u << 23 | 2)
#define MI_LOAD_REGISTER_IMM (0x22u << 23 | 1)
#define MI_FLUSH_DW (0x26u << 23 | 3)
#define MI_BATCH_BUFFER_START (0x31u << 23 | 1 << 8 | 1)
/* No command of any client ends in 7 at bits 31:29. Source: prm:skl:vol2a */
#define NO_COMMAND 0xe0000000u

#define XY_COLOR_BLT (2u << 29 | 0x50u << 22 | 5)
#define XY_SRC_COPY_BLT (2u << 29 | 0x53u << 22 | 8)
#define BLT_WRITE_RGBA (3u << 20)
#define BLT_SOURCE_TILED (1u << 15)
#define BLT_DESTINATION_TILED (1u << 11)
#define BLT_DEPTH_32 (3u << 24)
#define BLT_ROP_COPY (0xccu << 16)
#define BLT_ROP_PATTERN (0xf0u << 16)
#define BCS_SWCTRL 0x22200u
#define BCS_SOURCE_Y 1u
#define BCS_DESTINATION_Y 2u

struct batch {
	uint32_t dwords[256];
	size_t length;
};

static inline void emit(struct batch *batch, uint32_t dword)
{
	if (batch->length < sizeof batch->dwords / sizeof *batch->dwords)
		batch->dwords[batch->length++] = dword;
}

static inline void emit_address(struct batch *batch, uint64_t address)
{
	emit(batch, (uint32_t)address);
	emit(batch, (uint32_t)(address >> 32));
}

static inline void emit_store(struct batch *batch, uint64_t address, uint32_t value)
{
	emit(batch, MI_STORE_DWORD_IMM);
	emit_address(batch, address);
	emit(batch, value);
}

static inline void emit_flush(struct batch *batch)
{
	emit(batch, MI_FLUSH_DW);
	for (int i = 0; i < 4; i++)
		emit(batch, 0);
}

/* A batch is a whole number of quadwords. */
static inline size_t end_batch(struct batch *batch)
{
	emit(batch, MI_BATCH_BUFFER_END);
	if (batch->length & 1)
		emit(batch, MI_NOOP);
	return 4 * batch->length;
}
