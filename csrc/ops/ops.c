/* The arithmetic behind ops.def, with the special cases of Python's float and math. */
#include "ops/ops.h"

#include "ops/power.h"

#include <errno.h>

#define MG_INV_SQRT_2 0.7071067811865476
#define MG_INV_SQRT_2PI 0.3989422804014327

const mg_op_info mg_ops[MG_N_OPS] = {
    [MG_LEAF] = {.name = "leaf", .label = "", .wanted = "", .doc = "A number."},
    [MG_LOCAL] = {.name = "local",
                  .label = "",
                  .wanted = "",
                  .doc = "A node that carries its derivatives as numbers."},
    [MG_NEURON] = {.name = "neuron",
                   .label = "",
                   .wanted = "",
                   .doc = "A weighted sum and its activation."},
    [MG_JOIN] = {.name = "join", .label = "", .wanted = "", .doc = "Values to choose from."},
    [MG_FUNCTION] = {.name = "function", .label = "", .wanted = "", .doc = "Custom operation."},
    [MG_TAKE] = {.name = "take",
                 .label = "take",
                 .wanted = "",
                 .doc = "One of several Values, chosen by an index.",
                 .arity = 2},
#define OP(ID, name, label, arity, n_immediates, of_square, value, adjoint_a, adjoint_b, aa, ab,  \
           bb, value_errors, slope_errors, wanted, doc, k_name, k_default, h_name, h_default)     \
    [MG_##ID] = {#name,                                                                           \
                 label,                                                                           \
                 wanted,                                                                          \
                 doc,                                                                             \
                 {{k_name, k_default}, {h_name, h_default}},                                      \
                 arity,                                                                           \
                 n_immediates,                                                                    \
                 value_errors,                                                                    \
                 slope_errors},
#include "ops/ops.def"
#undef OP
};

/* Called through a pointer the compiler cannot see through: shown a constant exponent it would
 * turn pow(a, 2.0) into a * a, which rounds differently once in about a thousand. */
static double (*const volatile libm_pow)(double, double) = pow;

/* Whether the square and the cube of a number are exact: integers, halves and the like. A power
 * function that errs by less than a unit in the last place gives them, too, only slower. */
static inline int has_few_bits(double base) {
    union {
        double number;
        uint64_t bits;
    } view = {base};
    const unsigned biased = (view.bits >> 52) & 0x7ff;
    return !(view.bits & ((UINT64_C(1) << 36) - 1)) && biased > 1023 - 300 && biased < 1023 + 300;
}

static inline int small_power(double base, double exponent, double *power) {
    double residual;
    if (has_few_bits(base) && (exponent == 2.0 || exponent == 3.0)) {
        *power = exponent == 2.0 ? base * base : base * base * base;
        return 1;
    }
    if (exponent == 2.0)
        *power = mg_square(base, &residual);
    else if (exponent == 3.0)
        *power = mg_cube(base, &residual);
    else if (exponent == -1.0)
        *power = mg_inverse(base, &residual);
    else if (exponent == 0.5)
        *power = mg_root(base, &residual);
    else
        return 0;
    return mg_is_sure_power(*power, residual);
}

static int is_odd_integer(double x) {
    double magnitude = fabs(x);
    /* From 2**53 on every double is even. */
    return magnitude < 9007199254740992.0 && magnitude == floor(magnitude) &&
           ((int64_t)magnitude & 1);
}

double mg_pow(double base, double exponent, mg_status *st) {
    if (exponent == 0.0) return 1.0;
    if (exponent == 1.0) return base; /* the slope of every square */
    double power;
    if (small_power(base, exponent, &power)) return power;
    return mg_library_pow(base, exponent, st);
}

double mg_library_pow(double base, double exponent, mg_status *st) {
    if (isnan(base)) return base;
    if (isnan(exponent)) return base == 1.0 ? 1.0 : exponent;
    if (isinf(exponent)) {
        double magnitude = fabs(base);
        if (magnitude == 1.0) return 1.0;
        return (exponent > 0.0) == (magnitude > 1.0) ? fabs(exponent) : 0.0;
    }
    if (isinf(base)) {
        int odd = is_odd_integer(exponent);
        if (exponent > 0.0) return odd ? base : fabs(base);
        return odd ? copysign(0.0, base) : 0.0;
    }
    if (base == 0.0) {
        if (exponent < 0.0) {
            *st = MG_ZERO_DIVISION;
            return is_odd_integer(exponent) ? copysign(INFINITY, base) : INFINITY;
        }
        return is_odd_integer(exponent) ? base : 0.0;
    }
    int negate = 0;
    if (base < 0.0) {
        if (exponent != floor(exponent)) {
            *st = MG_DOMAIN;
            return NAN;
        }
        base = -base;
        negate = is_odd_integer(exponent);
    }
    if (base == 1.0) return negate ? -1.0 : 1.0;

    errno = 0;
    double result = libm_pow(base, exponent);
    /* Python overlooks ERANGE on underflow to 0 and supplies it where the library does not. */
    int failed = errno;
    if (failed == 0 && isinf(result)) failed = ERANGE;
    if (failed == ERANGE && result == 0.0) failed = 0;
    if (failed) *st = failed == ERANGE ? MG_OVERFLOW : MG_DOMAIN;
    return negate ? -result : result;
}

double mg_pow_log(double a, double y, mg_status *st) {
    if (a == 0.0) return 0.0;
    if (a < 0.0) return NAN;
    return y * mg_log(a, st);
}

/* The check that Python's math module makes after most functions. */
static double checked(double a, double result, mg_status *st) {
    if (isnan(result) && !isnan(a)) *st = MG_DOMAIN;
    if (isinf(result) && isfinite(a)) *st = MG_OVERFLOW;
    return result;
}

double mg_exp(double a, mg_status *st) { return checked(a, exp(a), st); }
double mg_expm1(double a, mg_status *st) { return checked(a, expm1(a), st); }
double mg_sqrt(double a, mg_status *st) { return checked(a, sqrt(a), st); }
double mg_sin(double a, mg_status *st) { return checked(a, sin(a), st); }
double mg_cos(double a, mg_status *st) { return checked(a, cos(a), st); }
double mg_tan(double a, mg_status *st) { return checked(a, tan(a), st); }
double mg_sinh(double a, mg_status *st) { return checked(a, sinh(a), st); }
double mg_cosh(double a, mg_status *st) { return checked(a, cosh(a), st); }
double mg_asin(double a, mg_status *st) { return checked(a, asin(a), st); }
double mg_acos(double a, mg_status *st) { return checked(a, acos(a), st); }
double mg_tanh(double a, mg_status *st) { return checked(a, tanh(a), st); }

double mg_log(double a, mg_status *st) {
    if (a <= 0.0) *st = MG_DOMAIN;
    return log(a);
}

double mg_log1p(double a, mg_status *st) {
    if (a <= -1.0) *st = MG_DOMAIN;
    return log1p(a);
}

double mg_sigmoid(double a, mg_status *st) {
    (void)st;
    const double e = exp(-a);
    if (!isinf(e) || isinf(a)) return 1.0 / (1.0 + e);
    const double small = exp(a);
    return small / (1.0 + small);
}

double mg_silu_slope(double a, mg_status *st) {
    double s = mg_sigmoid(a, st);
    return s * (1.0 + a * (1.0 - s));
}

double mg_softplus(double a, mg_status *st) {
    return a > 0.0 ? a + log1p(mg_exp(-a, st)) : log1p(mg_exp(a, st));
}

double mg_mish(double a, mg_status *st) { return a * mg_tanh(mg_softplus(a, st), st); }

double mg_mish_slope(double a, mg_status *st) {
    const double t = mg_tanh(mg_softplus(a, st), st);
    return t + a * ((1.0 - t * t) * mg_sigmoid(a, st));
}

double mg_mish_second(double a, mg_status *st) {
    const double t = mg_tanh(mg_softplus(a, st), st), s = mg_sigmoid(a, st);
    return (1.0 - t * t) * s * (2.0 + a * (1.0 - s - 2.0 * t * s));
}

double mg_sigmoid_slope(double a, mg_status *st) {
    double s = mg_sigmoid(a, st);
    return s * (1.0 - s);
}

double mg_silu_second(double a, mg_status *st) {
    double s = mg_sigmoid(a, st);
    return s * (1.0 - s) * (2.0 + a * (1.0 - 2.0 * s));
}

double mg_pow_second(double a, double n, mg_status *st) {
    /* Exactly 0 for a constant and a line, also where the power would not exist. */
    if (n == 0.0 || n == 1.0) return 0.0;
    return n * (n - 1.0) * mg_pow(a, n - 2.0, st);
}

double mg_pow_mixed(double a, double b, mg_status *st) {
    if (a < 0.0) return NAN;
    /* The slope of a power above 1 is 0 there, whatever the exponent. */
    if (a == 0.0 && b > 1.0) return 0.0;
    if (a == 0.0) *st = MG_ZERO_DIVISION;
    return mg_pow(a, b - 1.0, st) * (1.0 + b * log(a));
}

double mg_pow_log_log(double a, double y) {
    if (a <= 0.0) return a == 0.0 ? 0.0 : NAN;
    return y * log(a) * log(a);
}

double mg_normal_cdf(double a) { return 0.5 * (1.0 + erf(a * MG_INV_SQRT_2)); }

double mg_normal_pdf(double a, mg_status *st) {
    return mg_exp(-0.5 * (a * a), st) * MG_INV_SQRT_2PI;
}

double mg_op_adjoint_b(mg_op op, double a, double b, double k, double h, double y, double g,
                       mg_status *st) {
    (void)k, (void)h;
    switch (op) {
    case MG_LEAF:
    case MG_LOCAL:
    case MG_NEURON:
    case MG_JOIN:
    case MG_FUNCTION:
    case MG_TAKE:
    case MG_N_OPS:
        break;
#define OP(ID, name, label, arity, n_immediates, of_square, value, adjoint_a, adjoint_b, ...)     \
    case MG_##ID:                                                                                 \
        return adjoint_b;
#include "ops/ops.def"
#undef OP
    }
    return 0.0;
}

mg_second mg_op_second(mg_op op, double a, double b, double k, double h, double y, int a_moves,
                       int b_moves, mg_status *st) {
    (void)h;
    switch (op) {
    case MG_LEAF:
    case MG_LOCAL:
    case MG_NEURON:
    case MG_JOIN:
    case MG_FUNCTION:
    case MG_TAKE:
    case MG_N_OPS:
        break;
#define OP(ID, name, label, arity, n_immediates, of_square, value, adjoint_a, adjoint_b, aa, ab,  \
           bb, ...)                                                                               \
    case MG_##ID:                                                                                 \
        return (mg_second){a_moves ? aa : 0.0, a_moves || b_moves ? ab : 0.0, b_moves ? bb : 0.0};
#include "ops/ops.def"
#undef OP
    }
    return (mg_second){0.0, 0.0, 0.0};
}
