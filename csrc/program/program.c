/* From a tape to a program: what must be computed, in which order, and the ways back. */
#include "base/memory.h"
#include "program/choices.h"
#include "program/schedule.h"
#include "program/workspace.h"

#include <string.h>

static void take_columns(mg_schedule *s) {
    const mg_tape *tape = &s->program->tape;
    /* An output that is a leaf gets two entries more. */
    const size_t room = tape->n_entries + 2 * (size_t)tape->n_outputs;
    s->entry = mg_pool_take(&s->columns, room, sizeof *s->entry);
    s->kind = mg_pool_take(&s->columns, room, sizeof *s->kind);
    s->is_output = mg_pool_take(&s->columns, room, sizeof *s->is_output);
    s->variable = mg_pool_take(&s->columns, room, sizeof *s->variable);
    s->active = mg_pool_take(&s->columns, room, sizeof *s->active);
    s->joined = mg_pool_take(&s->columns, room, sizeof *s->joined);
    s->n_uses = mg_pool_take(&s->columns, room, sizeof *s->n_uses);
    s->twin = mg_pool_take(&s->columns, room, sizeof *s->twin);
    s->slot = mg_pool_take(&s->columns, room, sizeof *s->slot);
    s->place = mg_pool_take(&s->columns, room, sizeof *s->place);
    s->candidates = mg_pool_take(&s->columns, tape->n_candidates, sizeof *s->candidates);
    s->sum_of = mg_pool_take(&s->columns, room, sizeof *s->sum_of);
    s->outputs = mg_pool_take(&s->columns, tape->n_outputs, sizeof *s->outputs);
    if (s->columns.failed) return;
    s->n = tape->n_entries;
    if (s->n > 0) memcpy(s->entry, tape->entries, s->n * sizeof *s->entry);
    if (tape->n_candidates > 0)
        memcpy(s->candidates, tape->candidates, tape->n_candidates * sizeof *s->candidates);
}

static void count(mg_schedule *s) {
    mg_program_stats *stats = &s->program->stats;
    for (uint32_t i = 0; i < s->program->tape.n_entries; i++) {
        stats->n_nodes++;
        stats->n_dropped += s->kind[i] == MG_KIND_UNUSED;
        stats->n_sums += s->kind[i] == MG_KIND_SUM;
    }
    stats->n_folded = s->n_folded;
    stats->n_shared = s->n_shared;
}

/* Steps carry their immediates' entry: the program keeps the entries that it computes with. */
static void keep_entries(mg_schedule *s) {
    mg_program *program = s->program;
    program->entries = mg_pool_take(&program->pool, s->n, sizeof *program->entries);
    program->immediates = mg_pool_take(&program->pool, s->n, sizeof *program->immediates);
    if (program->pool.failed) return;
    for (uint32_t i = 0; i < s->n; i++) {
        program->entries[i] = s->entry[i];
        program->immediates[i] = (mg_immediates){s->entry[i].k, s->entry[i].h};
    }
}

static void schedule(mg_schedule *s) {
    mg_program *program = s->program;
    const uint32_t n_outputs = program->tape.n_outputs;
    take_columns(s);
    if (mg_schedule_failed(s)) return;
    mg_simplify(s);
    if (mg_schedule_failed(s)) return;
    program->outputs = mg_pool_take(s->keep, n_outputs, sizeof *program->outputs);
    program->adjoint_plans = mg_pool_take(s->keep, n_outputs, sizeof *program->adjoint_plans);
    if (mg_schedule_failed(s)) return;
    mg_schedule_forward(s);
    if (mg_schedule_failed(s)) return;
    keep_entries(s);
    count(s);
}

static void free_schedule(mg_program *program) {
    if (!program->schedule) return;
    mg_pool_free(&program->schedule->work);
    mg_pool_free(&program->schedule->columns);
    mg_free(program->schedule);
    program->schedule = NULL;
}

const mg_adjoint_plan *mg_program_plan(mg_program *program, uint32_t output) {
    if (program->adjoint_plans[output]) return program->adjoint_plans[output];
    mg_adjoint_plan *plan = mg_adjoint_plan_new(program->schedule, output);
    if (!plan) return NULL;
    program->adjoint_plans[output] = plan;
    program->stats.n_bytes += plan->pool.n_bytes;
    if (++program->n_adjoint_plans == program->tape.n_outputs) free_schedule(program);
    return plan;
}

mg_program *mg_program_new(mg_tape *tape, mg_arithmetic arithmetic) {
    mg_program *program = mg_calloc(1, sizeof *program);
    if (!program) {
        mg_tape_free(tape);
        return NULL;
    }
    program->tape = *tape;
    program->has_choices = mg_tape_has_choices(tape);
    program->arithmetic = arithmetic;
    *tape = (mg_tape){0};
    program->schedule = mg_calloc(1, sizeof *program->schedule);
    if (program->schedule) {
        *program->schedule = (mg_schedule){.program = program, .keep = &program->pool};
        schedule(program->schedule);
    }
    if (!program->schedule || mg_schedule_failed(program->schedule)) {
        mg_program_free(program);
        return NULL;
    }
    mg_pool_free(&program->schedule->work);
    program->stats.n_bytes = program->pool.n_bytes;
    /* Of several outputs there may be more than anybody wants the gradients of. */
    if (program->tape.n_outputs == 1 && !mg_program_plan(program, 0)) {
        mg_program_free(program);
        return NULL;
    }
    return program;
}

void mg_program_free(mg_program *program) {
    mg_workspaces_free(program);
    for (uint32_t o = 0; program->adjoint_plans && o < program->tape.n_outputs; o++)
        if (program->adjoint_plans[o]) mg_adjoint_plan_free(program->adjoint_plans[o]);
    free_schedule(program);
    mg_tape_free(&program->tape);
    mg_pool_free(&program->pool);
    mg_free(program);
}
