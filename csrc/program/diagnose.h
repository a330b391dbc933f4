/* Why a strip has failed: which row is the first, and what fails first in it. */
#ifndef MG_DIAGNOSE_H
#define MG_DIAGNOSE_H

#include "program/strip.h"

/* A strip has failed with `st`: go through its rows one by one, in the order of the graph, for the
 * first that does. Where none does, because a fast program has rounded otherwise, it is the
 * strip's own account that counts. Not for programs with choices: program/choices.h finds what
 * their rows fail with. */
mg_status mg_find_failure(const mg_strip *strip, mg_status st, mg_replay_failure *failure);

#endif
