/* What a program sees of the monitor: modes, frames, and a picture that whoever looks at the screen can check. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "gem.h"
#include "kms.h"

#include "checks.h"

enum { FRAMES_OF_A_MODE = 30, FLIPS = 300, ATTEMPTS = 6, CURSOR_SIZE = 64 };

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Every pixel tells its place: blue counts columns, green rows, red the blocks of 256 of both. */
static void draw_places(struct canvas *canvas, uint32_t salt)
{
	for (uint32_t y = 0; y < canvas->height; y++)
		for (uint32_t x = 0; x < canvas->width; x++)
			canvas->pixels[y * canvas->pitch + x] = ((x >> 8 | y >> 8 << 4) ^ salt) << 16 | (y & 0xff) << 8 | (x & 0xff);
}

static void fill(struct canvas *canvas, uint32_t pixel)
{
	for (uint32_t i = 0; i < canvas->height * canvas->pitch; i++)
		canvas->pixels[i] = pixel;
}

/* Each mode of the monitor in turn, and at the end the first one again: frames go on in every one of them. */
void check_modes(void)
{
	struct screen screen = open_screen();

	for (uint32_t i = 0; i <= screen.count; i++) {
		const struct drm_mode_modeinfo *mode = &screen.modes[i % screen.count];
		struct canvas canvas = create_canvas(&screen, mode->hdisplay, mode->vdisplay);
		uint32_t first;
		double begun;

		fill(&canvas, 0x102030 * (i + 1));
		show(&screen, mode, &canvas);
		first = frame_now(&screen);
		begun = now();
		while (frame_now(&screen) - first < FRAMES_OF_A_MODE)
			if (now() - begun > 10)
				fail("%s: %u frames in 10 s", mode->name, frame_now(&screen) - first);
			else
				usleep(2000);
		printf("mode %s %u kHz\n", mode->name, mode->clock);
	}
}

/* Two canvases in turn, each as soon as the one before is shown. A flip that was asked for during frame n is shown from n + 1 on:
   how many frames later the latest one was. */
static uint32_t flip_many(const struct screen *screen, const struct canvas *canvases)
{
	uint32_t first = frame_now(screen), last = first, late = 0, worst = 0;
	double begun = now();

	for (int i = 1; i <= FLIPS; i++) {
		uint32_t asked, shown;

		flip(screen, &canvases[i & 1]);
		asked = frame_now(screen);
		shown = wait_flip(screen);
		if ((int32_t)(shown - last) <= 0)
			fail("flip %d is shown from frame %u on, and the one before it from %u on", i, shown, last);
		last = shown;
		if ((int32_t)(shown - asked) > 1) {
			late++;
			if (shown - asked - 1 > worst)
				worst = shown - asked - 1;
		}
	}
	printf("flips %d in %u frames and %.2f s, %u late, the latest by %u\n", FLIPS, last - first, now() - begun, late, worst);
	return worst;
}

/* Whoever emulates this processor may have kept it from asking in time: then it tries again. */
void check_flips(void)
{
	struct screen screen = open_screen();
	const struct drm_mode_modeinfo *mode = screen.modes;
	struct canvas canvases[2];

	for (int i = 0; i < 2; i++) {
		canvases[i] = create_canvas(&screen, mode->hdisplay, mode->vdisplay);
		fill(&canvases[i], i ? 0xffffff : 0x000080);
	}
	show(&screen, mode, &canvases[0]);
	for (int attempt = 0; attempt < ATTEMPTS; attempt++)
		if (flip_many(&screen, canvases) <= 1)
			return;
}

/* A picture of known pixels, that the host is asked to keep. */
void check_picture(void)
{
	struct screen screen = open_screen();
	const struct drm_mode_modeinfo *mode = screen.modes;
	struct canvas canvas = create_canvas(&screen, mode->hdisplay, mode->vdisplay), arrow = create_canvas(&screen, CURSOR_SIZE, CURSOR_SIZE);

	draw_places(&canvas, 0);
	show(&screen, mode, &canvas);
	for (int y = 0; y < CURSOR_SIZE; y++)
		for (int x = 0; x < CURSOR_SIZE; x++)
			arrow.pixels[y * (int)arrow.pitch + x] = x + y < CURSOR_SIZE ? 0xff00ff00 : 0;
	set_cursor(&screen, &arrow, 5, 7);
	move_cursor(&screen, 100, 200);
	usleep(100000);
	if (system("gvt-screenshot places"))
		fail("the host keeps no picture");
}
