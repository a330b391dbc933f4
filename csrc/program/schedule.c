/* The forward pass of a program: runs of steps, blocks of sums, slots for the values. */
#include "program/schedule.h"

#include <string.h>

/* The bytes of a key, the least first. */
enum { N_DIGITS = 8 };

static uint32_t digit(const mg_unit *unit, unsigned d) {
    return (d < 4 ? unit->key.kind : unit->key.level) >> d % 4 * 8 & 0xff;
}

/* A radix sort, which takes time in proportion to the units, and keeps their order. */
void mg_sort_units(mg_unit *units, uint32_t n, mg_unit *room) {
    uint32_t counts[N_DIGITS][256] = {{0}};
    for (uint32_t u = 0; u < n; u++)
        for (unsigned d = 0; d < N_DIGITS; d++) counts[d][digit(&units[u], d)]++;
    mg_unit *from = units, *to = room;
    for (unsigned d = 0; d < N_DIGITS && n > 0; d++) {
        uint32_t *const place = counts[d];
        if (place[digit(from, d)] == n) continue;
        uint32_t next = 0;
        for (unsigned value = 0; value < 256; value++) {
            const uint32_t count = place[value];
            place[value] = next;
            next += count;
        }
        for (uint32_t u = 0; u < n; u++) to[place[digit(&from[u], d)]++] = from[u];
        mg_unit *const sorted = to;
        to = from;
        from = sorted;
    }
    if (from != units) memcpy(units, from, n * sizeof *units);
}

uint32_t mg_units_of_run(const mg_unit *units, uint32_t n) {
    uint32_t end = 1;
    while (end < n && mg_same_run(units[end].key, units[0].key)) end++;
    return end;
}

/* The slot of a value; a leaf gets one when it is first asked for. */
static mg_slot value_slot(mg_schedule *s, uint32_t i) {
    mg_program *program = s->program;
    i = s->twin[i];
    if (s->slot[i] != MG_NO_SLOT) return s->slot[i];
    s->slot[i] = program->n_slots++;
    if (s->kind[i] == MG_KIND_CONSTANT) {
        program->constant_slots[program->n_constants] = s->slot[i];
        program->constants[program->n_constants++] = s->entry[i].k;
    } else if (s->kind[i] == MG_KIND_PARAMETER) {
        program->parameter_slots[program->n_lane_parameters] = s->slot[i];
        program->lane_parameters[program->n_lane_parameters++] = s->entry[i].a;
    }
    return s->slot[i];
}

mg_slot mg_first_of_run(const mg_slot *slots, uint32_t n) {
    for (uint32_t i = 1; i < n; i++)
        if (slots[i] != slots[0] + i) return MG_NO_SLOT;
    return slots[0];
}

/* The later of `latest` and the run that gives an operand. What no input reaches has been done
 * before the first strip, so only operands of the entry's own phase count. */
static mg_run_key later(const mg_schedule *s, const mg_run_key *key, uint32_t i, uint32_t operand,
                        mg_run_key latest) {
    const mg_run_key k = key[s->twin[operand]];
    if (s->variable[operand] != s->variable[i]) return latest;
    return mg_run_is_before(latest, k) ? k : latest;
}

/* The first run that an entry can be in: after its operands. A step may follow its operand in the
 * same run, as they are done one by one; the rows of a block are done at once, so a sum may not.
 */
static mg_run_key run_after_operands(const mg_schedule *s, uint32_t i, const mg_run_key *key) {
    mg_run_key latest = {0, 0};
    if (s->kind[i] != MG_KIND_SUM) {
        const uint32_t *operands;
        const uint32_t n_operands = mg_operands_of(s, i, &operands);
        for (uint32_t j = 0; j < n_operands; j++) latest = later(s, key, i, operands[j], latest);
        /* A JOIN is in no run. */
        return s->kind[i] == MG_KIND_JOIN ? latest : mg_run_not_before(latest, s->entry[i].op);
    }
    const uint32_t kind = mg_run_kind(s, i);
    const mg_sum *sum = &s->sums[s->sum_of[i]];
    for (uint32_t j = 0; j < sum->n_in; j++) latest = later(s, key, i, sum->x[j], latest);
    latest = later(s, key, i, sum->start, latest);
    mg_run_key run = mg_run_not_before(latest, kind);
    if (mg_same_run(run, latest)) run.level++;
    return run;
}

static void place_weight(mg_schedule *s, uint32_t at, uint32_t leaf) {
    mg_program *program = s->program;
    if (s->kind[leaf] == MG_KIND_PARAMETER)
        program->weight_parameters[at] = s->entry[leaf].a;
    else
        program->weight_constants[at] = s->entry[leaf].k;
}

static void place_weights(mg_schedule *s, mg_sum *sum, uint32_t offset) {
    mg_program *program = s->program;
    sum->weights = offset;
    for (uint32_t j = 0; j < sum->n_in; j++) place_weight(s, offset + j, sum->w[j]);
    if (mg_start_is_weight(s, sum)) place_weight(s, offset + sum->n_in, sum->start);
    for (uint32_t j = 0; sum->alone && j <= sum->n_in; j++) {
        const uint32_t leaf = j < sum->n_in ? sum->w[j] : sum->start;
        if (s->kind[leaf] == MG_KIND_PARAMETER)
            program->parameter_weight[s->entry[leaf].a] = offset + j;
    }
}

static void emit_block(mg_schedule *s, const mg_unit *units, uint32_t n, mg_sums *block) {
    mg_program *program = s->program;
    const mg_sum *first = &s->sums[s->sum_of[units[0].entry]];
    const uint32_t n_in = first->n_in;
    uint32_t *tops = mg_pool_take(s->keep, n, sizeof *tops);
    *block = (mg_sums){.n_rows = n, .n_in = n_in, .tops = tops, .weights = program->n_weights};
    block->x = mg_pool_take(s->keep, n_in, sizeof *block->x);
    if (!mg_start_is_weight(s, first)) block->start = mg_pool_take(s->keep, n, sizeof(mg_slot));
    if (s->keep->failed) return;
    for (uint32_t j = 0; j < n_in; j++) block->x[j] = value_slot(s, first->x[j]);
    block->x_first = mg_first_of_run(block->x, n_in);
    for (uint32_t r = 0; r < n; r++) {
        mg_sum *sum = &s->sums[s->sum_of[units[r].entry]];
        tops[r] = sum->top;
        if (block->start) block->start[r] = value_slot(s, sum->start);
        place_weights(s, sum, program->n_weights);
        program->n_weights += n_in + 1;
    }
    block->out = program->n_slots;
    for (uint32_t r = 0; r < n; r++) s->slot[tops[r]] = program->n_slots++;
    if (n > program->largest_block) program->largest_block = n;
    if (n_in > program->largest_block) program->largest_block = n_in;
}

/* The first operand of a TAKE, a JOIN, has no value; those of a FUNCTION are listed. */
static void emit_step(mg_schedule *s, uint32_t i, mg_step *step) {
    const mg_entry *e = &s->entry[i];
    *step = (mg_step){.entry = i};
    if (e->op != MG_TAKE && e->arity > 0) step->a = value_slot(s, e->a);
    if (e->arity == 2) step->b = value_slot(s, e->b);
    step->y = s->slot[i] = s->program->n_slots++;
}

/* Give the leaves among the candidates places, row by row of tables whose columns are JOINs: so
 * that neighbours in the arena are neighbours here. Returns how many there are. */
static uint32_t give_candidates_places(mg_schedule *s) {
    uint32_t *joins = mg_pool_take(&s->work, s->n, sizeof *joins);
    uint32_t n_joins = 0, n_places = 0;
    if (!joins) return 0;
    for (uint32_t i = 0; i < s->n; i++) {
        s->place[i] = UINT32_MAX;
        if (s->kind[i] == MG_KIND_JOIN) joins[n_joins++] = i;
    }
    for (uint32_t row = 0; n_joins > 0; row++) {
        uint32_t n_longer = 0;
        for (uint32_t j = 0; j < n_joins; j++) {
            const mg_entry *join = &s->entry[joins[j]];
            const uint32_t candidate = s->candidates[join->a + row];
            if (mg_is_weight(s, candidate) && s->place[candidate] == UINT32_MAX)
                s->place[candidate] = n_places++;
            if (row + 1 < join->b) joins[n_longer++] = joins[j];
        }
        n_joins = n_longer;
    }
    return n_places;
}

/* Put the candidates that are leaves at their places, before all blocks. */
static void place_candidates(mg_schedule *s, uint32_t n_places) {
    s->program->n_weights = n_places;
    for (uint32_t i = 0; n_places > 0 && i < s->n; i++)
        if (s->place[i] != UINT32_MAX) place_weight(s, s->place[i], i);
}

/* A FUNCTION's operands have lanes. */
static void find_function_sources(mg_schedule *s, uint32_t i) {
    const mg_entry *e = &s->entry[i];
    for (uint32_t j = 0; j < e->b; j++)
        s->program->sources[e->a + j] = (mg_source){value_slot(s, s->candidates[e->a + j]), 1};
}

/* Where all listed operands are; after everything has got its slot. */
static void find_sources(mg_schedule *s) {
    mg_program *program = s->program;
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->kind[i] == MG_KIND_STEP && s->entry[i].op == MG_FUNCTION)
            find_function_sources(s, i);
        const mg_entry *join = &s->entry[i];
        for (uint32_t j = 0; s->kind[i] == MG_KIND_JOIN && j < join->b; j++) {
            const uint32_t candidate = s->candidates[join->a + j];
            const uint32_t place = s->place[candidate];
            program->sources[join->a + j] = place != UINT32_MAX
                                                ? (mg_source){place, 0}
                                                : (mg_source){value_slot(s, candidate), 1};
        }
    }
}

static void take_rooms(mg_schedule *s, uint32_t n_steps, uint32_t n_sums, uint32_t n_places) {
    mg_program *program = s->program;
    uint32_t n_constants = 0;
    size_t n_weights = n_places;
    for (uint32_t i = 0; i < s->n; i++) n_constants += s->kind[i] == MG_KIND_CONSTANT;
    for (uint32_t i = 0; i < s->n_sums; i++) n_weights += s->sums[i].n_in + 1;
    program->constant_slots = mg_pool_take(s->keep, n_constants, sizeof(mg_slot));
    program->constants = mg_pool_take(s->keep, n_constants, sizeof(double));
    program->parameter_slots = mg_pool_take(s->keep, program->tape.n_parameters, sizeof(mg_slot));
    program->lane_parameters = mg_pool_take(s->keep, program->tape.n_parameters, sizeof(uint32_t));
    program->weight_parameters = mg_pool_take(s->keep, n_weights, sizeof(uint32_t));
    program->weight_constants = mg_pool_take(s->keep, n_weights, sizeof(double));
    program->parameter_weight =
        mg_pool_take(s->keep, program->tape.n_parameters, sizeof(uint32_t));
    program->steps = mg_pool_take(s->keep, n_steps, sizeof(mg_step));
    program->sums = mg_pool_take(s->keep, n_sums, sizeof(mg_sums));
    program->runs = mg_pool_take(s->keep, (size_t)n_steps + n_sums, sizeof(mg_step_run));
    program->sources = mg_pool_take(s->keep, program->tape.n_candidates, sizeof *program->sources);
    if (s->keep->failed) return;
    memset(program->weight_parameters, 0xff, n_weights * sizeof(uint32_t));
    memset(program->parameter_weight, 0xff, program->tape.n_parameters * sizeof(uint32_t));
}

static void list_loose_parameters(mg_schedule *s) {
    mg_program *program = s->program;
    uint32_t n = 0;
    for (uint32_t i = 0; i < program->tape.n_parameters; i++)
        n += program->parameter_weight[i] == UINT32_MAX;
    program->loose_parameters = mg_pool_take(s->keep, n, sizeof(uint32_t));
    if (s->keep->failed) return;
    for (uint32_t i = 0; i < program->tape.n_parameters; i++)
        if (program->parameter_weight[i] == UINT32_MAX)
            program->loose_parameters[program->n_loose_parameters++] = i;
}

/* The nodes of a sum that goes back node by node need their operands' values, or at least a place
 * where they would be. */
static void take_slots_for_apart_sums(mg_schedule *s) {
    for (uint32_t i = 0; i < s->n; i++) {
        const int is_part = s->kind[i] == MG_KIND_SUM || s->kind[i] == MG_KIND_INNER;
        if (!is_part || !s->active[i] || !s->sums[s->sum_of[i]].apart) continue;
        value_slot(s, s->entry[i].a);
        value_slot(s, s->entry[i].b);
    }
}

void mg_schedule_forward(mg_schedule *s) {
    mg_program *program = s->program;
    mg_unit *units = mg_pool_take(&s->work, s->n, sizeof *units);
    mg_unit *room = mg_pool_take(&s->work, s->n, sizeof *room);
    mg_run_key *key = mg_pool_take(&s->work, s->n, sizeof *key);
    if (s->work.failed) return;
    uint32_t n_units = 0, n_sums = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        s->slot[i] = MG_NO_SLOT;
        if (s->kind[i] == MG_KIND_INPUT) s->slot[i] = program->n_slots++;
        if (s->kind[i] == MG_KIND_JOIN) key[i] = run_after_operands(s, i, key);
        if (s->kind[i] != MG_KIND_SUM && s->kind[i] != MG_KIND_STEP) continue;
        if (s->twin[i] != i) continue;
        n_sums += s->kind[i] == MG_KIND_SUM;
        key[i] = run_after_operands(s, i, key);
        mg_unit *const unit = &units[n_units++];
        *unit = (mg_unit){.key = key[i], .entry = i};
        if (s->variable[i]) unit->key.level += MG_VARIABLE_LEVEL;
    }
    mg_sort_units(units, n_units, room);
    const uint32_t n_places = give_candidates_places(s);
    if (s->work.failed) return;
    take_rooms(s, n_units - n_sums, n_sums, n_places);
    if (s->keep->failed) return;
    place_candidates(s, n_places);

    uint32_t n_steps = 0, n_blocks = 0, n_runs = 0;
    for (uint32_t first = 0, end; first < n_units && !s->keep->failed; first = end) {
        end = first + mg_units_of_run(units + first, n_units - first);
        mg_step_run *run = &program->runs[n_runs++];
        *(s->variable[units[first].entry] ? &program->n_variable : &program->n_uniform) += 1;
        if (s->kind[units[first].entry] == MG_KIND_SUM) {
            *run = (mg_step_run){n_blocks, 1, MG_SUMS_RUN};
            emit_block(s, units + first, end - first, &program->sums[n_blocks++]);
        } else {
            *run = (mg_step_run){n_steps, end - first, s->entry[units[first].entry].op};
            for (uint32_t u = first; u < end; u++)
                emit_step(s, units[u].entry, &program->steps[n_steps++]);
        }
    }
    for (uint32_t o = 0; o < program->tape.n_outputs; o++)
        program->outputs[o] = value_slot(s, s->outputs[o]);
    take_slots_for_apart_sums(s);
    find_sources(s);
    list_loose_parameters(s);
    program->stats.n_steps = n_steps;
    program->stats.n_blocks = n_blocks;
    program->stats.n_runs = n_runs;
}
