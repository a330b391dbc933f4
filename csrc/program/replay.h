/* Running a program: rows of numbers in; values, gradients and sums of gradients out. */
#ifndef MG_REPLAY_H
#define MG_REPLAY_H

#include "program/strip.h"

/* MG_OK, or why the first row that fails does. */
mg_status mg_replay(const mg_program *program, mg_workspace *workspace, const mg_batch *batch,
                    mg_replay_failure *failure);

#endif
