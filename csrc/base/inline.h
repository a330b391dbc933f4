/* Functions that are inlined however large they are, as little is left with constant arguments;
 * and those that never are, so that there is one of each. */
#ifndef MG_INLINE_H
#define MG_INLINE_H

#if defined(__GNUC__)
#define MG_ALWAYS_INLINE inline __attribute__((always_inline))
#define MG_NEVER_INLINE __attribute__((noinline))
#else
#define MG_ALWAYS_INLINE inline
#define MG_NEVER_INLINE
#endif

#endif
