/* Runs every test file and closes with a count. */
#include "tests/check.h"

#include <stdlib.h>

int checks_failed;

mg_arena *test_arena_new(void) {
    mg_arena *arena = malloc(sizeof *arena);
    mg_arena_init(arena);
    mg_layer_attach(arena);
    return arena;
}

void test_arena_end(mg_arena *arena) {
    CHECK(arena->n_live == 0);
    mg_arena_destroy(arena);
    free(arena);
}

double test_random(void) {
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) / 9007199254740992.0 * 4.0 - 2.0;
}

int main(void) {
    struct {
        const char *name;
        void (*run)(void);
    } tests[] = {
        {"operations", test_operations},
        {"arena", test_arena},
        {"take", test_take},
        {"order", test_order},
        {"backward", test_backward},
        {"block", test_block},
        {"call", test_call},
        {"fusion", test_fusion},
        {"optim", test_optim},
        {"tiles", test_tiles},
        {"program", test_program},
        {"stamp", test_stamp},
        {"functions", test_functions},
        {"choices", test_choices},
    };
    int n = sizeof tests / sizeof *tests, n_failed = 0;
    for (int i = 0; i < n; i++) {
        int before = checks_failed;
        tests[i].run();
        int failed = checks_failed > before;
        n_failed += failed;
        printf("%s: %s\n", tests[i].name, failed ? "FAILED" : "ok");
    }
    printf("%d passed, %d failed\n", n - n_failed, n_failed);
    return n_failed > 0;
}
