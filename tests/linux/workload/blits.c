/* The 2D engine: fills and copies between linear, X-tiled and Y-tiled surfaces, compared dword by dword. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "batch.h"
#include "checks.h"
#include "gem.h"

enum { WIDTH = 256, HEIGHT = 96, STRIDE = 4 * WIDTH, SIZE = STRIDE * HEIGHT };

static const uint64_t BATCH = 0x100000, FIRST = 0x1000000, SECOND = 0x2000000;
static const char *const NAMES[] = { "linear", "X", "Y" };

/* Where a pixel's bytes are. No bit of the address is swizzled on Gen8 and later. Source: prm:skl:vol5 */
static size_t place(uint32_t tiling, size_t x, size_t y)
{
	size_t byte = 4 * x;

	switch (tiling) {
	case I915_TILING_X: /* 512 bytes by 8 rows */
		return (y / 8 * (STRIDE / 512) + byte / 512) * 4096 + y % 8 * 512 + byte % 512;
	case I915_TILING_Y: /* 128 bytes by 32 rows, in columns of 16 bytes */
		return (y / 32 * (STRIDE / 128) + byte / 128) * 4096 + byte % 128 / 16 * 512 + y % 32 * 16 + byte % 16;
	default:
		return y * STRIDE + byte;
	}
}

static uint32_t pattern(size_t x, size_t y)
{
	return (uint32_t)(0x9e3779b9u * (x + 1) ^ 0x85ebca6bu * (y + 7));
}

static uint32_t pitch(uint32_t tiling)
{
	return tiling == I915_TILING_NONE ? STRIDE : STRIDE / 4;
}

/* The engine takes "tiled" for X unless this register says Y; it is to be idle when the register changes. */
static void choose_y(struct batch *batch, uint32_t source, uint32_t destination)
{
	uint32_t value = (source == I915_TILING_Y ? BCS_SOURCE_Y : 0) |
			 (destination == I915_TILING_Y ? BCS_DESTINATION_Y : 0);

	emit_flush(batch);
	emit(batch, MI_LOAD_REGISTER_IMM);
	emit(batch, BCS_SWCTRL);
	emit(batch, (BCS_SOURCE_Y | BCS_DESTINATION_Y) << 16 | value);
}

static void emit_fill(struct batch *batch, uint64_t address, uint32_t tiling, const uint16_t box[4], uint32_t colour)
{
	emit(batch, XY_COLOR_BLT | BLT_WRITE_RGBA | (tiling ? BLT_DESTINATION_TILED : 0));
	emit(batch, BLT_DEPTH_32 | BLT_ROP_PATTERN | pitch(tiling));
	emit(batch, (uint32_t)box[1] << 16 | box[0]);
	emit(batch, (uint32_t)box[3] << 16 | box[2]);
	emit_address(batch, address);
	emit(batch, colour);
}

static void emit_copy(struct batch *batch, uint64_t to, uint32_t to_tiling, const uint16_t box[4],
		      uint64_t from, uint32_t from_tiling, uint16_t from_x, uint16_t from_y)
{
	emit(batch, XY_SRC_COPY_BLT | BLT_WRITE_RGBA | (from_tiling ? BLT_SOURCE_TILED : 0) |
			    (to_tiling ? BLT_DESTINATION_TILED : 0));
	emit(batch, BLT_DEPTH_32 | BLT_ROP_COPY | pitch(to_tiling));
	emit(batch, (uint32_t)box[1] << 16 | box[0]);
	emit(batch, (uint32_t)box[3] << 16 | box[2]);
	emit_address(batch, to);
	emit(batch, (uint32_t)from_y << 16 | from_x);
	emit(batch, pitch(from_tiling));
	emit_address(batch, from);
}

static struct buffer surface(int gpu, uint64_t address, uint32_t tiling)
{
	struct buffer made = create_buffer(gpu, SIZE, address);

	if (tiling)
		set_tiling(gpu, &made, tiling, STRIDE);
	return made;
}

/* The memory as the CPU sees it, tiles and all. */
static void load(int gpu, const struct buffer *buffer, uint32_t tiling, uint32_t *pixels)
{
	static uint8_t raw[SIZE];

	memcpy(raw, map_buffer(gpu, buffer), SIZE);
	for (size_t y = 0; y < HEIGHT; y++)
		for (size_t x = 0; x < WIDTH; x++)
			memcpy(&pixels[y * WIDTH + x], raw + place(tiling, x, y), 4);
}

static void store(int gpu, const struct buffer *buffer, uint32_t tiling)
{
	uint8_t *raw = map_buffer(gpu, buffer);

	for (size_t y = 0; y < HEIGHT; y++)
		for (size_t x = 0; x < WIDTH; x++) {
			uint32_t pixel = pattern(x, y);

			memcpy(raw + place(tiling, x, y), &pixel, 4);
		}
}

static void run(int gpu, struct batch *batch, const struct buffer *const *targets, size_t count)
{
	struct buffer commands = create_buffer(gpu, 4096, BATCH);
	size_t length = end_batch(batch);
	int error;

	write_buffer(gpu, &commands, 0, batch->dwords, length);
	error = submit(gpu, 0, I915_EXEC_BLT, &commands, 0, length, targets, count);
	if (error)
		fail("a blit was refused: %s", strerror(error));
	if (!wait_idle(gpu, &commands, PATIENCE_NS))
		fail("a blit did not end");
	close_buffer(gpu, &commands);
}

static void expect(const char *what, uint32_t tiling, const uint32_t *found, uint32_t (*wanted)(size_t x, size_t y))
{
	for (size_t y = 0; y < HEIGHT; y++)
		for (size_t x = 0; x < WIDTH; x++)
			if (found[y * WIDTH + x] != wanted(x, y))
				fail("%s, %s: pixel %zu,%zu is %08x, not %08x", what, NAMES[tiling], x, y,
				     found[y * WIDTH + x], wanted(x, y));
}

static const uint16_t LARGE[4] = { 3, 5, 201, 90 }, SMALL[4] = { 130, 31, 133, 66 };

static bool inside(const uint16_t box[4], size_t x, size_t y)
{
	return x >= box[0] && x < box[2] && y >= box[1] && y < box[3];
}

static uint32_t filled(size_t x, size_t y)
{
	return inside(SMALL, x, y) ? 0xff00ff00u : inside(LARGE, x, y) ? 0x80123456u : 0;
}

void check_fills(void)
{
	static uint32_t pixels[WIDTH * HEIGHT];
	int gpu = open_gpu();

	for (uint32_t tiling = I915_TILING_NONE; tiling <= I915_TILING_Y; tiling++) {
		struct buffer target = surface(gpu, FIRST, tiling);
		struct batch batch = { .length = 0 };
		const struct buffer *targets[] = { &target };

		choose_y(&batch, I915_TILING_NONE, tiling);
		emit_fill(&batch, FIRST, tiling, LARGE, 0x80123456u);
		emit_fill(&batch, FIRST, tiling, SMALL, 0xff00ff00u);
		choose_y(&batch, I915_TILING_NONE, I915_TILING_NONE);
		run(gpu, &batch, targets, 1);
		load(gpu, &target, tiling, pixels);
		expect("fill", tiling, pixels, filled);
		close_buffer(gpu, &target);
	}
}

enum { SHIFT_X = 11, SHIFT_Y = 6 };

static uint32_t copied(size_t x, size_t y)
{
	return inside(LARGE, x, y) ? pattern(x - LARGE[0] + SHIFT_X, y - LARGE[1] + SHIFT_Y) : 0;
}

void check_copies(void)
{
	static uint32_t pixels[WIDTH * HEIGHT];
	int gpu = open_gpu();

	for (uint32_t from = I915_TILING_NONE; from <= I915_TILING_Y; from++)
		for (uint32_t to = I915_TILING_NONE; to <= I915_TILING_Y; to++) {
			struct buffer source = surface(gpu, FIRST, from), target = surface(gpu, SECOND, to);
			struct batch batch = { .length = 0 };
			const struct buffer *targets[] = { &source, &target };
			char what[32];

			store(gpu, &source, from);
			choose_y(&batch, from, to);
			emit_copy(&batch, SECOND, to, LARGE, FIRST, from, SHIFT_X, SHIFT_Y);
			choose_y(&batch, I915_TILING_NONE, I915_TILING_NONE);
			run(gpu, &batch, targets, 2);
			load(gpu, &target, to, pixels);
			snprintf(what, sizeof what, "copy from %s", NAMES[from]);
			expect(what, to, pixels, copied);
			close_buffer(gpu, &source);
			close_buffer(gpu, &target);
		}
}

/* A fence makes tiles look linear to the CPU, in either direction. */
void check_fences(void)
{
	static uint32_t pixels[WIDTH * HEIGHT];
	int gpu = open_gpu();

	for (uint32_t tiling = I915_TILING_X; tiling <= I915_TILING_Y; tiling++) {
		struct buffer target = surface(gpu, FIRST, tiling);
		volatile uint32_t *window = map_through_aperture(gpu, &target);

		for (size_t y = 0; y < HEIGHT; y += 7)
			for (size_t x = y % 5; x < WIDTH; x += 31)
				window[y * WIDTH + x] = pattern(x, y);
		for (size_t y = 0; y < HEIGHT; y += 7)
			for (size_t x = y % 5; x < WIDTH; x += 31)
				if (window[y * WIDTH + x] != pattern(x, y))
					fail("fence, %s: the aperture lost pixel %zu,%zu", NAMES[tiling], x, y);
		munmap((void *)window, SIZE);
		load(gpu, &target, tiling, pixels);
		for (size_t y = 0; y < HEIGHT; y++)
			for (size_t x = 0; x < WIDTH; x++) {
				bool written = y % 7 == 0 && x >= y % 5 && (x - y % 5) % 31 == 0;

				if (pixels[y * WIDTH + x] != (written ? pattern(x, y) : 0))
					fail("fence, %s: pixel %zu,%zu is %08x in memory", NAMES[tiling], x, y,
					     pixels[y * WIDTH + x]);
			}
		close_buffer(gpu, &target);
	}
}
