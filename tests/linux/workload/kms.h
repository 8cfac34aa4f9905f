/* A screen: a monitor, the pipe that feeds it, and buffers to show, through the kernel's mode setting ioctls. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "uapi.h"

enum { MOST_MODES = 64 };

struct screen {
	int gpu;
	uint32_t connector, crtc;
	uint32_t count;
	struct drm_mode_modeinfo modes[MOST_MODES]; /* the preferred one first */
};

/* Pixels of 32 bits in system memory, that a screen can show. */
struct canvas {
	uint32_t handle, frame_buffer, width, height, pitch;
	uint32_t *pixels;
};

struct screen open_screen(void);
struct canvas create_canvas(const struct screen *screen, uint32_t width, uint32_t height);
void show(const struct screen *screen, const struct drm_mode_modeinfo *mode, const struct canvas *canvas);
/* Asks for `canvas` from the next frame on; an event tells when it is shown. */
void flip(const struct screen *screen, const struct canvas *canvas);
/* Waits for that event: the number of the frame from which on the canvas is shown. */
uint32_t wait_flip(const struct screen *screen);
/* Number of the frame that is being shown, by the kernel's count. */
uint32_t frame_now(const struct screen *screen);
void set_cursor(const struct screen *screen, const struct canvas *image, int hot_x, int hot_y);
void move_cursor(const struct screen *screen, int x, int y);
