/* Why a strip has failed: which row is the first, and what fails first in it. */
#ifndef MG_DIAGNOSE_H
#define MG_DIAGNOSE_H

#include "program/strip.h"

/* A strip has failed with `st`: go through its rows one by one, in the order of the graph, for the
 * first that does. Where none does, because a fast program has rounded otherwise, it is the
 * strip's own account that counts. The rows are taken from the lanes, as others may write to the
 * caller's meanwhile.
 *
 * Where only values are asked for, what a row needs is what its own choices lead to: a closed KEEP
 * does not need what it would have kept, a TAKE only the candidate that it chooses. MG_OK where
 * nothing has failed but what no row needs. A program with functions of the caller's needs
 * everything in every row, because to go on behind a failure would call more of them. */
mg_status mg_find_failure(const mg_strip *strip, mg_status st, mg_replay_failure *failure);

#endif
