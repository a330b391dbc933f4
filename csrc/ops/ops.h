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

#include "base/status.h"

#ifdef FLT_EVAL_METHOD
_Static_assert(FLT_EVAL_METHOD == 0, "doubles must be evaluated as doubles (use SSE2 on x86)");
#endif

/* Three kinds of node have no row in the table: a LEAF computes nothing; a LOCAL node has any
 * number of operands and carries its derivatives as numbers (or none at all); a NEURON stands for
 * a whole weighted sum and its activation (layer/call.h). */
typedef enum {
    MG_LEAF,
    MG_LOCAL,
    MG_NEURON,
#define OP(ID, ...) MG_##ID,
#include "ops/ops.def"
#undef OP
    MG_N_OPS
} mg_op;

_Static_assert(MG_N_OPS <= 256, "an operation code is stored in one byte");

typedef struct {
    const char *name;   /* Python method */
    const char *label;  /* what _op reads */
    const char *domain; /* accepted operands, empty if all are */
    const char *doc;
    uint8_t arity;
    uint8_t n_immediates;
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

/* Small powers without the power function, only a multiplication or two: what is known of its
 * error decides when that is the same number. Its result is less than 0.53 units in the last
 * place from the exact power; so where ours, which is rounded to nearest, is less than 0.47 from
 * it, every other number is too far away. That holds for the GNU C library, whose stated bound is
 * 0.521 where powers are as moderate as here. Elsewhere the library is always asked. */
#if defined(__GLIBC__) && (defined(__x86_64__) || defined(__aarch64__))
#define MG_POW_BOUND_IS_KNOWN 1
#else
#define MG_POW_BOUND_IS_KNOWN 0
#endif

/* a * b - p, exactly, for the rounded product p of moderate numbers; see Dekker, "A
 * floating-point technique for extending the available precision" (1971). */
static inline double mg_product_error(double a, double b, double p) {
    const double split = 134217729.0; /* 2**27 + 1 */
    const double a_scaled = split * a, b_scaled = split * b;
    const double a_high = a_scaled - (a_scaled - a), b_high = b_scaled - (b_scaled - b);
    const double a_low = a - a_high, b_low = b - b_high;
    return ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low;
}

/* The rounded power, and how far the exact one is from it. */
static inline double mg_square(double a, double *residual) {
    const double y = a * a;
    *residual = mg_product_error(a, a, y);
    return y;
}

static inline double mg_cube(double a, double *residual) {
    const double square = a * a, twice_rounded = square * a;
    const double error =
        mg_product_error(square, a, twice_rounded) + mg_product_error(a, a, square) * a;
    const double y = twice_rounded + error;
    *residual = error - (y - twice_rounded);
    return y;
}

static inline double mg_inverse(double a, double *residual) {
    const double y = 1.0 / a, one = y * a;
    *residual = ((1.0 - one) - mg_product_error(y, a, one)) * y;
    return y;
}

/* Whether the power function must give y. */
static inline int mg_is_sure_power(double y, double residual) {
    union {
        double number;
        uint64_t bits;
    } view = {y}, unit;
    const uint64_t exponent = view.bits & (UINT64_C(0x7ff) << 52);
    const uint64_t mantissa = view.bits & ((UINT64_C(1) << 52) - 1);
    unit.bits = exponent;
    /* Below a power of 2 the next number is only half as far. */
    return MG_POW_BOUND_IS_KNOWN && exponent > ((uint64_t)(1023 - 300) << 52) &&
           exponent < ((uint64_t)(1023 + 300) << 52) && (mantissa != 0 || residual == 0.0) &&
           fabs(residual) < 0.47 * 0x1p-52 * unit.number;
}

/* Python's math functions: MG_OVERFLOW or MG_DOMAIN where math raises. */
double mg_exp(double a, mg_status *st);
double mg_expm1(double a, mg_status *st);
double mg_log(double a, mg_status *st);
double mg_sqrt(double a, mg_status *st);
double mg_sin(double a, mg_status *st);
double mg_cos(double a, mg_status *st);
double mg_tanh(double a, mg_status *st);

/* Compositions of the above, in the reference's order of operations. */
double mg_sigmoid(double a, mg_status *st);
double mg_silu_slope(double a, mg_status *st);
double mg_softplus(double a, mg_status *st);
double mg_normal_cdf(double a);
double mg_sigmoid_slope(double a, mg_status *st);
double mg_silu_second(double a, mg_status *st);
double mg_pow_second(double a, double n, mg_status *st);
double mg_pow_mixed(double a, double b, mg_status *st);
double mg_pow_log_log(double a, double y);
double mg_normal_pdf(double a, mg_status *st);

/* Python's float division: MG_ZERO_DIVISION when b is 0. */
static inline double mg_div(double a, double b, mg_status *st) {
    if (b == 0.0) {
        *st = MG_ZERO_DIVISION;
        return 0.0;
    }
    return a / b;
}

/* The value of one operation. `op` must be a row of the table. On failure *st is set and the
 * result means nothing. With a constant `op` the switch folds away. */
static inline double mg_op_value(mg_op op, double a, double b, double k, double h, mg_status *st) {
    (void)b, (void)k, (void)h, (void)st;
    switch (op) {
    case MG_LEAF:
    case MG_LOCAL:
    case MG_NEURON:
    case MG_N_OPS:
        break;
#define OP(ID, name, label, arity, n_immediates, value, ...)                                      \
    case MG_##ID:                                                                                 \
        return value;
#include "ops/ops.def"
#undef OP
    }
    return a;
}

/* The two adjoints of one operation: what the gradients of its operands grow by. */
double mg_op_adjoint_a(mg_op op, double a, double b, double k, double h, double y, double g,
                       mg_status *st);
double mg_op_adjoint_b(mg_op op, double a, double b, double k, double h, double y, double g,
                       mg_status *st);

/* The second derivatives of one operation. */
typedef struct {
    double aa, ab, bb;
} mg_second;

mg_second mg_op_second(mg_op op, double a, double b, double k, double h, double y, mg_status *st);

#endif
