/* Workspaces and bindings: how parameters come from the arena and gradients return. */
#include "program/workspace.h"

#include "base/memory.h"
#include "loops/loops.h"
#include "program/takes.h"

#include <string.h>

/* Columns that a large program fills should stay in the second-level cache. */
#define CACHE_BYTES (512 * 1024)

/* Slots that the way back from an output takes, if it has been made. */
static size_t n_adjoints(const mg_program *program, uint32_t output) {
    const mg_adjoint_plan *plan = program->adjoint_plans[output];
    return plan ? plan->n_slots : 0;
}

size_t mg_lanes_for(const mg_program *program, uint32_t output, size_t n_rows) {
    if (n_rows <= 1) return 1;
    const size_t n_slots = program->n_slots + n_adjoints(program, output);
    size_t most = CACHE_BYTES / (n_slots * sizeof(double) + 1) / 8 * 8;
    if (program->n_weights > program->n_slots) most = MG_MOST_LANES;
    if (most > MG_MOST_LANES) most = MG_MOST_LANES;
    if (most < 8) most = 8;
    const size_t n_strips = (n_rows + most - 1) / most;
    return ((n_rows + n_strips - 1) / n_strips + 7) / 8 * 8;
}

/* Numbers of scratch that a block takes at most. */
static size_t block_scratch(size_t largest_block, size_t lanes) {
    /* Inputs, their transpose (padded to 8, with a column of ones), gradients of the sums and of
     * the inputs, and a record for each row. */
    const size_t rows =
        (largest_block * sizeof(mg_weight_row) + sizeof(double) - 1) / sizeof(double);
    return lanes * (4 * largest_block + 16) + 2 * largest_block + rows + 16;
}

static mg_workspace *new_workspace(const mg_program *program, uint32_t output, size_t lanes) {
    const size_t n_values = program->n_slots * lanes;
    const size_t n_adjoint_slots = n_adjoints(program, output);
    const size_t n_weights = program->n_weights, n_parameters = program->tape.n_parameters;
    const size_t n_scratch = block_scratch(program->largest_block, lanes);
    const size_t n_tile_room = program->arithmetic == MG_SINGLE_ARITHMETIC
                                   ? mg_single_tiles_room(program->largest_block, lanes)
                                   : 0;
    const size_t n_row_gradients = lanes == 1 ? program->stats.n_sums : 0;
    const size_t n_numbers = n_values + n_adjoint_slots * lanes + 3 * n_weights +
                             2 * n_parameters + program->n_lane_parameters + n_scratch +
                             n_tile_room + n_row_gradients + 8;
    mg_workspace *workspace = mg_calloc(1, sizeof *workspace + n_numbers * sizeof(double));
    if (!workspace) return NULL;
    double *room = (double *)(workspace + 1);
    /* Lanes begin where a vector register's worth of memory does. */
    room += (64 - (uintptr_t)room % 64) % 64 / sizeof(double);
    workspace->lanes = lanes;
    workspace->n_adjoints = n_adjoint_slots;
    workspace->values = room;
    workspace->adjoints = workspace->values + n_values;
    workspace->scratch = workspace->adjoints + n_adjoint_slots * lanes;
    workspace->tile_room = workspace->scratch + n_scratch;
    workspace->weights = workspace->tile_room + n_tile_room;
    workspace->gradients = workspace->weights + n_weights;
    workspace->gradients_before = workspace->gradients + n_weights;
    workspace->sums = workspace->gradients_before + n_weights;
    workspace->sums_before = workspace->sums + n_parameters;
    workspace->parameters = workspace->sums_before + n_parameters;
    workspace->row_gradients = workspace->parameters + program->n_lane_parameters;
    for (size_t i = 0; i < n_weights; i++) workspace->weights[i] = program->weight_constants[i];
    return workspace;
}

mg_workspace *mg_workspace_take(mg_program *program, uint32_t output, size_t lanes) {
    const size_t n_adjoint_slots = n_adjoints(program, output);
    mg_workspace **link = &program->spare;
    for (; *link; link = &(*link)->next) {
        mg_workspace *workspace = *link;
        if (workspace->lanes != lanes) continue;
        *link = workspace->next;
        if (workspace->n_adjoints >= n_adjoint_slots) return workspace;
        /* Of the ways back from several outputs the widest decides. */
        mg_free(workspace);
        break;
    }
    return new_workspace(program, output, lanes);
}

void mg_workspace_give(mg_program *program, mg_workspace *workspace) {
    workspace->next = program->spare;
    program->spare = workspace;
}

void mg_workspaces_free(mg_program *program) {
    while (program->spare) {
        mg_workspace *workspace = program->spare;
        program->spare = workspace->next;
        mg_free(workspace);
    }
}

static int continues(const struct mg_bound_span *span, mg_node node, uint32_t place, int adds_up) {
    return span->node + span->n == node && span->place + span->n == place &&
           span->adds_up == adds_up;
}

mg_status mg_binding_set(mg_binding *binding, const mg_program *program, mg_node *nodes) {
    struct mg_bound_span *spans = mg_realloc(NULL, (program->n_weights + 1) * sizeof *spans);
    if (!spans) return MG_NO_MEMORY;
    uint32_t n = 0;
    for (uint32_t place = 0; place < program->n_weights; place++) {
        const uint32_t parameter = program->weight_parameters[place];
        if (parameter == UINT32_MAX) continue;
        const mg_node node = nodes[parameter];
        const int adds_up = program->parameter_weight[parameter] == place;
        if (n > 0 && continues(&spans[n - 1], node, place, adds_up))
            spans[n - 1].n++;
        else
            spans[n++] = (struct mg_bound_span){node, place, 1, adds_up};
    }
    mg_binding_free(binding);
    struct mg_bound_span *fitting = mg_realloc(spans, (n + 1) * sizeof *spans);
    *binding = (mg_binding){nodes, fitting ? fitting : spans, n};
    return MG_OK;
}

void mg_binding_free(mg_binding *binding) {
    mg_free(binding->nodes);
    mg_free(binding->spans);
    *binding = (mg_binding){0};
}

void mg_workspace_load(mg_workspace *workspace, const mg_program *program,
                       const mg_binding *binding, const mg_arena *arena, int with_gradients) {
    for (uint32_t i = 0; i < binding->n_spans; i++) {
        const struct mg_bound_span s = binding->spans[i];
        memcpy(workspace->weights + s.place, arena->data + s.node, s.n * sizeof(double));
        if (!with_gradients || !s.adds_up) continue;
        memcpy(workspace->gradients + s.place, arena->grad + s.node, s.n * sizeof(double));
        memcpy(workspace->gradients_before + s.place, arena->grad + s.node, s.n * sizeof(double));
    }
    for (uint32_t i = 0; i < program->n_lane_parameters; i++)
        workspace->parameters[i] = arena->data[binding->nodes[program->lane_parameters[i]]];
    for (uint32_t i = 0; with_gradients && i < program->n_loose_parameters; i++) {
        const uint32_t p = program->loose_parameters[i];
        workspace->sums[p] = workspace->sums_before[p] = arena->grad[binding->nodes[p]];
    }
}

void mg_workspace_zero_gradients(mg_workspace *workspace, const mg_program *program) {
    memset(workspace->gradients, 0, program->n_weights * sizeof(double));
    memset(workspace->sums, 0, program->tape.n_parameters * sizeof(double));
}

void mg_workspace_gradients(const mg_workspace *workspace, const mg_program *program,
                            double *gradients) {
    for (uint32_t i = 0; i < program->tape.n_parameters; i++) {
        const uint32_t place = program->parameter_weight[i];
        gradients[i] = place == UINT32_MAX ? workspace->sums[i] : workspace->gradients[place];
    }
}

static int unchanged(const double *before, const double *now, size_t n) {
    return memcmp(before, now, n * sizeof *now) == 0;
}

int mg_workspace_store(const mg_workspace *workspace, const mg_program *program,
                       const mg_binding *binding, mg_arena *arena) {
    for (uint32_t i = 0; i < binding->n_spans; i++) {
        const struct mg_bound_span s = binding->spans[i];
        if (s.adds_up &&
            !unchanged(workspace->gradients_before + s.place, arena->grad + s.node, s.n))
            return 0;
    }
    for (uint32_t i = 0; i < program->n_loose_parameters; i++) {
        const uint32_t p = program->loose_parameters[i];
        if (!unchanged(&workspace->sums_before[p], &arena->grad[binding->nodes[p]], 1)) return 0;
    }
    for (uint32_t i = 0; i < binding->n_spans; i++) {
        const struct mg_bound_span s = binding->spans[i];
        if (s.adds_up)
            memcpy(arena->grad + s.node, workspace->gradients + s.place, s.n * sizeof(double));
    }
    for (uint32_t i = 0; i < program->n_loose_parameters; i++) {
        const uint32_t p = program->loose_parameters[i];
        arena->grad[binding->nodes[p]] = workspace->sums[p];
    }
    return 1;
}

/* The number of the span that a place is in, or of the first one after it. */
static uint32_t span_at(const mg_binding *binding, uint32_t place) {
    uint32_t low = 0, high = binding->n_spans;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const struct mg_bound_span *s = &binding->spans[middle];
        if (s->place + s->n <= place)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The products of one row of a batch with the gradients of a block's sums. */
static void add_block_shares(const mg_workspace *workspace, const mg_back_sums *block,
                             const mg_binding *binding, mg_arena *arena) {
    const mg_row_loops *rows = &mg_loops_current()->rows;
    const uint32_t n = block->n_in + 1;
    double *const x = workspace->scratch;
    for (uint32_t i = 0; i < block->n_in; i++) x[i] = workspace->values[block->x[i]];
    x[block->n_in] = 1.0;
    for (uint32_t r = 0; r < block->n_rows; r++) {
        const uint32_t first = block->weights[r];
        const double g = workspace->row_gradients[block->first_row + r];
        for (uint32_t j = span_at(binding, first);
             j < binding->n_spans && binding->spans[j].place < first + n; j++) {
            const struct mg_bound_span *s = &binding->spans[j];
            const uint32_t begin = s->place > first ? s->place : first;
            const uint32_t end = s->place + s->n < first + n ? s->place + s->n : first + n;
            const mg_weight_row row = {NULL, arena->grad + s->node + (begin - s->place), g};
            rows->backward(&row, 1, x + (begin - first), NULL, end - begin);
        }
    }
}

void mg_workspace_add_shares(const mg_workspace *workspace, const mg_program *program,
                             uint32_t output, const mg_binding *binding, mg_arena *arena) {
    const mg_adjoint_plan *plan = program->adjoint_plans[output];
    for (uint32_t i = 0; i < plan->n_runs; i++) {
        const mg_back_sums *block = &plan->sums[plan->runs[i].first];
        if (plan->runs[i].op == MG_SUMS_RUN && !block->w_to)
            add_block_shares(workspace, block, binding, arena);
    }
    for (uint32_t i = 0; i < plan->n_parameters; i++) {
        const mg_uses *uses = &plan->parameters[i];
        double *const gradient = &arena->grad[binding->nodes[uses->leaf]];
        for (uint32_t u = 0; u < uses->n; u++)
            *gradient += workspace->adjoints[plan->use_slots[uses->first + u]];
    }
    for (uint32_t c = 0; c < plan->n_chosen; c++) {
        const mg_chosen_use *use = &plan->chosen[c];
        uint32_t parameter = use->parameter;
        if (parameter == UINT32_MAX)
            parameter = mg_chosen_parameter(program, use->take, workspace->values[use->index]);
        if (parameter != UINT32_MAX)
            arena->grad[binding->nodes[parameter]] += workspace->adjoints[use->share];
    }
}
