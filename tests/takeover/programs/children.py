"""Values that go to processes and back, forked and spawned."""

import multiprocessing
import sys

from local_engine import Value


def squared(value):
    out = value * value
    out.backward()
    return value, out.data, type(out).__name__


def main():
    for way in ("fork", "spawn"):
        if way not in multiprocessing.get_all_start_methods():
            continue
        with multiprocessing.get_context(way).Pool(2) as pool:
            found = pool.map(squared, [Value(1.5), Value(-2.0), Value(0.25)])
        print([(value.data, value.grad, data, name) for value, data, name in found])
        print({type(value) is Value for value, _, _ in found})


if __name__ == "__main__":
    main()
    sys.exit(3)
