/* What the parts of the scheduler know about a tape while they make a program of it:
 * program/simplify.c finds out what must be computed, program/schedule.c in which order, and
 * program/adjoint_plan.c how the gradients come back. */
#ifndef MG_SCHEDULE_H
#define MG_SCHEDULE_H

#include "program/program.h"

typedef enum {
    MG_KIND_UNUSED, /* no output needs it */
    MG_KIND_CONSTANT,
    MG_KIND_INPUT,
    MG_KIND_PARAMETER,
    MG_KIND_STEP,
    MG_KIND_SUM,   /* the last addition of a sum of products */
    MG_KIND_INNER, /* a product or an earlier addition of a sum */
} mg_kind;

/* One sum of products. */
typedef struct {
    uint32_t top, start, n_in; /* entries */
    uint32_t *x, *w;           /* n_in entries each */
    uint32_t *products;        /* n_in entries */
    uint32_t first_addition;   /* the entry that adds the start */
    uint32_t group;            /* sums of the same x have the same */
    uint32_t weights;          /* offset of its numbers */
    int apart;                 /* goes back node by node: the order would change otherwise */
    int alone;                 /* its parameters are used nowhere else */
} mg_sum;

typedef struct {
    mg_program *program;
    mg_pool *keep; /* for what the program owns */
    mg_pool work;  /* for what only the making of it needs */

    uint32_t n;      /* entries, those that the outputs have been given included */
    mg_entry *entry; /* a copy, with constants folded */
    uint8_t *kind;   /* mg_kind */
    uint8_t *is_output;
    uint8_t *variable; /* depends on an input */
    uint8_t *active;   /* leads to an input, a parameter, or a step that would raise */
    uint32_t *n_uses;
    uint32_t *twin;   /* the first entry with the same value */
    mg_slot *slot;    /* of the value */
    uint32_t *sum_of; /* number of the sum that an entry is the last addition or a part of */
    uint32_t *outputs;
    mg_sum *sums;
    uint32_t n_sums, n_groups;
    uint32_t n_folded, n_shared;

    /* The sweep from one output: its entries, root first, and where each stands in it. */
    uint32_t *sweep, *position;
    uint32_t n_sweep;
    struct mg_visit *visits; /* the stack that finds it */
} mg_schedule;

struct mg_visit {
    uint32_t entry, next;
};

/* A node's place among the runs: level, then kind of run, then position. */
typedef struct {
    uint64_t key;
    uint32_t position, entry;
} mg_unit;

#define MG_KEY_KIND_BITS 28

/* The first key of a run of this kind that is not below `key`. */
static inline uint64_t mg_key_at_least(uint64_t key, uint32_t kind) {
    uint64_t level = key >> MG_KEY_KIND_BITS;
    if ((key & ((UINT64_C(1) << MG_KEY_KIND_BITS) - 1)) > kind) level++;
    return level << MG_KEY_KIND_BITS | kind;
}

/* The kind of run of an elementwise step, or of a sum. */
static inline uint32_t mg_run_kind(const mg_schedule *s, uint32_t i) {
    return s->kind[i] == MG_KIND_SUM ? (uint32_t)MG_N_OPS + s->sums[s->sum_of[i]].group
                                     : s->entry[i].op;
}

void mg_sort_units(mg_unit *units, uint32_t n);

static inline int mg_is_leaf(const mg_schedule *s, uint32_t i) {
    return s->kind[i] == MG_KIND_CONSTANT || s->kind[i] == MG_KIND_INPUT ||
           s->kind[i] == MG_KIND_PARAMETER;
}

/* Whether a sum's start has its place among the weights, like its w. */
static inline int mg_start_is_weight(const mg_schedule *s, const mg_sum *sum) {
    return s->kind[sum->start] == MG_KIND_CONSTANT || s->kind[sum->start] == MG_KIND_PARAMETER;
}

/* Fold, drop, find sums, share. Nothing is left to do where s->work.failed. */
void mg_simplify(mg_schedule *s);

/* The forward runs and the slots of the values. */
void mg_schedule_forward(mg_schedule *s);

/* The slot of a value; a leaf gets one when it is first asked for. */
mg_slot mg_value_slot(mg_schedule *s, uint32_t i);

/* Where `n` slots follow each other, the first of them, else MG_NO_SLOT. */
mg_slot mg_first_of_run(const mg_slot *slots, uint32_t n);

/* Mark the sums whose shares would come too early for some other. Before the forward runs. */
void mg_adjoint_plan_check_sums(mg_schedule *s);

/* The way back from one output. After the forward runs. */
void mg_adjoint_plan_make(mg_schedule *s, uint32_t output);

#endif
