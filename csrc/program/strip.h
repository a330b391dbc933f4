/* The part of a batch that is in the lanes at a time. */
#ifndef MG_STRIP_H
#define MG_STRIP_H

#include "program/replay.h"

typedef struct {
    const mg_program *program;
    mg_workspace *workspace;
    const mg_batch *batch;
    const mg_tile_loops *tiles;
    const mg_step_loops *steps;
    mg_lanes lanes; /* of the workspace, for loops over steps */
    size_t first_row, n_rows;
    /* Whether the steps that no input reaches have been computed, for this strip and those to
     * come: where one has failed that no row needed, each strip asks anew. */
    int uniform_values, uniform_tangents;
    mg_replay_failure failure;
    mg_status tangent_status; /* what failed there, if it was in the derivatives */
} mg_strip;

#endif
