/* Powers that are sure without the power function.
 *
 * Python's `**` is the C library's `pow`, whose last bit is not that of a multiplication. But what
 * is known of its error decides in most cases that the two must be the same number. */
#ifndef MG_POWER_H
#define MG_POWER_H

#include <math.h>
#include <stdint.h>

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

#endif
