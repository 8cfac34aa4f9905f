/*
 * A fixed piece of work whose submissions to the engines are always the same, for a trace of them: each step ends with
 * all engines asleep. tests/support/fixed_work.py has the Python driver do the same.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "batch.h"
#include "checks.h"
#include "gem.h"

enum { PAGE = 4096, LOW = -500, HIGH = 500 };

static const uint64_t BATCHES = 0x100000, SPINNER = 0x200000, TARGETS = 0x2000000;
static const unsigned ENGINES[] = { I915_EXEC_RENDER, I915_EXEC_BLT, I915_EXEC_BSD, I915_EXEC_VEBOX };

static void sleep_ms(long ms)
{
	struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&time, NULL);
}

/* Long enough for the driver to have each engine switch to its own context, and to let it sleep. */
static void fall_asleep(void)
{
	sleep_ms(300);
}

/* Batch number `number` stores to target number `number`, and waits in the GPU for whoever else writes that. */
static struct buffer store(int gpu, uint32_t context, unsigned engine, unsigned number, const struct buffer *target)
{
	struct buffer commands = create_buffer(gpu, PAGE, BATCHES + number * PAGE);
	struct batch batch = { .length = 0 };
	size_t length;
	int error;

	emit_store(&batch, target->address, number);
	length = end_batch(&batch);
	write_buffer(gpu, &commands, 0, batch.dwords, length);
	error = submit(gpu, context, engine, &commands, 0, length, &target, 1);
	if (error)
		fail("store %u was refused: %s", number, strerror(error));
	return commands;
}

/* Spins until its first command is made an end; tells that it has begun. */
static struct buffer spin(int gpu, uint32_t context, unsigned engine, const struct buffer *const *targets, size_t count,
			  const struct buffer *begun)
{
	struct buffer commands = create_buffer(gpu, PAGE, SPINNER);
	const struct buffer *all[4] = { begun };
	volatile uint32_t *sign = map_buffer(gpu, begun);
	struct batch batch = { .length = 0 };
	size_t length;
	int error;

	emit(&batch, MI_ARB_CHECK);
	emit_store(&batch, begun->address, 1);
	emit(&batch, MI_BATCH_BUFFER_START);
	emit_address(&batch, commands.address);
	length = end_batch(&batch);
	write_buffer(gpu, &commands, 0, batch.dwords, length);
	memcpy(all + 1, targets, count * sizeof *targets);
	error = submit(gpu, context, engine, &commands, 0, length, all, count + 1);
	if (error)
		fail("a spinner was refused: %s", strerror(error));
	for (int tries = 0; !*sign; tries++) {
		if (tries == 1000)
			fail("a spinner did not begin");
		sleep_ms(10);
	}
	return commands;
}

static void finish(int gpu, const struct buffer *buffer)
{
	if (!wait_idle(gpu, buffer, PATIENCE_NS))
		fail("the work did not end");
}

static void end_spinner(int gpu, const struct buffer *commands)
{
	*(volatile uint32_t *)map_buffer(gpu, commands) = MI_BATCH_BUFFER_END;
	finish(gpu, commands);
}

static uint32_t context_of_priority(int gpu, int priority)
{
	uint32_t context = create_context(gpu);

	set_context(gpu, context, I915_CONTEXT_PARAM_PRIORITY, (uint64_t)(int64_t)priority);
	return context;
}

/* One batch after the other, on each engine. */
static void one_each(int gpu)
{
	struct buffer target = create_buffer(gpu, PAGE, TARGETS);

	for (unsigned i = 0; i < sizeof ENGINES / sizeof *ENGINES; i++) {
		struct buffer commands = store(gpu, 0, ENGINES[i], i, &target);

		finish(gpu, &commands);
		fall_asleep();
	}
}

/* Two contexts of low priority wait for another engine, one of them with two batches: they become ready at one moment. */
static void two_ports(int gpu)
{
	struct buffer begun = create_buffer(gpu, PAGE, TARGETS + PAGE);
	struct buffer first = create_buffer(gpu, PAGE, TARGETS + 2 * PAGE), second = create_buffer(gpu, PAGE, TARGETS + 3 * PAGE);
	const struct buffer *held[] = { &first, &second };
	uint32_t one = context_of_priority(gpu, LOW), other = context_of_priority(gpu, LOW);
	struct buffer spinner = spin(gpu, 0, I915_EXEC_RENDER, held, 2, &begun);

	store(gpu, one, I915_EXEC_VEBOX, 4, &first);
	store(gpu, one, I915_EXEC_VEBOX, 5, &first);
	store(gpu, other, I915_EXEC_VEBOX, 6, &second);
	end_spinner(gpu, &spinner);
	finish(gpu, &first);
	finish(gpu, &second);
	close_buffer(gpu, &spinner);
	fall_asleep();
}

/* A context of high priority comes while one of low priority spins. */
static void preemption(int gpu)
{
	struct buffer begun = create_buffer(gpu, PAGE, TARGETS + 4 * PAGE), target = create_buffer(gpu, PAGE, TARGETS + 5 * PAGE);
	uint32_t low = context_of_priority(gpu, LOW), high = context_of_priority(gpu, HIGH);
	struct buffer spinner = spin(gpu, low, I915_EXEC_VEBOX, NULL, 0, &begun);
	struct buffer urgent = store(gpu, high, I915_EXEC_VEBOX, 7, &target);

	finish(gpu, &urgent);
	if (!is_busy(gpu, &spinner))
		fail("the spinner that was preempted has ended");
	end_spinner(gpu, &spinner);
	close_buffer(gpu, &spinner);
	fall_asleep();
}

/* A batch waits on its engine, with a semaphore, for another engine. */
static void semaphore(int gpu)
{
	struct buffer begun = create_buffer(gpu, PAGE, TARGETS + 6 * PAGE), target = create_buffer(gpu, PAGE, TARGETS + 7 * PAGE);
	const struct buffer *held[] = { &target };
	struct buffer spinner = spin(gpu, 0, I915_EXEC_BSD, held, 1, &begun);

	store(gpu, 0, I915_EXEC_VEBOX, 8, &target);
	sleep_ms(200);
	end_spinner(gpu, &spinner);
	finish(gpu, &target);
	close_buffer(gpu, &spinner);
	fall_asleep();
}

void check_submissions(void)
{
	int gpu = open_gpu();

	fall_asleep();
	one_each(gpu);
	two_ports(gpu);
	if (scheduler_capabilities(gpu) & I915_SCHEDULER_CAP_PREEMPTION) /* Gen8 runs what has begun to its end. */
		preemption(gpu);
	semaphore(gpu);
}
