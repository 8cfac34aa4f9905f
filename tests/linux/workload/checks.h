/* One function for each check: it returns when all is well, and ends its process with a message when not. */
#pragma once

#define PATIENCE_NS (30 * NS_PER_S)

void check_stores(void);
void check_small_batches(void);
void check_two_processes(void);
void check_spinner(void);
void check_illegal_batch(void);
void check_hang(void);
void check_runaway(void);
void check_submissions(void);
void check_pattern(void);
void check_backlog(void);

void check_fills(void);
void check_copies(void);
void check_fences(void);
void check_modes(void);
void check_flips(void);
void check_picture(void);
