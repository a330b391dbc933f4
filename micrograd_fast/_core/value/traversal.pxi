# The order of a graph's nodes, and the passes that are under way.

cdef int n_sweeps = 0  # backward passes under way, the outer ones of nested calls included

# The buffers of the last traversal, kept for the next. A traversal takes them away while it
# runs, so that one started from a custom backward gets buffers of its own.
cdef mg_order spare_order
memset(&spare_order, 0, sizeof(mg_order))

cdef enum:
    LARGEST_SPARE_ORDER = 65536


cdef mg_order take_order() noexcept:
    cdef mg_order order = spare_order
    memset(&spare_order, 0, sizeof(mg_order))
    return order


cdef void give_order(mg_order *order) noexcept:
    if spare_order.nodes == NULL and order.nodes_cap <= LARGEST_SPARE_ORDER:
        memcpy(&spare_order, order, sizeof(mg_order))
    else:
        mg_order_free(order)
