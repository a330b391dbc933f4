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
    MG_KIND_JOIN, /* what TAKEs choose from: nothing to be computed */
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

typedef struct mg_schedule {
    mg_program *program;
    mg_pool *keep;   /* for what the program owns */
    mg_pool columns; /* for what the ways back are made from */
    mg_pool work;    /* for what is over when the forward pass has been made */

    uint32_t n;           /* entries, those that the outputs have been given included */
    mg_entry *entry;      /* a copy, with constants folded */
    uint32_t *candidates; /* listed operands: a copy, too */
    uint8_t *kind;        /* mg_kind */
    uint8_t *is_output;
    uint8_t *variable; /* depends on an input */
    uint8_t *active;   /* leads to an input, a parameter, or a step that would raise */
    uint8_t *joined;   /* a candidate of some JOIN */
    uint32_t *n_uses;
    uint32_t *twin;   /* the first entry with the same value */
    mg_slot *slot;    /* of the value */
    uint32_t *place;  /* of a candidate that is a leaf, among the weights */
    uint32_t *sum_of; /* number of the sum that an entry is the last addition or a part of */
    uint32_t *outputs;
    mg_sum *sums;
    uint32_t n_sums, n_groups;
    uint32_t n_folded, n_shared;
} mg_schedule;

/* What an entry is computed from, and how many these are. */
static inline uint32_t mg_operands_of(const mg_schedule *s, uint32_t i,
                                      const uint32_t **operands) {
    return mg_entry_operands(&s->entry[i], s->candidates, operands);
}

/* Which run a step or sum is in: runs are sorted by level, those of a level by kind. */
typedef struct {
    uint32_t level, kind;
} mg_run_key;

static inline int mg_same_run(mg_run_key one, mg_run_key other) {
    return one.level == other.level && one.kind == other.kind;
}

static inline int mg_run_is_before(mg_run_key one, mg_run_key other) {
    return one.level != other.level ? one.level < other.level : one.kind < other.kind;
}

/* The first run of this kind that is not before `earliest`. */
static inline mg_run_key mg_run_not_before(mg_run_key earliest, uint32_t kind) {
    return (mg_run_key){earliest.level + (earliest.kind > kind), kind};
}

/* A step or sum on its way into a run. */
typedef struct {
    mg_run_key key;
    uint32_t entry;
} mg_unit;

/* What is added to the level of units that an input reaches: the others come first. */
#define MG_VARIABLE_LEVEL (UINT32_C(1) << 31)

/* How many units from the first on are in one run. */
uint32_t mg_units_of_run(const mg_unit *units, uint32_t n);

/* The kind of run of an elementwise step, or of a sum. */
static inline uint32_t mg_run_kind(const mg_schedule *s, uint32_t i) {
    return s->kind[i] == MG_KIND_SUM ? (uint32_t)MG_N_OPS + s->sums[s->sum_of[i]].group
                                     : s->entry[i].op;
}

/* Sort units by their keys; those of a run stay in order. `room` is for as many. */
void mg_sort_units(mg_unit *units, uint32_t n, mg_unit *room);

static inline int mg_is_leaf(const mg_schedule *s, uint32_t i) {
    return s->kind[i] == MG_KIND_CONSTANT || s->kind[i] == MG_KIND_INPUT ||
           s->kind[i] == MG_KIND_PARAMETER;
}

/* Whether an entry can have its place among the weights. */
static inline int mg_is_weight(const mg_schedule *s, uint32_t i) {
    return s->kind[i] == MG_KIND_CONSTANT || s->kind[i] == MG_KIND_PARAMETER;
}

/* Whether a sum's start has its place among the weights, like its w. */
static inline int mg_start_is_weight(const mg_schedule *s, const mg_sum *sum) {
    return mg_is_weight(s, sum->start);
}

/* Whether a sum gives all its shares at once, on the way back. */
static inline int mg_goes_back_whole(const mg_schedule *s, uint32_t i) {
    return s->kind[i] == MG_KIND_SUM && !s->sums[s->sum_of[i]].apart;
}

/* Whether memory has run out: nothing is left to do then. */
static inline int mg_schedule_failed(const mg_schedule *s) {
    return s->work.failed || s->columns.failed || s->keep->failed;
}

/* Fold, drop, find sums, share. */
void mg_simplify(mg_schedule *s);

/* The forward runs and the slots of the values. */
void mg_schedule_forward(mg_schedule *s);

/* Where `n` slots follow each other, the first of them, else MG_NO_SLOT. */
mg_slot mg_first_of_run(const mg_slot *slots, uint32_t n);

/* Mark the sums whose shares would come too early for some other. Before the forward runs. */
void mg_adjoint_plan_check_sums(mg_schedule *s);

/* The way back from one output, or NULL when memory is out. After the forward runs, which it
 * leaves as they are. */
mg_adjoint_plan *mg_adjoint_plan_new(const mg_schedule *s, uint32_t output);
void mg_adjoint_plan_free(mg_adjoint_plan *plan);

#endif
