#include "kms.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gem.h"

enum { MOST_CONNECTORS = 16, MOST_PIPES = 4, FLIP_PATIENCE_MS = 12000 };

static int find_modes(struct screen *screen, uint32_t connector)
{
	struct drm_mode_get_connector ask = {
		.connector_id = connector, .modes_ptr = (uintptr_t)screen->modes, .count_modes = MOST_MODES
	};

	/* The kernel fills in the modes only if all of them fit. */
	must(call(screen->gpu, DRM_IOCTL_MODE_GETCONNECTOR, &ask), "ask for a connector");
	if (ask.connection != DRM_MODE_CONNECTED || !ask.count_modes)
		return 0;
	if (ask.count_modes > MOST_MODES)
		fail("connector %u has %u modes", connector, ask.count_modes);
	screen->connector = connector;
	screen->count = ask.count_modes;
	return 1;
}

struct screen open_screen(void)
{
	struct screen screen = { .gpu = open_gpu() };
	uint32_t connectors[MOST_CONNECTORS], pipes[MOST_PIPES];
	struct drm_mode_card_res ask = {
		.connector_id_ptr = (uintptr_t)connectors, .count_connectors = MOST_CONNECTORS,
		.crtc_id_ptr = (uintptr_t)pipes, .count_crtcs = MOST_PIPES,
	};

	must(call(screen.gpu, DRM_IOCTL_MODE_GETRESOURCES, &ask), "ask for connectors");
	if (!ask.count_crtcs || ask.count_crtcs > MOST_PIPES || ask.count_connectors > MOST_CONNECTORS)
		fail("%u pipes and %u connectors", ask.count_crtcs, ask.count_connectors);
	screen.crtc = pipes[0];
	for (uint32_t i = 0; i < ask.count_connectors; i++)
		if (find_modes(&screen, connectors[i]))
			return screen;
	fail("no monitor on any of %u connectors", ask.count_connectors);
}

struct canvas create_canvas(const struct screen *screen, uint32_t width, uint32_t height)
{
	struct drm_mode_create_dumb create = { .width = width, .height = height, .bpp = 32 };
	struct drm_mode_map_dumb map = { 0 };
	struct drm_mode_fb_cmd add = { .width = width, .height = height, .bpp = 32, .depth = 24 };
	void *memory;

	must(call(screen->gpu, DRM_IOCTL_MODE_CREATE_DUMB, &create), "create a canvas");
	map.handle = add.handle = create.handle;
	add.pitch = create.pitch;
	must(call(screen->gpu, DRM_IOCTL_MODE_MAP_DUMB, &map), "map a canvas");
	memory = mmap(NULL, create.size, PROT_READ | PROT_WRITE, MAP_SHARED, screen->gpu, (off_t)map.offset);
	if (memory == MAP_FAILED)
		fail("map a canvas: %s", strerror(errno));
	must(call(screen->gpu, DRM_IOCTL_MODE_ADDFB, &add), "make a canvas a frame buffer");
	return (struct canvas){
		.handle = create.handle, .frame_buffer = add.fb_id, .width = width, .height = height, .pitch = create.pitch / 4, .pixels = memory
	};
}

void show(const struct screen *screen, const struct drm_mode_modeinfo *mode, const struct canvas *canvas)
{
	struct drm_mode_crtc set = {
		.crtc_id = screen->crtc, .fb_id = canvas->frame_buffer, .mode_valid = 1, .mode = *mode,
		.set_connectors_ptr = (uintptr_t)&screen->connector, .count_connectors = 1,
	};

	must(call(screen->gpu, DRM_IOCTL_MODE_SETCRTC, &set), mode->name);
}

void flip(const struct screen *screen, const struct canvas *canvas)
{
	struct drm_mode_crtc_page_flip ask = {
		.crtc_id = screen->crtc, .fb_id = canvas->frame_buffer, .flags = DRM_MODE_PAGE_FLIP_EVENT
	};

	must(call(screen->gpu, DRM_IOCTL_MODE_PAGE_FLIP, &ask), "flip");
}

uint32_t wait_flip(const struct screen *screen)
{
	struct pollfd waiting = { .fd = screen->gpu, .events = POLLIN };
	struct drm_event_vblank event;

	if (poll(&waiting, 1, FLIP_PATIENCE_MS) != 1)
		fail("no flip was done within %d ms", FLIP_PATIENCE_MS);
	if (read(screen->gpu, &event, sizeof event) != sizeof event)
		fail("read an event: %s", strerror(errno));
	if (event.base.type != DRM_EVENT_FLIP_COMPLETE)
		fail("an event of type %u, and no flip", event.base.type);
	return event.sequence;
}

uint32_t frame_now(const struct screen *screen)
{
	struct drm_crtc_get_sequence ask = { .crtc_id = screen->crtc };

	must(call(screen->gpu, DRM_IOCTL_CRTC_GET_SEQUENCE, &ask), "ask for the frame");
	return (uint32_t)ask.sequence;
}

static void cursor(const struct screen *screen, struct drm_mode_cursor2 what)
{
	what.crtc_id = screen->crtc;
	must(call(screen->gpu, DRM_IOCTL_MODE_CURSOR2, &what), "the cursor");
}

void set_cursor(const struct screen *screen, const struct canvas *image, int hot_x, int hot_y)
{
	cursor(screen, (struct drm_mode_cursor2){
		.flags = DRM_MODE_CURSOR_BO, .width = image->width, .height = image->height, .handle = image->handle,
		.hot_x = hot_x, .hot_y = hot_y,
	});
}

void move_cursor(const struct screen *screen, int x, int y)
{
	cursor(screen, (struct drm_mode_cursor2){ .flags = DRM_MODE_CURSOR_MOVE, .x = x, .y = y });
}
