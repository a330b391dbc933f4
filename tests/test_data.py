"""Minibatches: every row once, rows that belong together, the same order from the same seed."""

import random

import numpy as np
import pytest
from support import run_python

from micrograd_fast.data import minibatches


def order(seed, n=20, batch_size=6):
    return [batch for (batch,) in minibatches(list(range(n)), batch_size=batch_size, seed=seed)]


@pytest.mark.parametrize("batch_size", [1, 3, 6, 7, 19, 20, 100])
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_row_comes_once_in_batches_of_the_size(batch_size, shuffle):
    batches = list(minibatches(range(20), batch_size=batch_size, shuffle=shuffle, seed=1))
    rows = [row for (batch,) in batches for row in batch]
    assert sorted(rows) == list(range(20))
    assert (rows == sorted(rows)) == (not shuffle)
    assert all(len(batch) == batch_size for (batch,) in batches[:-1])
    assert len(batches[-1][0]) == 20 - batch_size * (len(batches) - 1)


def test_drop_last_leaves_out_only_a_batch_that_is_not_full():
    def sizes(n):
        return [
            len(batch) for (batch,) in minibatches([0] * n, batch_size=3, drop_last=True, seed=1)
        ]

    assert sizes(8) == [3, 3]
    assert sizes(9) == [3, 3, 3]
    assert sizes(2) == []


def test_rows_of_lists_and_arrays_stay_together():
    x = np.arange(20.0).reshape(10, 2)
    y = list("abcdefghij")
    z = tuple(range(10))
    for rows, letters, numbers in minibatches(x, y, z, batch_size=4, seed=2):
        assert isinstance(rows, np.ndarray)
        assert type(letters) is list
        assert rows.tolist() == [[2.0 * i, 2.0 * i + 1] for i in numbers]
        assert letters == [y[i] for i in numbers]


def test_a_seed_decides_the_order():
    assert order(3) == order(3)
    assert len({str(order(seed)) for seed in range(10)}) == 10


def test_the_order_does_not_depend_on_the_kind_of_column():
    lists = order(3)
    arrays = [batch for (batch,) in minibatches(np.arange(20), batch_size=6, seed=3)]
    assert [batch.tolist() for batch in arrays] == lists


def test_a_generator_gives_another_order_each_time():
    rng = random.Random(3)
    first, second = order(rng), order(rng)
    assert first == order(3)
    assert first != second


def test_without_a_seed_the_order_is_that_of_pythons_generator():
    state = random.getstate()
    try:
        random.seed(4)
        found = order(None)
        assert found != order(None)
    finally:
        random.setstate(state)
    assert found == order(random.Random(4))


def test_a_seed_leaves_pythons_generator_alone():
    state = random.getstate()
    order(3)
    assert random.getstate() == state


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: minibatches([1, 2], [1, 2, 3], batch_size=1), r"found \[2, 3\]"),
        (lambda: minibatches(np.ones((2, 3)), [1], batch_size=1), r"found \[2, 1\]"),
        (lambda: minibatches([], batch_size=1), "found empty columns"),
        (lambda: minibatches(batch_size=1), "found none"),
        (lambda: minibatches([1], batch_size=0), "at least 1, found 0"),
        (lambda: minibatches([1], batch_size=-3), "at least 1, found -3"),
    ],
)
def test_bad_arguments_are_refused_at_once(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"batch_size": 2.0}, "batch_size must be an int, found float"),
        ({"batch_size": "2"}, "batch_size must be an int, found str"),
        ({"batch_size": 2, "seed": np.random.default_rng(0)}, "seed must be .* found Generator"),
        ({"batch_size": 2, "seed": 1.0}, "seed must be .* found float"),
    ],
)
def test_arguments_of_another_type_are_refused_at_once(keywords, message):
    with pytest.raises(TypeError, match=message):
        minibatches([1, 2, 3], **keywords)


def test_an_int_may_be_one_of_numpys():
    assert order(np.int64(3)) == order(3)
    assert order(3, batch_size=np.int8(6)) == order(3)


def test_lists_need_no_numpy():
    printed = run_python(
        """
        import sys
        from micrograd_fast.data import minibatches
        print(sorted(row for (batch,) in minibatches([3, 1, 2], batch_size=2) for row in batch))
        print("numpy" in sys.modules)
        """
    )
    assert printed.split("\n") == ["[1, 2, 3]", "False", ""]
