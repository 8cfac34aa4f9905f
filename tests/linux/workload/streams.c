/* What command streams do: stores, many batches, batches that spin, are illegal or hang, and who suffers from them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "batch.h"
#include "checks.h"
#include "gem.h"

static const uint64_t BATCH = 0x100000, TARGET = 0x2000000;

static const struct {
	const char *name;
	unsigned flag;
} ENGINES[] = {
	{ "rcs0", I915_EXEC_RENDER }, { "bcs0", I915_EXEC_BLT }, { "vcs0", I915_EXEC_BSD }, { "vecs0", I915_EXEC_VEBOX }
};
enum { ENGINE_COUNT = sizeof ENGINES / sizeof *ENGINES };

static void sleep_ms(long ms)
{
	struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&time, NULL);
}

/* Many batches, each of which stores its own number, in the order of submission, on all engines by turns. */
static void store_numbers(int gpu, uint32_t context, unsigned count, uint32_t seed)
{
	enum { SLOT = 64 };
	struct buffer batches = create_buffer(gpu, (count * SLOT + 4095) & ~4095ul, BATCH);
	struct buffer target = create_buffer(gpu, (count * 4 + 4095) & ~4095ul, TARGET);
	const struct buffer *targets[] = { &target };
	uint32_t *found = malloc(count * 4);
	size_t length = 0;

	for (unsigned i = 0; i < count; i++) {
		struct batch batch = { .length = 0 };

		emit_store(&batch, TARGET + 4 * i, seed + i);
		length = end_batch(&batch);
		write_buffer(gpu, &batches, i * SLOT, batch.dwords, length);
	}
	for (unsigned i = 0; i < count; i++) {
		int error = submit(gpu, context, ENGINES[i % ENGINE_COUNT].flag, &batches, i * SLOT, length, targets, 1);

		if (error)
			fail("batch %u was refused: %s", i, strerror(error));
	}
	if (!wait_idle(gpu, &target, PATIENCE_NS))
		fail("%u small batches did not end", count);
	read_buffer(gpu, &target, 0, found, count * 4);
	for (unsigned i = 0; i < count; i++)
		if (found[i] != seed + i)
			fail("batch %u on %s stored %08x, not %08x", i, ENGINES[i % ENGINE_COUNT].name, found[i], seed + i);
	free(found);
	close_buffer(gpu, &batches);
	close_buffer(gpu, &target);
}

void check_stores(void)
{
	int gpu = open_gpu();

	for (size_t i = 0; i < ENGINE_COUNT; i++) {
		/* Above 4 GiB, where the page tables have a level more to walk. */
		struct buffer target = create_buffer(gpu, 8192, 0x0000312345678000ull);
		struct buffer commands = create_buffer(gpu, 4096, BATCH);
		const struct buffer *targets[] = { &target };
		struct batch batch = { .length = 0 };
		size_t length;
		int error;

		emit_store(&batch, target.address + 0x10, 0xcafe0000u + (uint32_t)i);
		emit_store(&batch, target.address + 0x1ffc, 0xbeef0000u + (uint32_t)i);
		length = end_batch(&batch);
		write_buffer(gpu, &commands, 0, batch.dwords, length);
		error = submit(gpu, 0, ENGINES[i].flag, &commands, 0, length, targets, 1);
		if (error)
			fail("%s refused a store: %s", ENGINES[i].name, strerror(error));
		if (!wait_idle(gpu, &target, PATIENCE_NS))
			fail("%s did not end a store", ENGINES[i].name);
		if (read_dword(gpu, &target, 0x10) != 0xcafe0000u + i || read_dword(gpu, &target, 0x1ffc) != 0xbeef0000u + i)
			fail("%s stored %08x and %08x", ENGINES[i].name, read_dword(gpu, &target, 0x10),
			     read_dword(gpu, &target, 0x1ffc));
		if (read_dword(gpu, &target, 0x14) || read_dword(gpu, &target, 0xc))
			fail("%s stored beside its target", ENGINES[i].name);
		close_buffer(gpu, &target);
		close_buffer(gpu, &commands);
	}
}

void check_small_batches(void)
{
	store_numbers(open_gpu(), 0, 2000, 0x10000000);
}

/* A new process with a GPU of its own to talk to; what it prints is its own. */
static pid_t start(void (*work)(uint32_t seed), uint32_t seed)
{
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child < 0)
		fail("no new process: %s", strerror(errno));
	if (child == 0) {
		work(seed);
		fflush(stdout);
		_exit(0);
	}
	return child;
}

static void join(pid_t child, const char *who)
{
	int status;

	if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status))
		fail("%s did not do its work", who);
}

static void work_undisturbed(uint32_t seed)
{
	int gpu = open_gpu();
	uint32_t context = create_context(gpu);
	struct drm_i915_reset_stats stats;

	for (uint32_t round = 0; round < 4; round++)
		store_numbers(gpu, context, 100, seed + round * 0x1000);
	stats = reset_stats(gpu, context);
	if (stats.batch_active || stats.batch_pending)
		fail("%u batches of a process that did no wrong were reset, %u waited for a reset", stats.batch_active,
		     stats.batch_pending);
}

void check_two_processes(void)
{
	pid_t first = start(work_undisturbed, 0x20000000), second = start(work_undisturbed, 0x30000000);

	join(first, "the first process");
	join(second, "the second process");
}

/* A batch that jumps to its own beginning until the CPU puts an end there. */
static size_t write_spinner(int gpu, const struct buffer *commands, uint32_t first)
{
	struct batch batch = { .length = 0 };
	size_t length;

	emit(&batch, first);
	emit(&batch, MI_BATCH_BUFFER_START);
	emit_address(&batch, commands->address);
	length = end_batch(&batch);
	write_buffer(gpu, commands, 0, batch.dwords, length);
	return length;
}

void check_spinner(void)
{
	int gpu = open_gpu();
	uint32_t context = create_context(gpu);

	for (size_t i = 0; i < ENGINE_COUNT; i++) {
		struct buffer commands;
		volatile uint32_t *first;
		size_t length;
		int error;

		/* The kernel runs a checked copy of the blitter's batches on Gen9: there the CPU could not end one. */
		if (ENGINES[i].flag == I915_EXEC_BLT)
			continue;
		commands = create_buffer(gpu, 4096, BATCH);
		first = map_buffer(gpu, &commands);
		length = write_spinner(gpu, &commands, MI_ARB_CHECK);
		error = submit(gpu, context, ENGINES[i].flag, &commands, 0, length, NULL, 0);
		if (error)
			fail("%s refused a spinner: %s", ENGINES[i].name, strerror(error));
		sleep_ms(100);
		if (!is_busy(gpu, &commands))
			fail("a spinner on %s ended by itself", ENGINES[i].name);
		*first = MI_BATCH_BUFFER_END;
		if (!wait_idle(gpu, &commands, PATIENCE_NS))
			fail("a spinner on %s was told to end and did not", ENGINES[i].name);
		close_buffer(gpu, &commands);
	}
	if (reset_stats(gpu, context).batch_active)
		fail("a spinner that the CPU ended was reset");
}

/* Submits what cannot succeed, in a context that is given up with it; its process must learn of that. */
static void be_guilty(uint32_t first, bool spins, const char *what)
{
	int gpu = open_gpu();
	uint32_t context = create_context(gpu);
	struct buffer commands = create_buffer(gpu, 4096, BATCH);
	struct batch batch = { .length = 0 };
	size_t length;
	int error;

	set_context(gpu, context, I915_CONTEXT_PARAM_RECOVERABLE, 0);
	/* The driver's picture of the culprit is taken by way of the aperture, slowly: once is enough. */
	set_context(gpu, context, I915_CONTEXT_PARAM_NO_ERROR_CAPTURE, spins);
	if (spins) {
		length = write_spinner(gpu, &commands, first);
	} else {
		emit(&batch, first);
		length = end_batch(&batch);
		write_buffer(gpu, &commands, 0, batch.dwords, length);
	}
	error = submit(gpu, context, I915_EXEC_RENDER, &commands, 0, length, NULL, 0);
	if (error)
		fail("%s was refused, not executed: %s", what, strerror(error));
	if (!wait_idle(gpu, &commands, PATIENCE_NS))
		fail("%s was never ended", what);
	/* The reset is told to the context a moment after its request ended. */
	for (int tries = 0; tries < 100 && !reset_stats(gpu, context).batch_active; tries++)
		sleep_ms(20);
	if (reset_stats(gpu, context).batch_active != 1)
		fail("%s: its process was told of %u resets", what, reset_stats(gpu, context).batch_active);
	error = submit(gpu, context, I915_EXEC_RENDER, &commands, 0, length, NULL, 0);
	if (error != EIO)
		fail("%s: its process may go on (%s)", what, strerror(error));
}

static void be_illegal(uint32_t seed)
{
	(void)seed;
	be_guilty(NO_COMMAND, false, "an illegal batch");
}

void check_illegal_batch(void)
{
	pid_t innocent = start(work_undisturbed, 0x40000000), guilty = start(be_illegal, 0);

	join(guilty, "the process with the illegal batch");
	join(innocent, "the process beside it");
	check_stores();
}

/* Shorter than a user would like, longer than an emulated machine needs. */
static void set_engine(const char *setting, const char *value)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof path, "/sys/class/drm/card0/engine/rcs0/%s", setting);
	if (access(path, F_OK)) /* Gen8 is driven without preemption: it has no time-out for it either. */
		return;
	file = fopen(path, "w");
	if (!file || fputs(value, file) < 0 || fclose(file))
		fail("%s: %s", path, strerror(errno));
}

static void be_stuck(uint32_t seed)
{
	(void)seed;
	be_guilty(MI_NOOP, true, "a hang");
}

void check_hang(void)
{
	set_engine("heartbeat_interval_ms", "500");
	set_engine("preempt_timeout_ms", "500");
	join(start(be_stuck, 0), "the process with the hang");
	check_stores();
	store_numbers(open_gpu(), 0, 100, 0x50000000);
}

/* Batches without end on all engines but the blitter, and nobody who would end them: whoever called this ends the machine. */
void check_runaway(void)
{
	int gpu = open_gpu();
	uint32_t context = create_context(gpu);

	/* A picture of the culprit, taken by way of the aperture, would keep the machine busy for minutes. */
	set_context(gpu, context, I915_CONTEXT_PARAM_NO_ERROR_CAPTURE, 1);
	for (size_t i = 0; i < ENGINE_COUNT; i++) {
		struct buffer commands;
		int error;

		if (ENGINES[i].flag == I915_EXEC_BLT)
			continue;
		commands = create_buffer(gpu, 4096, BATCH + 4096 * i);
		error = submit(gpu, context, ENGINES[i].flag, &commands, 0, write_spinner(gpu, &commands, MI_NOOP), NULL, 0);
		if (error)
			fail("%s refused to run away: %s", ENGINES[i].name, strerror(error));
	}
	printf("away\n");
	fflush(stdout);
	pause();
}
