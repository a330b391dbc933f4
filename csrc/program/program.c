/* From a tape to a program: what must be computed, in which order, and the ways back. */
#include "program/schedule.h"

#include <string.h>

static void take_columns(mg_schedule *s) {
    const mg_tape *tape = &s->program->tape;
    /* An output that is a leaf gets two entries more. */
    const size_t room = tape->n_entries + 2 * (size_t)tape->n_outputs;
    s->entry = mg_pool_take(&s->work, room, sizeof *s->entry);
    s->kind = mg_pool_take(&s->work, room, sizeof *s->kind);
    s->is_output = mg_pool_take(&s->work, room, sizeof *s->is_output);
    s->variable = mg_pool_take(&s->work, room, sizeof *s->variable);
    s->active = mg_pool_take(&s->work, room, sizeof *s->active);
    s->n_uses = mg_pool_take(&s->work, room, sizeof *s->n_uses);
    s->twin = mg_pool_take(&s->work, room, sizeof *s->twin);
    s->slot = mg_pool_take(&s->work, room, sizeof *s->slot);
    s->sum_of = mg_pool_take(&s->work, room, sizeof *s->sum_of);
    s->outputs = mg_pool_take(&s->work, tape->n_outputs, sizeof *s->outputs);
    if (s->work.failed) return;
    s->n = tape->n_entries;
    if (s->n > 0) memcpy(s->entry, tape->entries, s->n * sizeof *s->entry);
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
    take_columns(s);
    if (s->work.failed) return;
    mg_simplify(s);
    if (s->work.failed) return;
    program->outputs = mg_pool_take(s->keep, program->tape.n_outputs, sizeof(mg_slot));
    program->adjoint_plans =
        mg_pool_take(s->keep, program->tape.n_outputs, sizeof(mg_adjoint_plan));
    if (s->keep->failed) return;
    mg_schedule_forward(s);
    for (uint32_t o = 0; o < program->tape.n_outputs; o++) {
        if (s->work.failed || s->keep->failed) return;
        mg_adjoint_plan_make(s, o);
    }
    keep_entries(s);
    count(s);
}

mg_program *mg_program_new(mg_tape *tape) {
    mg_program *program = mg_calloc(1, sizeof *program);
    if (!program) {
        mg_tape_free(tape);
        return NULL;
    }
    program->tape = *tape;
    *tape = (mg_tape){0};
    mg_schedule s = {.program = program, .keep = &program->pool};
    schedule(&s);
    const int failed = s.work.failed || program->pool.failed;
    mg_pool_free(&s.work);
    if (failed) {
        mg_program_free(program);
        return NULL;
    }
    program->stats.n_bytes = program->pool.n_bytes;
    return program;
}

void mg_program_free(mg_program *program) {
    mg_tape_free(&program->tape);
    mg_pool_free(&program->pool);
    mg_free(program);
}
