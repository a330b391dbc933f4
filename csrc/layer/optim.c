#include "layer/optim.h"

#include <math.h>
#include <string.h>

#include "loops/loops.h"

/* The first parameter of a layer from `node` on, or `end`. Many nodes are looked at before
 * anything is decided, and no more of them than are passed over. */
static mg_node next_parameter(const mg_arena *arena, mg_node node, mg_node end) {
    enum { N_AT_ONCE = 512 };
    const mg_meta *const meta = arena->meta;
    for (; end - node >= N_AT_ONCE; node += N_AT_ONCE) {
        uint32_t flags = 0; /* as wide as the count beside it, so that lanes need not be packed */
        const mg_meta *const some = meta + node;
        for (size_t i = 0; i < N_AT_ONCE; i++) flags |= some[i].flags;
        if (flags & MG_PARAMETER) break;
    }
    while (node < end && !(meta[node].flags & MG_PARAMETER)) node++;
    return node;
}

mg_status mg_span_before_write(mg_arena *arena, mg_span span) {
    const mg_node end = span.first + span.n_nodes;
    mg_node node = next_parameter(arena, span.first, end);
    while (node < end) {
        mg_layer_block *block = arena->aux[node].block;
        const uint32_t n_nodes = block->n_rows * (block->n_in + 1);
        if (mg_layer_block_before_write(arena, block) != MG_OK) return MG_NO_MEMORY;
        /* A slot of the block whose parameter is freed may be somebody else's by now. */
        node = block->n_alive == n_nodes ? block->base + n_nodes : node + 1;
        node = node < end ? next_parameter(arena, node, end) : end;
    }
    return MG_OK;
}

void mg_span_zero_grad(mg_arena *arena, mg_span span) {
    memset(arena->grad + span.first, 0, span.n_nodes * sizeof *arena->grad);
}

void mg_span_negate_grad(mg_arena *arena, mg_span span) {
    double *const grad = arena->grad + span.first;
    for (size_t i = 0; i < span.n_nodes; i++) grad[i] = -grad[i];
}

void mg_sgd_step(mg_arena *arena, mg_span span, const mg_sgd *rule, double *velocity, int first) {
    mg_loops_current()->rules.sgd(rule, span.n_nodes, arena->data + span.first,
                                  arena->grad + span.first, velocity, first);
}

void mg_adam_step(mg_arena *arena, mg_span span, const mg_adam *rule, double *m, double *v,
                  double *largest) {
    mg_loops_current()->rules.adam(rule, span.n_nodes, arena->data + span.first,
                                   arena->grad + span.first, m, v, largest);
}

void mg_rmsprop_step(mg_arena *arena, mg_span span, const mg_rmsprop *rule, double *buffer,
                     double *square, double *mean) {
    mg_loops_current()->rules.rmsprop(rule, span.n_nodes, arena->data + span.first,
                                      arena->grad + span.first, buffer, square, mean);
}

void mg_adagrad_step(mg_arena *arena, mg_span span, const mg_adagrad *rule, double *sum) {
    mg_loops_current()->rules.adagrad(rule, span.n_nodes, arena->data + span.first,
                                      arena->grad + span.first, sum);
}

mg_status mg_squares_check(const mg_arena *arena, mg_span span, double weight_decay,
                           size_t *n_good) {
    const double *const data = arena->data + span.first, *const grad = arena->grad + span.first;
    /* A choice between doubles is one that lanes can make. */
    double all_small = 1.0;
    for (size_t i = 0; i < span.n_nodes; i++)
        all_small = fabs(grad[i] + weight_decay * data[i]) < 1e154 ? all_small : 0.0;
    *n_good = span.n_nodes;
    if (all_small != 0.0) return MG_OK;
    for (size_t i = 0; i < span.n_nodes; i++) {
        mg_status st = MG_OK;
        mg_pow(weight_decay != 0.0 ? grad[i] + weight_decay * data[i] : grad[i], 2.0, &st);
        if (st != MG_OK) {
            *n_good = i;
            return st;
        }
    }
    return MG_OK;
}
