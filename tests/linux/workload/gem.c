#include "gem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MOST_OBJECTS = 8 };

void fail(const char *format, ...)
{
	va_list words;

	printf("FAILED ");
	va_start(words, format);
	vprintf(format, words);
	va_end(words);
	printf("\n");
	fflush(stdout);
	_exit(1);
}

int call(int gpu, unsigned long request, void *argument)
{
	int result;

	do {
		result = ioctl(gpu, request, argument);
	} while (result < 0 && (errno == EINTR || errno == EAGAIN));
	return result < 0 ? errno : 0;
}

void must(int error, const char *what)
{
	if (error)
		fail("%s: %s", what, strerror(error));
}

int open_gpu(void)
{
	int gpu = open("/dev/dri/card0", O_RDWR | O_CLOEXEC);

	if (gpu < 0)
		fail("/dev/dri/card0: %s", strerror(errno));
	return gpu;
}

unsigned scheduler_capabilities(int gpu)
{
	int value = 0;
	struct drm_i915_getparam ask = { .param = I915_PARAM_HAS_SCHEDULER, .value = &value };

	must(call(gpu, DRM_IOCTL_I915_GETPARAM, &ask), "GETPARAM");
	return value;
}

struct buffer create_buffer(int gpu, size_t size, uint64_t address)
{
	struct drm_i915_gem_create create = { .size = size };

	must(call(gpu, DRM_IOCTL_I915_GEM_CREATE, &create), "create a buffer");
	return (struct buffer){ .handle = create.handle, .address = address, .size = size };
}

void close_buffer(int gpu, struct buffer *buffer)
{
	struct drm_gem_close close = { .handle = buffer->handle };

	must(call(gpu, DRM_IOCTL_GEM_CLOSE, &close), "close a buffer");
	buffer->handle = 0;
}

void write_buffer(int gpu, const struct buffer *buffer, size_t offset, const void *data, size_t size)
{
	struct drm_i915_gem_pwrite write = {
		.handle = buffer->handle, .offset = offset, .size = size, .data_ptr = (uintptr_t)data
	};

	must(call(gpu, DRM_IOCTL_I915_GEM_PWRITE, &write), "write a buffer");
}

void read_buffer(int gpu, const struct buffer *buffer, size_t offset, void *data, size_t size)
{
	struct drm_i915_gem_pread read = {
		.handle = buffer->handle, .offset = offset, .size = size, .data_ptr = (uintptr_t)data
	};

	must(call(gpu, DRM_IOCTL_I915_GEM_PREAD, &read), "read a buffer");
}

uint32_t read_dword(int gpu, const struct buffer *buffer, size_t offset)
{
	uint32_t value;

	read_buffer(gpu, buffer, offset, &value, sizeof value);
	return value;
}

void *map_buffer(int gpu, const struct buffer *buffer)
{
	struct drm_i915_gem_mmap map = { .handle = buffer->handle, .size = buffer->size };

	must(call(gpu, DRM_IOCTL_I915_GEM_MMAP, &map), "map a buffer");
	return (void *)(uintptr_t)map.addr_ptr;
}

void *map_through_aperture(int gpu, const struct buffer *buffer)
{
	struct drm_i915_gem_mmap_gtt map = { .handle = buffer->handle };
	struct drm_i915_gem_set_domain domain = {
		.handle = buffer->handle, .read_domains = I915_GEM_DOMAIN_GTT, .write_domain = I915_GEM_DOMAIN_GTT
	};
	void *memory;

	must(call(gpu, DRM_IOCTL_I915_GEM_MMAP_GTT, &map), "find a buffer in the aperture");
	memory = mmap(NULL, buffer->size, PROT_READ | PROT_WRITE, MAP_SHARED, gpu, (off_t)map.offset);
	if (memory == MAP_FAILED)
		fail("map the aperture: %s", strerror(errno));
	must(call(gpu, DRM_IOCTL_I915_GEM_SET_DOMAIN, &domain), "move a buffer to the aperture");
	return memory;
}

void set_tiling(int gpu, const struct buffer *buffer, uint32_t tiling, uint32_t stride)
{
	struct drm_i915_gem_set_tiling set = { .handle = buffer->handle, .tiling_mode = tiling, .stride = stride };

	must(call(gpu, DRM_IOCTL_I915_GEM_SET_TILING, &set), "set a buffer's tiling");
	if (set.tiling_mode != tiling)
		fail("set a buffer's tiling: asked for %u, got %u", tiling, set.tiling_mode);
}

uint32_t create_context(int gpu)
{
	struct drm_i915_gem_context_create create = { 0 };

	must(call(gpu, DRM_IOCTL_I915_GEM_CONTEXT_CREATE, &create), "create a context");
	return create.ctx_id;
}

void set_context(int gpu, uint32_t context, uint64_t param, uint64_t value)
{
	struct drm_i915_gem_context_param set = { .ctx_id = context, .param = param, .value = value };

	must(call(gpu, DRM_IOCTL_I915_GEM_CONTEXT_SETPARAM, &set), "set a context's property");
}

void destroy_context(int gpu, uint32_t context)
{
	struct drm_i915_gem_context_destroy destroy = { .ctx_id = context };

	must(call(gpu, DRM_IOCTL_I915_GEM_CONTEXT_DESTROY, &destroy), "destroy a context");
}

struct drm_i915_reset_stats reset_stats(int gpu, uint32_t context)
{
	struct drm_i915_reset_stats stats = { .ctx_id = context };

	must(call(gpu, DRM_IOCTL_I915_GET_RESET_STATS, &stats), "ask for resets");
	return stats;
}

int submit(int gpu, uint32_t context, unsigned engine, const struct buffer *batch, size_t start, size_t length,
	   const struct buffer *const *targets, size_t count)
{
	struct drm_i915_gem_exec_object2 objects[MOST_OBJECTS] = { { 0 } };
	struct drm_i915_gem_execbuffer2 execute = {
		.buffers_ptr = (uintptr_t)objects,
		.buffer_count = (uint32_t)count + 1,
		.batch_start_offset = (uint32_t)start,
		.batch_len = (uint32_t)length,
		.flags = engine | I915_EXEC_NO_RELOC,
		.rsvd1 = context,
	};

	if (count >= MOST_OBJECTS)
		fail("%zu targets in one submission", count);
	for (size_t i = 0; i < count; i++) {
		objects[i].handle = targets[i]->handle;
		objects[i].offset = targets[i]->address;
		objects[i].flags = EXEC_OBJECT_PINNED | EXEC_OBJECT_SUPPORTS_48B_ADDRESS | EXEC_OBJECT_WRITE;
	}
	objects[count].handle = batch->handle;
	objects[count].offset = batch->address;
	objects[count].flags = EXEC_OBJECT_PINNED | EXEC_OBJECT_SUPPORTS_48B_ADDRESS;
	return call(gpu, DRM_IOCTL_I915_GEM_EXECBUFFER2, &execute);
}

bool is_busy(int gpu, const struct buffer *buffer)
{
	struct drm_i915_gem_busy busy = { .handle = buffer->handle };

	must(call(gpu, DRM_IOCTL_I915_GEM_BUSY, &busy), "ask whether a buffer is busy");
	return busy.busy != 0;
}

bool wait_idle(int gpu, const struct buffer *buffer, int64_t timeout_ns)
{
	struct drm_i915_gem_wait wait = { .bo_handle = buffer->handle, .timeout_ns = timeout_ns };
	int error = call(gpu, DRM_IOCTL_I915_GEM_WAIT, &wait);

	if (error && error != ETIME)
		must(error, "wait for a buffer");
	return !error;
}
