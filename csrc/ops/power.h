/* Powers that are sure without the power function.
 *
 * Python's `**` is the C library's `pow`, whose last bit is not that of a multiplication. But what
 * is known of its error decides in most cases that the two must be the same number. */
#ifndef MG_POWER_H
#define MG_POWER_H

#include <math.h>
#include <stdint.h>

/* Small powers without the power function, only a few multiplications or a root: what is known of
 * its error decides when that is the same number. If its result is less than 1 - d units in the
 * last place from the exact power, and ours, which is rounded to nearest, less than d from it,
 * every other number is too far away. That holds for the GNU C library, whose stated bound is
 * 0.511, and 0.0326 times the share that a power's exponent takes up of 1024: 0.5131 where powers
 * are as moderate as most, 0.5206 where they are less so. Elsewhere the library is always asked.
 */
#if defined(__GLIBC__) && (defined(__x86_64__) || defined(__aarch64__))
#define MG_POW_BOUND_IS_KNOWN 1
#else
#define MG_POW_BOUND_IS_KNOWN 0
#endif

/* a * b - p, exactly, for the rounded product p of moderate numbers; see Dekker, "A
 * floating-point technique for extending the available precision" (1971). One instruction gives
 * the same where there is one: a file that is compiled for processors with it defines
 * MG_HAS_FMA. */
static inline double mg_product_error(double a, double b, double p) {
#if defined(MG_HAS_FMA) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return __builtin_fma(a, b, -p);
#else
    const double split = 134217729.0; /* 2**27 + 1 */
    const double a_scaled = split * a, b_scaled = split * b;
    const double a_high = a_scaled - (a_scaled - a), b_high = b_scaled - (b_scaled - b);
    const double a_low = a - a_high, b_low = b - b_high;
    return ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low;
#endif
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

static inline double mg_root(double a, double *residual) {
    const double y = sqrt(a), square = y * y;
    /* What the rounded root leaves of a is a number, and so is each step to it. */
    *residual = ((a - square) - mg_product_error(y, y, square)) / (y + y);
    return y;
}

/* Whether the power function must give y. */
static inline int mg_is_sure_power(double y, double residual) {
    const double magnitude = fabs(y);
    union {
        double number;
        uint64_t bits;
    } unit = {y};
    unit.bits &= UINT64_C(0x7ff) << 52; /* the power of 2 at or below the magnitude */
    const double d = (magnitude > 0x1p-64) & (magnitude < 0x1p64) ? 0.4865 : 0.479;
    const double room = d * 0x1p-52 * unit.number;
    /* All of them, without a branch, as the loops over lanes want it. Below a power of 2 the next
     * number is only half as far. */
    return MG_POW_BOUND_IS_KNOWN & (magnitude > 0x1p-300) & (magnitude < 0x1p300) &
           (fabs(residual) < room) & ((magnitude != unit.number) | (residual == 0.0));
}

#endif
