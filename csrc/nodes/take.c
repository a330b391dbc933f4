/* Making of choices; nodes/take.h says what they are. */
#include "nodes/take.h"

#include <string.h>

mg_node mg_arena_join(mg_arena *arena, const mg_node *candidates, uint32_t n_candidates) {
    mg_extra *extra = mg_extra_new(n_candidates, 0);
    if (!extra) return MG_NO_NODE;
    memcpy(mg_extra_operands(extra), candidates, n_candidates * sizeof *candidates);
    const mg_node join = mg_arena_node_extra(arena, MG_JOIN, MG_NO_NODE, extra, 0.0);
    if (join == MG_NO_NODE) mg_free(extra);
    return join;
}

mg_node mg_arena_take_one(mg_arena *arena, mg_node join, mg_node index) {
    const mg_node *candidates;
    const uint32_t n = mg_node_operands(arena, join, &candidates);
    const double value = arena->data[candidates[mg_place(arena->data[index], n)]];
    return mg_arena_node(arena, MG_TAKE, join, index, 0.0, value);
}
