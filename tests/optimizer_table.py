"""The optimizers with options of every kind, and what their tests share."""

import itertools

from micrograd_fast import Value, optim

SEED = 20

OPTIMIZERS = [
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.05, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.001, "momentum": 0.5, "weight_decay": 0.1, "maximize": True}),
    ("Adam", {"lr": 0.1}),
    ("Adam", {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.2}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.6), "amsgrad": True}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.2, "amsgrad": True, "maximize": True}),
    ("AdamW", {"lr": 0.1}),
    ("AdamW", {"lr": 0.1, "betas": (0.7, 0.9), "eps": 1e-4, "weight_decay": 0.3}),
    ("AdamW", {"lr": 0.1, "betas": (0.5, 0.6), "amsgrad": True}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.2, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.05, "alpha": 0.9, "eps": 1e-4}),
    ("RMSprop", {"lr": 0.02, "weight_decay": 0.2}),
    ("RMSprop", {"lr": 0.02, "momentum": 0.8}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.95, "centered": True}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.7, "centered": True, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.7, "weight_decay": 0.1, "maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.5, "lr_decay": 0.1}),
    ("Adagrad", {"lr": 0.5, "weight_decay": 0.2, "eps": 1e-3}),
    ("Adagrad", {"lr": 0.3, "initial_accumulator_value": 2.0, "lr_decay": 0.01}),
    ("Adagrad", {"lr": 0.3, "weight_decay": 0.2, "maximize": True}),
]

# What an option is where it is used, in every combination with the others.
USES = {
    "SGD": {"momentum": 0.8, "dampening": 0.3, "weight_decay": 0.1, "nesterov": True},
    "Adam": {"betas": (0.5, 0.6), "weight_decay": 0.2, "amsgrad": True},
    "AdamW": {"betas": (0.5, 0.6), "weight_decay": 0.2, "amsgrad": True},
    "RMSprop": {"alpha": 0.9, "weight_decay": 0.2, "momentum": 0.7, "centered": True},
    "Adagrad": {"lr_decay": 0.1, "weight_decay": 0.2, "initial_accumulator_value": 0.5},
}


def combinations(name):
    """Every choice of options to be used, but those that exclude each other."""
    uses = {"lr": 0.05, "eps": 1e-4, "maximize": True, **USES[name]}
    if name == "SGD":
        del uses["eps"]
    for chosen in itertools.product([False, True], repeat=len(uses)):
        options = {key: use for (key, use), is_used in zip(uses.items(), chosen) if is_used}
        if "nesterov" in options and ("momentum" not in options or "dampening" in options):
            continue
        yield options


def quadratic(params):
    """A loss with a gradient of its own for every parameter."""
    total = Value(0.0)
    for i, p in enumerate(params):
        total = total + (p - i) ** 2 * (i + 0.5) + p * 0.1
    return total


def bits(numbers):
    return list(map(float.hex, numbers))


def snapshot(optimizer):
    return repr(optimizer.state_dict()), [
        (p.data, p.grad) for group in optimizer.param_groups for p in group["params"]
    ]


def two_groups(name, **options):
    groups = [{"params": [Value(float(i + 1)) for i in range(3)]} for _ in range(2)]
    optimizer = getattr(optim, name)(groups, **options)
    for p in [p for group in groups for p in group["params"]]:
        p.grad = p.data
    optimizer.step()
    return optimizer
