/*
 * A pattern of this machine's own, drawn and compared again and again for PATTERN_SECONDS (default 1), beside other
 * machines that draw theirs on the same GPU. PATTERN_SEED tells the machines apart. Prints how many rounds it did, and how
 * long the longest of them took.
 *
 * And a backlog: long batches for as long, of which the next ones are submitted before the first has ended. So this machine
 * always wants the GPU, however slow its own processor is. By turns in two contexts: what one context has waiting, the driver
 * submits as one piece, and that is carried out whole.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "batch.h"
#include "checks.h"
#include "gem.h"

enum { WIDTH = 64, HEIGHT = 64, STRIDE = 4 * WIDTH, SIZE = STRIDE * HEIGHT, BANDS = 8, BAND = HEIGHT / BANDS, MARKS = 3, MARK = 32 };

/* The same addresses in every machine: whoever reached another's memory would find it at once. */
static const uint64_t BATCH = 0x100000, FIRST = 0x1000000, SECOND = 0x2000000, MARKED = 0x3000000;
static const unsigned MARKERS[MARKS] = { I915_EXEC_RENDER, I915_EXEC_BSD, I915_EXEC_VEBOX };

static uint32_t mixed(uint32_t seed, uint32_t round, uint32_t place)
{
	uint32_t value = seed * 0x9e3779b9u ^ round * 0x85ebca6bu ^ place * 0xc2b2ae35u;

	value ^= value >> 15;
	value *= 0x2c1b3c6du;
	return value ^ value >> 12;
}

static void emit_band(struct batch *batch, uint32_t band, uint32_t colour)
{
	emit(batch, XY_COLOR_BLT | BLT_WRITE_RGBA);
	emit(batch, BLT_DEPTH_32 | BLT_ROP_PATTERN | STRIDE);
	emit(batch, band * BAND << 16);
	emit(batch, (band + 1) * BAND << 16 | WIDTH);
	emit_address(batch, FIRST);
	emit(batch, colour);
}

static void emit_copy(struct batch *batch)
{
	emit(batch, XY_SRC_COPY_BLT | BLT_WRITE_RGBA);
	emit(batch, BLT_DEPTH_32 | BLT_ROP_COPY | STRIDE);
	emit(batch, 0);
	emit(batch, HEIGHT << 16 | WIDTH);
	emit_address(batch, SECOND);
	emit(batch, 0);
	emit(batch, STRIDE);
	emit_address(batch, FIRST);
}

static void run(int gpu, uint32_t context, unsigned engine, const struct buffer *commands, size_t start, struct batch *batch,
		const struct buffer *const *targets, size_t count)
{
	size_t length = end_batch(batch);
	int error;

	write_buffer(gpu, commands, start, batch->dwords, length);
	error = submit(gpu, context, engine, commands, start, length, targets, count);
	if (error)
		fail("a batch of the pattern was refused: %s", strerror(error));
}

static void draw(int gpu, uint32_t seed, uint32_t round, const struct buffer *commands, const struct buffer *first,
		 const struct buffer *second, const struct buffer *marked)
{
	const struct buffer *surfaces[] = { first, second }, *marks[] = { marked };
	struct batch batch = { .length = 0 };

	for (uint32_t band = 0; band < BANDS; band++)
		emit_band(&batch, band, mixed(seed, round, band));
	emit_flush(&batch);
	emit_copy(&batch);
	run(gpu, 0, I915_EXEC_BLT, commands, 0, &batch, surfaces, 2);
	for (uint32_t i = 0; i < MARKS; i++) {
		struct batch mark = { .length = 0 };

		for (uint32_t j = 0; j < MARK; j++)
			emit_store(&mark, MARKED + 4 * (i * MARK + j), mixed(seed, round, BANDS + i * MARK + j));
		/* A whole page apart, so that no batch is written where another one is read. */
		run(gpu, 0, MARKERS[i], commands, 4096 * (i + 1), &mark, marks, 1);
	}
}

static void compare(int gpu, uint32_t seed, uint32_t round, const struct buffer *second, const struct buffer *marked)
{
	static uint32_t pixels[WIDTH * HEIGHT], marks[MARKS * MARK];

	read_buffer(gpu, second, 0, pixels, sizeof pixels);
	for (size_t i = 0; i < WIDTH * HEIGHT; i++)
		if (pixels[i] != mixed(seed, round, (uint32_t)(i / WIDTH / BAND)))
			fail("round %u: pixel %zu is %08x, not %08x", round, i, pixels[i],
			     mixed(seed, round, (uint32_t)(i / WIDTH / BAND)));
	read_buffer(gpu, marked, 0, marks, sizeof marks);
	for (uint32_t i = 0; i < MARKS * MARK; i++)
		if (marks[i] != mixed(seed, round, BANDS + i))
			fail("round %u: mark %u is %08x, not %08x", round, i, marks[i], mixed(seed, round, BANDS + i));
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static uint32_t setting(const char *name, uint32_t otherwise)
{
	const char *text = getenv(name);

	return text ? (uint32_t)strtoul(text, NULL, 0) : otherwise;
}

void check_pattern(void)
{
	int gpu = open_gpu();
	uint32_t seed = setting("PATTERN_SEED", 1), rounds = 0;
	double end = now() + setting("PATTERN_SECONDS", 1), longest = 0;
	struct buffer commands = create_buffer(gpu, 4096 * (MARKS + 1), BATCH), first = create_buffer(gpu, SIZE, FIRST),
		      second = create_buffer(gpu, SIZE, SECOND), marked = create_buffer(gpu, 4096, MARKED);

	while (now() < end) {
		double begun = now();

		draw(gpu, seed, rounds, &commands, &first, &second, &marked);
		if (!wait_idle(gpu, &second, PATIENCE_NS) || !wait_idle(gpu, &marked, PATIENCE_NS))
			fail("round %u did not end", rounds);
		compare(gpu, seed, rounds, &second, &marked);
		rounds++;
		if (now() - begun > longest)
			longest = now() - begun;
	}
	printf("rounds %u of seed %u, at most %.0f ms\n", rounds, seed, 1000 * longest);
	fflush(stdout);
}

/* Fills of a large surface, each band of it in turn: long work of few commands. */
enum { FIELD_WIDTH = 512, FIELD_STRIDE = 4 * FIELD_WIDTH, FIELD_BAND = 64, FIELDS = 10, QUEUED = 8 };

static void emit_field(struct batch *batch, uint32_t band, uint32_t colour)
{
	emit(batch, XY_COLOR_BLT | BLT_WRITE_RGBA);
	emit(batch, BLT_DEPTH_32 | BLT_ROP_PATTERN | FIELD_STRIDE);
	emit(batch, band * FIELD_BAND << 16);
	emit(batch, (band + 1) * FIELD_BAND << 16 | FIELD_WIDTH);
	emit_address(batch, FIRST);
	emit(batch, colour);
}

void check_backlog(void)
{
	int gpu = open_gpu();
	uint32_t seed = setting("PATTERN_SEED", 1), batches = 0, contexts[] = { create_context(gpu), create_context(gpu) };
	double end = now() + setting("PATTERN_SECONDS", 1);
	struct buffer field = create_buffer(gpu, FIELDS * FIELD_BAND * FIELD_STRIDE, FIRST), queue[QUEUED];
	const struct buffer *targets[] = { &field };

	for (uint32_t i = 0; i < QUEUED; i++)
		queue[i] = create_buffer(gpu, 4096, BATCH + 4096 * i);
	while (now() < end) {
		const struct buffer *commands = &queue[batches % QUEUED];
		struct batch batch = { .length = 0 };

		if (!wait_idle(gpu, commands, PATIENCE_NS))
			fail("batch %u of the backlog did not end", batches - QUEUED);
		for (uint32_t band = 0; band < FIELDS; band++)
			emit_field(&batch, band, mixed(seed, batches, band));
		run(gpu, contexts[batches % 2], I915_EXEC_BLT, commands, 0, &batch, targets, 1);
		batches++;
	}
	if (!wait_idle(gpu, &field, PATIENCE_NS))
		fail("the backlog did not end");
	for (uint32_t band = 0; band < FIELDS; band++)
		for (uint32_t place = 0; place < FIELD_BAND * FIELD_WIDTH; place += 61) {
			uint32_t found = read_dword(gpu, &field, 4 * (band * FIELD_BAND * FIELD_WIDTH + place));

			if (found != mixed(seed, batches - 1, band))
				fail("dword %u of band %u of the backlog is %08x", place, band, found);
		}
	printf("backlog of %u batches\n", batches);
	fflush(stdout);
}
