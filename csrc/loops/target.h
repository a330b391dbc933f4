/* For which processors the functions that follow are compiled, and how they may round. Headers
 * come before: their functions are for every processor. */
#ifndef MG_TARGET_H
#define MG_TARGET_H

#include "base/inline.h"

#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
#define MG_X86 1
#else
#define MG_X86 0
#endif

#define MG_PRAGMA(text) _Pragma(#text)

#if defined(__clang__)
#define MG_BEGIN_TARGET(instructions)                                                             \
    MG_PRAGMA(clang attribute push(__attribute__((target(instructions))), apply_to = function))
#define MG_END_TARGET _Pragma("clang attribute pop")
#elif defined(__GNUC__)
#define MG_BEGIN_TARGET(instructions)                                                             \
    _Pragma("GCC push_options") MG_PRAGMA(GCC target(instructions))
#define MG_END_TARGET _Pragma("GCC pop_options")
#endif

/* Products and sums may be fused, against -ffp-contract=off. */
#if defined(__GNUC__) && !defined(__clang__)
#define MG_BEGIN_FUSED _Pragma("GCC push_options") _Pragma("GCC optimize(\"fp-contract=fast\")")
#define MG_END_FUSED _Pragma("GCC pop_options")
#else
#define MG_BEGIN_FUSED
#define MG_END_FUSED
#endif

/* No iteration of the loop that follows reads what another has written. */
#if defined(__clang__)
#define MG_NO_DEPENDENCES _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define MG_NO_DEPENDENCES _Pragma("GCC ivdep")
#else
#define MG_NO_DEPENDENCES
#endif

#endif
