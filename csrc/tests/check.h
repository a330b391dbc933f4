/* A minimal test runner: CHECK counts, RUN names. */
#ifndef MG_TESTS_CHECK_H
#define MG_TESTS_CHECK_H

#include <stdio.h>

extern int checks_failed;

#define CHECK(condition)                                                                          \
    do {                                                                                          \
        if (!(condition)) {                                                                       \
            printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);                                \
            checks_failed++;                                                                      \
        }                                                                                         \
    } while (0)

void test_operations(void);
void test_arena(void);
void test_take(void);
void test_order(void);
void test_backward(void);
void test_block(void);
void test_call(void);
void test_fusion(void);
void test_optim(void);
void test_tiles(void);
void test_program(void);
void test_stamp(void);
void test_functions(void);
void test_choices(void);

/* An arena for one test: no handles, layers attached. */
#include "graph/backward.h"
mg_arena *test_arena_new(void);

/* End a test: every node must be gone. */
void test_arena_end(mg_arena *arena);

/* Deterministic numbers in [-2, 2). */
double test_random(void);

#endif
