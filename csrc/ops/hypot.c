/* The distance as Python's math computes it: scaled by a power of 2, as a sum of exact squares,
 * and corrected by what its own square is too much or too little. */
#include "ops/ops.h"
#include "ops/power.h"

#include <float.h>

/* Since Python 3.12 a square is added as its rounded product and the error of that; before, as the
 * three products of its halves. */
static int adds_halves = 0;

void mg_hypot_adds_halves(int yes) { adds_halves = yes; }

/* A sum that starts at 1, and what rounding has taken off it, by kind of term. */
typedef struct {
    double sum, lost[3];
} squares;

static void add(squares *s, double term, int kind) {
    const double before = s->sum;
    s->sum += term;
    s->lost[kind] += (before - s->sum) + term;
}

/* Add x * x, or take it off. */
static void add_square(squares *s, double sign, double x) {
    if (adds_halves) {
        const double scaled = 134217729.0 * x; /* 2**27 + 1 */
        const double high = scaled - (scaled - x), low = x - high;
        add(s, sign * (high * high), 0);
        add(s, sign * (2.0 * high * low), 1);
        add(s, sign * (low * low), 2);
    } else {
        const double square = x * x;
        add(s, sign * square, 1);
        s->lost[0] += sign * mg_product_error(x, x, square);
    }
}

static double total(const squares *s) {
    return s->sum - 1.0 + (s->lost[0] + s->lost[1] + s->lost[2]);
}

/* Before Python 3.12, where the larger number has no reciprocal. */
static double subnormal_hypot(double a, double b, double largest) {
    squares s = {.sum = 1.0};
    add(&s, (a / largest) * (a / largest), 0);
    add(&s, (b / largest) * (b / largest), 0);
    return largest * sqrt(s.sum - 1.0 + s.lost[0]);
}

double mg_hypot(double a, double b) {
    a = fabs(a);
    b = fabs(b);
    if (isinf(a) || isinf(b)) return INFINITY;
    if (isnan(a) || isnan(b)) return NAN;
    const double largest = a > b ? a : b;
    if (largest == 0.0) return 0.0;
    int exponent;
    frexp(largest, &exponent);
    if (exponent < -1023)
        return adds_halves ? subnormal_hypot(a, b, largest)
                           : DBL_MIN * mg_hypot(a / DBL_MIN, b / DBL_MIN);
    const double scale = ldexp(1.0, -exponent);
    squares s = {.sum = 1.0};
    add_square(&s, 1.0, a * scale);
    add_square(&s, 1.0, b * scale);
    const double root = sqrt(total(&s));
    add_square(&s, -1.0, root);
    return (root + total(&s) / (2.0 * root)) / scale;
}
