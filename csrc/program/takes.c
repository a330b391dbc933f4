/* Gathering and scattering by index; program/takes.h says more. */
#include "program/takes.h"

static const mg_entry *join_of(const mg_strip *strip, uint32_t take) {
    const mg_entry *entries = strip->program->entries;
    return &entries[entries[take].a];
}

/* What the candidates that the lanes choose are in a workspace. Returns the first lane whose index
 * is the place of none, or the number of lanes. */
static size_t gather(const mg_strip *strip, const mg_workspace *from, const mg_step *step,
                     double *to) {
    const mg_entry *join = join_of(strip, step->entry);
    const mg_source *sources = strip->program->sources + join->a;
    const size_t lanes = from->lanes;
    const double *const index = strip->workspace->values + step->b * lanes;
    for (size_t l = 0; l < lanes; l++) {
        const uint32_t place = mg_place(index[l], join->b);
        if (place == join->b) return l;
        const mg_source source = sources[place];
        to[l] = source.in_lanes ? from->values[source.at * lanes + l] : from->weights[source.at];
    }
    return lanes;
}

mg_status mg_takes_forward(mg_strip *strip, const mg_step *steps, uint32_t n) {
    const mg_workspace *workspace = strip->workspace;
    const size_t lanes = workspace->lanes;
    for (const mg_step *step = steps; step < steps + n; step++) {
        const size_t lane = gather(strip, workspace, step, workspace->values + step->y * lanes);
        if (lane == lanes) continue;
        strip->failure = (mg_replay_failure){.row = strip->first_row + lane,
                                             .entry = step->entry,
                                             .a = workspace->values[step->b * lanes + lane],
                                             .b = join_of(strip, step->entry)->b};
        return MG_INDEX;
    }
    return MG_OK;
}

void mg_takes_tangents(const mg_strip *strip, const mg_step *steps, uint32_t n) {
    const mg_workspace *dual = strip->batch->tangent->dual;
    for (const mg_step *step = steps; step < steps + n; step++)
        gather(strip, dual, step, dual->values + step->y * dual->lanes);
}

void mg_takes_backward(const mg_strip *strip, double *adjoints, const mg_back_take *takes,
                       uint32_t n) {
    const size_t lanes = strip->workspace->lanes;
    for (const mg_back_take *take = takes; take < takes + n; take++) {
        const uint32_t n_candidates = join_of(strip, take->entry)->b;
        const double *const index = strip->workspace->values + take->index * lanes;
        const double *const g = adjoints + take->g * lanes;
        for (uint32_t f = 0; f < take->n_fresh; f++)
            for (size_t l = 0; l < lanes; l++) adjoints[take->fresh[f] * lanes + l] = 0.0;
        for (size_t l = 0; l < lanes; l++) {
            const uint32_t place = take->to ? mg_place(index[l], n_candidates) : n_candidates;
            if (place < n_candidates && take->to[place] != MG_ADJOINT_UNWANTED)
                adjoints[take->to[place] * lanes + l] += g[l];
            if (take->kept != MG_NO_SLOT) adjoints[take->kept * lanes + l] = g[l];
        }
    }
}
