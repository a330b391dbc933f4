/* Tiles of every instruction set and rounding against sums one by one, in rooms of just the right
 * size. */
#include "tests/check.h"

#include "loops/loops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_TRIALS = 60 };

static double *numbers(size_t n) {
    double *room = malloc(n * sizeof *room);
    for (size_t i = 0; i < n; i++) room[i] = test_random();
    return room;
}

static double *copied(const double *from, size_t n) {
    double *room = malloc(n * sizeof *room);
    memcpy(room, from, n * sizeof *room);
    return room;
}

static size_t from_1_to(size_t most) {
    const size_t n = 1 + (size_t)((test_random() + 2.0) / 4.0 * (double)most);
    return n > most ? most : n;
}

/* Whether all numbers are as wanted: to the bit, or with an error that 40 terms of at most 4 can
 * come to. */
static int near(const double *found, const double *wanted, size_t n, double most) {
    for (size_t i = 0; i < n; i++)
        if (!(fabs(found[i] - wanted[i]) <= most)) return 0;
    return 1;
}

/* Rows of weights one number more than n_in apart, as in a program; lanes of 8 and more. */
static void compare(const mg_tile_loops *tiles, double most) {
    const size_t n_rows = from_1_to(21), n_in = from_1_to(37), lanes = 8 * from_1_to(8);
    const size_t n_lanes = from_1_to(lanes), stride = n_in + 1, padded = (stride + 7) / 8 * 8;
    const size_t largest = n_rows > n_in ? n_rows : n_in;
    double *room = malloc(mg_single_tiles_room(largest, lanes) * sizeof *room);
    double *w = numbers(n_rows * stride), *x = numbers(n_in * lanes), *g = numbers(n_rows * lanes);
    double *turned = numbers(n_lanes * padded), *sums = numbers(n_rows * lanes);
    double *by_x = numbers(n_in * lanes), *by_w = numbers(n_rows * stride);
    double *found_sums = copied(sums, n_rows * lanes), *found_by_x = copied(by_x, n_in * lanes);
    double *found_by_w = copied(by_w, n_rows * stride);
    uint32_t *offsets = malloc(n_rows * sizeof *offsets);
    for (size_t r = 0; r < n_rows; r++) offsets[r] = (uint32_t)((n_rows - 1 - r) * stride);

    for (size_t r = 0; r < n_rows; r++)
        for (size_t i = 0; i < n_in; i++)
            for (size_t l = 0; l < lanes; l++)
                sums[r * lanes + l] += w[r * stride + i] * x[i * lanes + l];
    for (size_t r = 0; r < n_rows; r++)
        for (size_t i = 0; i < n_in; i++)
            for (size_t l = 0; l < lanes; l++)
                by_x[i * lanes + l] += w[offsets[r] + i] * g[r * lanes + l];
    for (size_t l = 0; l < n_lanes; l++)
        for (size_t r = 0; r < n_rows; r++)
            for (size_t i = 0; i < stride; i++)
                by_w[offsets[r] + i] += turned[l * padded + i] * g[r * lanes + l];

    tiles->sum_rows(w, stride, n_rows, x, lanes, n_in, found_sums, room);
    tiles->add_to_inputs(w, offsets, n_rows, g, lanes, found_by_x, n_in, room);
    tiles->add_to_weights(found_by_w, offsets, n_rows, g, lanes, turned, padded, stride, n_lanes,
                          room);
    CHECK(near(found_sums, sums, n_rows * lanes, most));
    CHECK(near(found_by_x, by_x, n_in * lanes, most));
    CHECK(near(found_by_w, by_w, n_rows * stride, most));
    double *all[] = {room, w, x, g, turned, sums, by_x, by_w, found_sums, found_by_x, found_by_w};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(offsets);
}

/* In a room for all lanes, and not a number more. */
static void compare_transposed(const mg_loops *loops) {
    const size_t n = from_1_to(37), lanes = 8 * from_1_to(8), n_lanes = from_1_to(lanes);
    const size_t stride = n + from_1_to(8) - 1;
    double *x = numbers(n * lanes), *found = numbers(lanes * stride);
    double *before = copied(found, lanes * stride);
    loops->transpose(x, n, lanes, n_lanes, found, stride);
    int as_wanted = 1;
    for (size_t l = 0; l < lanes; l++)
        for (size_t i = 0; i < stride; i++) {
            const double is = found[l * stride + i], was = before[l * stride + i];
            if (i >= n || l >= (n_lanes + 3) / 4 * 4)
                as_wanted &= is == was;
            else if (l < n_lanes)
                as_wanted &= is == x[i * lanes + l];
        }
    CHECK(as_wanted);
    double *all[] = {x, found, before};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

void test_tiles(void) {
    size_t n;
    const mg_loops *const *sets = mg_loops_available(&n);
    for (size_t i = 0; i < n; i++) {
        for (int trial = 0; trial < N_TRIALS; trial++) {
            compare_transposed(sets[i]);
            compare(&sets[i]->tiles, 0.0);
            compare(&sets[i]->fast->tiles, 1e-12);
            compare(&sets[i]->fast->single_tiles, 1e-3);
        }
    }
}
