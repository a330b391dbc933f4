"""What a model takes in memory, together with the graph of one step.

``python -m bench.footprint PACKAGE NEURONS`` builds a network of 784 inputs, NEURONS of the first
layer, 190 and 10, in a fresh process, takes a sample forward and its loss backward, and prints the
resident bytes per parameter that this has added, and what was computed, as JSON.
"""

import importlib
import json
import random
import sys

from .chain import resident_bytes


def main(package, n_hidden):
    """Measure one model and print the bytes per parameter, its loss and one gradient."""
    nn = importlib.import_module(package).MLP
    random.seed(1337)
    x = [random.random() for _ in range(784)]
    before = resident_bytes()
    model = nn(784, [n_hidden, 190, 10])
    loss = sum((score - 1.0) ** 2 for score in model(x))
    loss.backward()
    added = resident_bytes() - before
    n_parameters = len(model.parameters())
    print(
        json.dumps(
            {
                "bytes": added / n_parameters,
                "parameters": n_parameters,
                "loss": loss.data,
                "gradient": model.layers[0].neurons[0].w[0].grad,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
