/* Functions that are inlined however large they are: with constant arguments little is left. */
#ifndef MG_INLINE_H
#define MG_INLINE_H

#if defined(__GNUC__)
#define MG_ALWAYS_INLINE inline __attribute__((always_inline))
#else
#define MG_ALWAYS_INLINE inline
#endif

#endif
