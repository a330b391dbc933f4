/* Running a program: rows of numbers in; values, gradients and sums of gradients out. */
#ifndef MG_REPLAY_H
#define MG_REPLAY_H

#include "mg_strip.h"

/* MG_OK, or why the first row that fails does. */
mg_status mg_replay(const mg_program *program, mg_workspace *workspace, const mg_batch *batch,
                    mg_replay_failure *failure);

/* The loops, one build per instruction set. */
typedef struct {
    const char *name;
    mg_status (*forward)(mg_strip *strip, const mg_step_run *runs, uint32_t n_runs);
    mg_status (*backward)(mg_strip *strip, const mg_sweep *sweep);
} mg_replay_build;

#endif
