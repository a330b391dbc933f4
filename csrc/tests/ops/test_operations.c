/* Every row of the table against a central difference, and Python's powers. */
#include "tests/check.h"

#include "ops/power.h"

#include <string.h>

/* At random points: where there is a value on both sides, and neither a corner nor a pole near. */
static void adjoints_match_differences(void) {
    for (int op = MG_ADD; op < MG_N_OPS; op++) {
        if (op == MG_DETACH) continue; /* its slope is stated, not that of its value */
        const mg_op_info *info = &mg_ops[op];
        int compared = 0;
        for (int trial = 0; trial < 200; trial++) {
            const double a = test_random(), b = test_random(), h = 1e-6;
            const double low = info->n_immediates == 2 ? -1.0 : 0.3, high = 1.0;
            if (fabs(a) < 1e-3 || fabs(fabs(a) - 1.0) < 1e-3 || fabs(a - b) < 1e-3) continue;
            mg_status st = MG_OK;
#define VALUE(a, b) mg_op_value((mg_op)op, a, b, low, high, &st)
            const double y = VALUE(a, b);
            const double da = (VALUE(a + h, b) - VALUE(a - h, b)) / (2 * h);
            const double db = (VALUE(a, b + h) - VALUE(a, b - h)) / (2 * h);
#undef VALUE
            if (st != MG_OK || fabs(da) > 30.0 || fabs(db) > 30.0) continue;
            compared++;
            const double slope = mg_op_adjoint_a((mg_op)op, a, b, low, high, y, 1.0, &st);
            CHECK(st == MG_OK);
            CHECK(fabs(slope - da) < 1e-5 * (1.0 + fabs(da)));
            if (info->arity == 2) {
                const double other = mg_op_adjoint_b((mg_op)op, a, b, low, high, y, 1.0, &st);
                CHECK(st == MG_OK);
                CHECK(fabs(other - db) < 1e-5 * (1.0 + fabs(db)));
            }
        }
        CHECK(compared >= 20);
    }
}

static void nothing_flows_through_detach(void) {
    const double numbers[] = {0.0, -0.0, 1.5, -3.0, INFINITY, -INFINITY, NAN};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        mg_status st = MG_OK;
        const double a = numbers[i], y = mg_op_value(MG_DETACH, a, 0.0, 0.0, 0.0, &st);
        CHECK(memcmp(&y, &a, sizeof a) == 0);
        for (size_t j = 0; j < sizeof numbers / sizeof *numbers; j++) {
            const double share = mg_op_adjoint_a(MG_DETACH, a, 0.0, 0.0, 0.0, y, numbers[j], &st);
            CHECK(share == 0.0 && !signbit(share));
        }
        CHECK(mg_op_second(MG_DETACH, a, 0.0, 0.0, 0.0, y, 1, 0, &st).aa == 0.0);
        CHECK(st == MG_OK);
    }
}

static void powers_are_pythons(void) {
    struct {
        double base, exponent, power;
        mg_status st;
    } rows[] = {
        {0.0, 0.0, 1.0, MG_OK},
        {NAN, 0.0, 1.0, MG_OK},
        {1.0, NAN, 1.0, MG_OK},
        {-1.0, INFINITY, 1.0, MG_OK},
        {0.5, INFINITY, 0.0, MG_OK},
        {2.0, -INFINITY, 0.0, MG_OK},
        {-INFINITY, 3.0, -INFINITY, MG_OK},
        {-INFINITY, 2.0, INFINITY, MG_OK},
        {-INFINITY, -3.0, -0.0, MG_OK},
        {-0.0, 3.0, -0.0, MG_OK},
        {-2.0, 3.0, -8.0, MG_OK},
        {-1.0, 4503599627370497.0, -1.0, MG_OK},
        {4.0, -1.0, 0.25, MG_OK},
        {0.0, -1.0, 0.0, MG_ZERO_DIVISION},
        {-8.0, 0.5, 0.0, MG_DOMAIN},
        {10.0, 400.0, 0.0, MG_OVERFLOW},
        {10.0, -400.0, 0.0, MG_OK},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        mg_status st = MG_OK;
        double power = mg_pow(rows[i].base, rows[i].exponent, &st);
        CHECK(st == rows[i].st);
        if (st == MG_OK) {
            CHECK(power == rows[i].power);
            CHECK(signbit(power) == signbit(rows[i].power));
        }
    }
}

/* The shortcut for exact powers must not be told apart from the library's. */
static void exact_powers_are_the_librarys(void) {
    double (*volatile library)(double, double) = pow;
    const double exponents[] = {2.0, 3.0, -1.0, 1.0};
    for (int i = 0; i < 20000; i++) {
        double base = ldexp(floor(test_random() * 1000.0), (int)(test_random() * 40.0));
        if (base == 0.0) continue;
        for (int e = 0; e < 4; e++) {
            mg_status st = MG_OK;
            CHECK(mg_pow(base, exponents[e], &st) == library(base, exponents[e]));
        }
    }
}

/* Nor may those that are sure: of all magnitudes, with the differences that there are. */
static void sure_powers_are_the_librarys(void) {
    double (*volatile library)(double, double) = pow;
    const double exponents[] = {2.0, 3.0, -1.0, 0.5};
    int n_unlike = 0;
    for (int i = 0; i < 100000; i++) {
        const double spread = i % 2 ? 3.0 : 160.0;
        const double base = ldexp(fabs(test_random()), (int)(test_random() * spread));
        if (base == 0.0) continue;
        for (int e = 0; e < 4; e++) {
            mg_status st = MG_OK;
            CHECK(mg_pow(base, exponents[e], &st) == library(base, exponents[e]));
        }
        n_unlike += library(base, 0.5) != sqrt(base);
    }
    CHECK(!MG_POW_BOUND_IS_KNOWN || n_unlike > 0);
}

static void failures_are_reported(void) {
    mg_status st = MG_OK;
    mg_exp(1000.0, &st);
    CHECK(st == MG_OVERFLOW);
    st = MG_OK;
    mg_log(0.0, &st);
    CHECK(st == MG_DOMAIN);
    st = MG_OK;
    mg_sqrt(-1.0, &st);
    CHECK(st == MG_DOMAIN);
    st = MG_OK;
    mg_sin(INFINITY, &st);
    CHECK(st == MG_DOMAIN);
    st = MG_OK;
    mg_div(1.0, 0.0, &st);
    CHECK(st == MG_ZERO_DIVISION);
    st = MG_OK;
    CHECK(mg_sigmoid(-1000.0, &st) == 0.0 && mg_sigmoid(1000.0, &st) == 1.0);
    CHECK(isnan(mg_log(NAN, &st)) && isinf(mg_exp(INFINITY, &st)));
    CHECK(st == MG_OK);
}

void test_operations(void) {
    adjoints_match_differences();
    nothing_flows_through_detach();
    powers_are_pythons();
    exact_powers_are_the_librarys();
    sure_powers_are_the_librarys();
    failures_are_reported();
}
