/* How every function of csrc that can fail says what happened. */
#ifndef MG_STATUS_H
#define MG_STATUS_H

typedef enum {
    MG_OK = 0,
    MG_NO_MEMORY,       /* the arena or a scratch buffer could not grow */
    MG_ZERO_DIVISION,   /* 0 ** negative, or a division by 0 in a derivative */
    MG_OVERFLOW,        /* finite operands, infinite exp or ** */
    MG_DOMAIN,          /* no real value here: log(-1), (-8) ** 0.5, sin(inf) */
    MG_INDEX,           /* an index that is not the place of one of those to choose from */
    MG_CALLBACK,        /* a caller's hook failed and has kept the reason */
    MG_FUNCTION_FAILED, /* so did a caller's function, in some row */
    MG_INTERFERENCE,    /* a caller's function keeps changing what its result is added to */
} mg_status;

#endif
