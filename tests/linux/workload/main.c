/*
 * Work for the real i915 driver, from user space: one line for each check, exit status 0 when all of them hold.
 * Arguments name the checks to make; without any, all are made but "runaway". Each runs in a process of its own.
 */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gem.h"

#include "checks.h"

static const struct {
	const char *name;
	void (*run)(void);
} CHECKS[] = {
	{ "stores", check_stores },
	{ "fills", check_fills },
	{ "copies", check_copies },
	{ "fences", check_fences },
	{ "small-batches", check_small_batches },
	{ "two-processes", check_two_processes },
	{ "spinner", check_spinner },
	{ "illegal-batch", check_illegal_batch },
	{ "hang", check_hang },
	{ "submissions", check_submissions },
	{ "pattern", check_pattern },
	{ "backlog", check_backlog },
	{ "runaway", check_runaway },
	{ "modes", check_modes },
	{ "flips", check_flips },
	{ "picture", check_picture },
};

static int wanted(const char *name, int count, char **names)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(names[i], name))
			return 1;
	return !count && strcmp(name, "runaway");
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int count, char **words)
{
	int failed = 0;

	for (size_t i = 0; i < sizeof CHECKS / sizeof *CHECKS; i++) {
		double begun = now();
		int status = -1;
		pid_t child;

		if (!wanted(CHECKS[i].name, count - 1, words + 1))
			continue;
		fflush(stdout);
		child = fork();
		if (child == 0) {
			CHECKS[i].run();
			_exit(0);
		}
		if (child > 0)
			waitpid(child, &status, 0);
		printf("%s %s %.2f s\n", status ? "not-ok" : "ok", CHECKS[i].name, now() - begun);
		failed |= status;
	}
	return failed ? 1 : 0;
}
