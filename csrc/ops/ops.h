/* Operations: the enum, the facts about each, and the arithmetic, all expanded from ops.def.
 *
 * Everything here gives the bits that Python's float and math modules give: the C library's
 * functions are called at run time, products and sums are never fused (-ffp-contract=off), and
 * errors are reported where Python would raise.
 */
#ifndef MG_OPS_H
#define MG_OPS_H

#include <float.h>
#include <math.h>
#include <stdint.h>

#include "base/inline.h"
#include "base/status.h"

#ifdef FLT_EVAL_METHOD
_Static_assert(FLT_EVAL_METHOD == 0, "doubles must be evaluated as doubles (use SSE2 on x86)");
#endif

/* Six kinds of node have no row in the table: a LEAF computes nothing; a LOCAL node has any
 * number of operands and carries its derivatives as numbers (or none at all); a NEURON stands for
 * a whole weighted sum and its activation (layer/call.h); a JOIN is a list of operands, which a
 * TAKE chooses one of by an index (nodes/take.h); a FUNCTION, which is in programs alone, is
 * computed by whoever calls them (program/functions.h). */
typedef enum {
    MG_LEAF,
    MG_LOCAL,
    MG_NEURON,
    MG_JOIN,
    MG_FUNCTION,
    MG_TAKE,
#define OP(ID, ...) MG_##ID,
#include "ops/ops.def"
#undef OP
    MG_N_OPS
} mg_op;

_Static_assert(MG_N_OPS <= 256, "an operation code is stored in one byte");

/* An argument of an operation's method. */
typedef struct {
    const char *name;
    double otherwise; /* what it is where it is not given */
} mg_immediate;

/* A set of ways to fail holds this bit for each. */
#define MG_ERROR_BIT(status) (1u << (status))

typedef struct {
    const char *name;   /* Python method */
    const char *label;  /* what _op reads */
    const char *wanted; /* accepted operands, empty if all are */
    const char *doc;
    mg_immediate immediates[2];
    uint8_t arity;
    uint8_t n_immediates;
    uint8_t value_errors;
    uint8_t slope_errors; /* where there is a value */
} mg_op_info;

/* Indexed by mg_op. */
extern const mg_op_info mg_ops[MG_N_OPS];

/* Python's float power. Sets *st to MG_ZERO_DIVISION, MG_OVERFLOW or, where Python would turn
 * complex, MG_DOMAIN. */
double mg_pow(double base, double exponent, mg_status *st);

/* The same, for an exponent that is neither 0 nor 1, without trying a short way first. */
double mg_library_pow(double base, double exponent, mg_status *st);

/* d(a ** b)/db = y * log(a); 0 at a == 0 and NaN below it. */
double mg_pow_log(double a, double y, mg_status *st);

/* Python's math functions: MG_OVERFLOW or MG_DOMAIN where math raises. */
double mg_exp(double a, mg_status *st);
double mg_expm1(double a, mg_status *st);
double mg_log(double a, mg_status *st);
double mg_log1p(double a, mg_status *st);
double mg_sqrt(double a, mg_status *st);
double mg_sin(double a, mg_status *st);
double mg_cos(double a, mg_status *st);
double mg_tan(double a, mg_status *st);
double mg_sinh(double a, mg_status *st);
double mg_cosh(double a, mg_status *st);
double mg_asin(double a, mg_status *st);
double mg_acos(double a, mg_status *st);
double mg_tanh(double a, mg_status *st);

/* Python's math.hypot, which is not the C library's, in either of its two ways: that of
 * Python 3.12 and later, or that before. Never fails: an overflow is an infinity. */
double mg_hypot(double a, double b);
void mg_hypot_adds_halves(int yes);

/* Compositions of the above, in the reference's order of operations. */
double mg_sigmoid(double a, mg_status *st);
double mg_silu_slope(double a, mg_status *st);
double mg_softplus(double a, mg_status *st);
double mg_mish(double a, mg_status *st);
double mg_mish_slope(double a, mg_status *st);
double mg_mish_second(double a, mg_status *st);
double mg_normal_cdf(double a);
double mg_sigmoid_slope(double a, mg_status *st);
double mg_silu_second(double a, mg_status *st);
double mg_pow_second(double a, double n, mg_status *st);
double mg_pow_mixed(double a, double b, mg_status *st);
double mg_pow_log_log(double a, double y);
double mg_normal_pdf(double a, mg_status *st);

/* Python's float division: MG_ZERO_DIVISION when b is 0. */
static inline double mg_div(double a, double b, mg_status *st) {
    if (b == 0.0) *st = MG_ZERO_DIVISION;
    return a / b;
}

/* The place that an index names among n; n if it is not a whole number from 0 on and below n. */
static inline uint32_t mg_place(double index, uint32_t n) {
    if (!(index >= 0.0 && index < n)) return n;
    const uint32_t place = (uint32_t)index;
    return place == index ? place : n;
}

/* The value of one operation, for a constant `op`: the switch folds away. */
static MG_ALWAYS_INLINE double mg_known_op_value(mg_op op, double a, double b, double k, double h,
                                                 mg_status *st) {
    (void)b, (void)k, (void)h, (void)st;
    switch (op) {
    case MG_LEAF:
    case MG_LOCAL:
    case MG_NEURON:
    case MG_JOIN:
    case MG_FUNCTION:
    case MG_TAKE:
    case MG_N_OPS:
        break;
#define OP(ID, name, label, arity, n_immediates, of_square, value, ...)                           \
    case MG_##ID:                                                                                 \
        return value;
#include "ops/ops.def"
#undef OP
    }
    return a;
}

/* The value of one operation. `op` must be a row of the table. On failure *st is set and the
 * result means nothing. */
static inline double mg_op_value(mg_op op, double a, double b, double k, double h, mg_status *st) {
    return mg_known_op_value(op, a, b, k, h, st);
}

/* The two adjoints of one operation: what the gradients of its operands grow by. That of the first
 * folds away like the value. */
static inline double mg_op_adjoint_a(mg_op op, double a, double b, double k, double h, double y,
                                     double g, mg_status *st) {
    (void)a, (void)b, (void)k, (void)h, (void)y, (void)g, (void)st;
    switch (op) {
    case MG_LEAF:
    case MG_LOCAL:
    case MG_NEURON:
    case MG_JOIN:
    case MG_FUNCTION:
    case MG_TAKE:
    case MG_N_OPS:
        break;
#define OP(ID, name, label, arity, n_immediates, of_square, value, adjoint_a, ...)                \
    case MG_##ID: {                                                                               \
        const double s = of_square ? mg_pow(y, 2.0, st) : 0.0;                                    \
        (void)s;                                                                                  \
        return adjoint_a;                                                                         \
    }
#include "ops/ops.def"
#undef OP
    }
    return 0.0;
}
double mg_op_adjoint_b(mg_op op, double a, double b, double k, double h, double y, double g,
                       mg_status *st);

/* The second derivatives of one operation; 0 where they are by operands that do not move. */
typedef struct {
    double aa, ab, bb;
} mg_second;

mg_second mg_op_second(mg_op op, double a, double b, double k, double h, double y, int a_moves,
                       int b_moves, mg_status *st);

#endif
