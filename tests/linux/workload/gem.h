/* Buffers, contexts and submissions through i915's ioctls. Whatever should not fail ends the process with a message. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "uapi.h"

#define NS_PER_S 1000000000LL

/* A buffer object at a graphics address of the caller's choice: nothing is relocated. */
struct buffer {
	uint32_t handle;
	uint64_t address;
	size_t size;
};

_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* An ioctl: 0, or the kernel's errno. */
int call(int gpu, unsigned long request, void *argument);
void must(int error, const char *what);

int open_gpu(void);

/* What the driver says that it does with priorities: I915_SCHEDULER_CAP_… */
unsigned scheduler_capabilities(int gpu);

struct buffer create_buffer(int gpu, size_t size, uint64_t address);
void close_buffer(int gpu, struct buffer *buffer);
void write_buffer(int gpu, const struct buffer *buffer, size_t offset, const void *data, size_t size);
void read_buffer(int gpu, const struct buffer *buffer, size_t offset, void *data, size_t size);
uint32_t read_dword(int gpu, const struct buffer *buffer, size_t offset);
void *map_buffer(int gpu, const struct buffer *buffer);
void *map_through_aperture(int gpu, const struct buffer *buffer);
void set_tiling(int gpu, const struct buffer *buffer, uint32_t tiling, uint32_t stride);

uint32_t create_context(int gpu);
void set_context(int gpu, uint32_t context, uint64_t param, uint64_t value);
void destroy_context(int gpu, uint32_t context);
struct drm_i915_reset_stats reset_stats(int gpu, uint32_t context);

/* Runs the batch at `start` of `batch`, which writes `targets`. 0, or the kernel's errno when it refuses. */
int submit(int gpu, uint32_t context, unsigned engine, const struct buffer *batch, size_t start, size_t length,
	   const struct buffer *const *targets, size_t count);
bool is_busy(int gpu, const struct buffer *buffer);
/* Whether everything that uses the buffer ended in time. */
bool wait_idle(int gpu, const struct buffer *buffer, int64_t timeout_ns);
