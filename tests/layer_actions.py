"""What can happen to models and graphs in a random life; `random_layers.py` makes lives of it.

After each step the data and gradients of all values in hand are written down, which shows a
fused layer nothing that would make it appear. Looking at graphs is an action of its own.
"""

import copy
import gc
import math
import pickle
import random
import re

import numpy
from support import ACTIVATIONS, METHODS, SPECIAL_NUMBERS, bits, view

ACTIVATION_CHOICES = [*ACTIVATIONS, "linear", None]
#: What fails where a layer gets large is drawn less often: an error ends the call.
ORDINARY_ACTIVATIONS = [
    row.name for row in METHODS if row.name in ACTIVATIONS and not row.value_errors
]

MOST_VALUES = 40
MOST_MODULES = 5
MOST_WEIGHTS = 700


class Life:
    """The values and modules of one engine while a program runs, and the record of it."""

    def __init__(self, engine, wild):
        self.engine = engine
        self.wild = wild
        self.values = []
        self.modules = []
        self.record = []
        self.messages = []
        self.undo = []
        self.sweeping = False

    # What actions draw from ----------------------------------------------------------------

    def number(self, rng):
        if self.wild and rng.random() < 0.2:
            return rng.choice(SPECIAL_NUMBERS)
        return rng.choice([rng.uniform(-1, 1), rng.uniform(-1, 1), float(rng.randint(-2, 2))])

    def module(self, rng):
        if not self.modules:
            new_layer(self, rng)
        return self.modules[rng.randrange(len(self.modules))]

    def value(self, rng):
        if not self.values:
            self.keep([self.engine.Value(self.number(rng))])
        # The newest are the interesting ones.
        n = len(self.values)
        return self.values[max(rng.randrange(n), rng.randrange(n))]

    def neuron(self, rng):
        """A neuron of some module, with the list that it is in (None for one on its own)."""
        module = self.module(rng)
        nn = self.engine.nn
        if isinstance(module, nn.MLP):
            module = module.layers[rng.randrange(len(module.layers))]
        if isinstance(module, nn.Layer):
            if not module.neurons:
                raise LookupError("no neurons left")
            return module.neurons[rng.randrange(len(module.neurons))], module.neurons
        return module, None

    def parameter(self, rng):
        neuron, _ = self.neuron(rng)
        weights = [p for p in neuron.parameters() if isinstance(p, self.engine.Value)]
        return weights[rng.randrange(len(weights))]

    def either(self, rng):
        """A value in hand or a parameter."""
        return self.parameter(rng) if rng.random() < 0.5 else self.value(rng)

    def keep(self, values):
        self.values.extend(v for v in values if isinstance(v, self.engine.Value))
        del self.values[:-MOST_VALUES]

    def keep_module(self, module):
        self.modules.append(module)
        del self.modules[:-MOST_MODULES]

    # Running -------------------------------------------------------------------------------

    def step(self, action, seed):
        random.seed(seed)
        try:
            outcome = ACTIONS[action](self, random.Random(seed))
        except Exception as error:
            outcome = f"raises {type(error).__name__}"
            self.messages.append((action, re.sub("0x[0-9a-f]+", "", str(error))))
        self.record.append((action, seed, outcome, self.numbers()))

    def numbers(self):
        """Data and gradient of everything in hand, to the bit."""
        seen = list(self.values)
        for module in self.modules:
            seen.extend(p for p in module.parameters() if isinstance(p, self.engine.Value))
        return [(v.data.hex(), v.grad.hex()) for v in seen]

    def finish(self):
        while self.undo:
            self.undo.pop()()
        parameters = []
        for module in self.modules:
            parameters.extend(p for p in module.parameters() if isinstance(p, self.engine.Value))
        held = [*self.values, *parameters]
        self.record.append(("everything", None, view(held, held), self.numbers()))


# Building -----------------------------------------------------------------------------------


def draw_width(rng):
    return rng.choice([1, 2, 3, 4, 5, rng.randint(1, 9), rng.randint(1, 17), rng.randint(1, 70)])


def draw_activation(rng):
    return rng.choice(ORDINARY_ACTIVATIONS if rng.random() < 0.7 else ACTIVATION_CHOICES)


def new_layer(life, rng):
    n_in = draw_width(rng)
    n_out = min(draw_width(rng), max(1, MOST_WEIGHTS // n_in))
    life.keep_module(
        life.engine.nn.Layer(
            n_in, n_out, nonlin=rng.random() < 0.85, activation=draw_activation(rng)
        )
    )


def new_neuron(life, rng):
    life.keep_module(life.engine.nn.Neuron(draw_width(rng), activation=draw_activation(rng)))


def new_mlp(life, rng):
    sizes = [min(draw_width(rng), 12) for _ in range(rng.randint(2, 7))]
    if rng.random() < 0.2:
        sizes[:2] = rng.randint(1, 70), rng.randint(1, 20)
    life.keep_module(life.engine.nn.MLP(sizes[0], sizes[1:], activation=draw_activation(rng)))


def new_values(life, rng):
    life.keep([life.engine.Value(life.number(rng)) for _ in range(rng.randint(1, 4))])


def n_inputs(life, module):
    nn = life.engine.nn
    if isinstance(module, nn.MLP):
        module = module.layers[0]
    if isinstance(module, nn.Layer):
        module = module.neurons[0]
    return len(module.w)


def draw_inputs(life, rng, n):
    def value():
        return life.value(rng)

    def fresh():
        return life.engine.Value(life.number(rng))

    def mixed():
        return rng.choice([value, fresh, lambda: life.number(rng), lambda: rng.randint(-2, 2)])()

    def parameter_or_number():
        return life.parameter(rng) if rng.random() < 0.3 else life.number(rng)

    kind = rng.choice(
        ["floats", "ints", "row", "values", "fresh", "mixed", "newest", "newest", "newest", "odd"]
    )
    if kind == "floats":
        return [life.number(rng) for _ in range(n)]
    if kind == "ints":
        return tuple(rng.randint(-3, 3) for _ in range(n))
    if kind == "row":
        row = numpy.array([[life.number(rng) for _ in range(n)]] * 2)[1]
        dtype = rng.choice(["float64", "float64", "float32", "object"])
        with numpy.errstate(all="ignore"):
            return row.astype(dtype)
    if kind == "values":
        return [value() for _ in range(n)]
    if kind == "fresh":
        inputs = [fresh() for _ in range(n)]
        life.keep(inputs[:3])
        return inputs
    if kind == "mixed":
        return [mixed() for _ in range(n)]
    if kind == "newest" and len(life.values) >= n:
        # What a layer has just given, often whole: models made of layers by hand
        return life.values[len(life.values) - n :]
    odd = rng.choice(["generator", "length", "bool", "huge", "text", "parameters", "same"])
    inputs = [mixed() for _ in range(n)]
    if odd == "generator":
        return (x for x in inputs)
    if odd == "length":
        return inputs[1:] if rng.random() < 0.5 else [*inputs, 1.0]
    if odd == "parameters":
        return [parameter_or_number() for _ in range(n)]
    if odd == "same":
        return [inputs[0]] * n
    inputs[rng.randrange(n)] = {"bool": True, "huge": 10**400, "text": "1"}[odd]
    return inputs


def call(life, rng):
    module = life.module(rng)
    outputs = module(draw_inputs(life, rng, n_inputs(life, module)))
    life.keep(outputs if isinstance(outputs, list) else [outputs])
    return isinstance(outputs, list)


def call_on_own_outputs(life, rng):
    """The same module again on what it gave: a recurrent net."""
    module = life.module(rng)
    n = n_inputs(life, module)
    state = [life.number(rng) for _ in range(n)]
    for _ in range(rng.randint(2, 3)):
        outputs = module(state)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        state = [*outputs, *state][:n]
    life.keep(outputs)


def call_on_concatenation(life, rng):
    """A layer on outputs of two others, in some order."""
    first, second = (life.module(rng) for _ in range(2))
    joint = []
    for module in (first, second):
        outputs = module([life.value(rng) for _ in range(n_inputs(life, module))])
        joint.extend(outputs if isinstance(outputs, list) else [outputs])
    joint = joint[:30]
    rng.shuffle(joint)
    layer = life.engine.nn.Layer(len(joint), rng.randint(1, 4), activation=draw_activation(rng))
    life.keep_module(layer)
    outputs = layer(joint)
    life.keep([*joint[:2], *(outputs if isinstance(outputs, list) else [outputs])])


def tangle(life, rng):
    """Layers on each other's outputs and on a few Values, all of them used again and again: every
    order in which shares of one gradient can arrive."""
    values = [life.value(rng) for _ in range(2)] + [life.engine.Value(rng.uniform(-1, 1))]
    layers = [
        life.engine.nn.Layer(rng.randint(1, 4), rng.randint(1, 3), activation=activation)
        for activation in rng.choices(["tanh", "relu", "sigmoid", None], k=rng.randint(1, 4))
    ]
    for _ in range(rng.randint(2, 7)):
        layer = rng.choice(layers)
        outputs = layer([rng.choice(values[-6:]) for _ in layer.neurons[0].w])
        values.extend(outputs if isinstance(outputs, list) else [outputs])
    if rng.random() < 0.3:
        values.append(layers[0].neurons[0].w[0] * layers[0].neurons[0].b)
    rng.shuffle(values)
    life.keep_module(layers[0])
    life.keep(values[:6])
    life.keep([life.engine.sum([v * rng.uniform(-1, 1) for v in values])])


def combine(life, rng):
    a, b = life.value(rng), life.either(rng)
    kind = rng.choice(["add", "add", "mul", "mul", "sub", "square", "tanh", "relu", "div", "skip"])
    life.keep(
        [
            {
                "add": lambda: a + b,
                "mul": lambda: a * b,
                "sub": lambda: a - 0.5,
                "square": lambda: (a - life.number(rng)) ** 2,
                "tanh": lambda: a.tanh(),
                "relu": lambda: a.relu(),
                "div": lambda: a / b,
                "skip": lambda: a + b * a,
            }[kind]()
        ]
    )


def loss(life, rng):
    chosen = [life.value(rng) for _ in range(rng.randint(1, 12))]
    life.keep([life.engine.sum([(v - rng.uniform(-1, 1)) ** 2 for v in chosen])])


def loss_over_samples(life, rng):
    module = life.module(rng)
    terms = []
    for _ in range(rng.randint(2, 5)):
        outputs = module([life.number(rng) for _ in range(n_inputs(life, module))])
        outputs = outputs if isinstance(outputs, list) else [outputs]
        terms.extend((out - 0.25) ** 2 for out in outputs)
    total = life.engine.sum(terms)
    if rng.random() < 0.4:
        total = total + sum(p * p for p in module.parameters()) * 1e-3
    life.keep([total])


# Gradients ----------------------------------------------------------------------------------


def backward(life, rng):
    life.value(rng).backward()


def backward_of_newest(life, rng):
    life.values[-1].backward()


def zero_grad(life, rng):
    (life.value(rng) if rng.random() < 0.5 else life.module(rng)).zero_grad()


def train(life, rng):
    """What a training loop does, with the gradients as they are."""
    rate = rng.choice([0.1, 0.01, 1.0])
    for p in life.module(rng).parameters():
        p.data -= rate * p.grad


def propagate_one(life, rng):
    life.value(rng)._backward()


# Changing what there is ---------------------------------------------------------------------


def assign_data(life, rng):
    life.either(rng).data = life.number(rng)


def assign_grad(life, rng):
    number = rng.choice([-0.0, -0.0, 0.0, math.nan, math.inf, rng.uniform(-1, 1)])
    life.either(rng).grad = number if life.wild else rng.choice([-0.0, rng.uniform(-1, 1)])


def replace_weight(life, rng):
    neuron, _ = life.neuron(rng)
    new = rng.choice(
        [
            lambda: life.engine.Value(life.number(rng)),
            lambda: life.engine.Value(life.number(rng)),
            lambda: life.value(rng),
            lambda: life.parameter(rng),
            lambda: life.parameter(rng) * 0.5,
            lambda: 0.5,
        ]
    )()
    if rng.random() < 0.3:
        neuron.b = new
    else:
        neuron.w[rng.randrange(len(neuron.w))] = new


def replace_weights(life, rng):
    neuron, _ = life.neuron(rng)
    weights = [life.engine.Value(life.number(rng)) for _ in neuron.w]
    if rng.random() < 0.5:
        neuron.w = weights
    else:
        neuron.w[:] = weights


def change_lists(life, rng):
    neuron, neurons = life.neuron(rng)
    kind = rng.choice(["append", "delete", "reverse", "share", "pop", "swap"])
    if kind == "pop":
        neuron.w.pop()
    elif kind == "swap":
        neuron.w.reverse()
    elif neurons is None:
        return
    elif kind == "append":
        neurons.append(life.engine.nn.Neuron(len(neuron.w), activation=draw_activation(rng)))
    elif kind == "delete":
        neurons.remove(neuron)
    elif kind == "reverse":
        neurons.reverse()
    else:
        neurons[rng.randrange(len(neurons))] = neuron


def change_activation(life, rng):
    neuron, neurons = life.neuron(rng)
    activation, nonlin = draw_activation(rng), rng.random() < 0.8
    for changed in [neuron] if neurons is None or rng.random() < 0.5 else neurons:
        changed.activation, changed.nonlin = activation, nonlin


def use_a_subclass(life, rng):
    class Scaled(life.engine.nn.Neuron):
        def __call__(self, x):
            return super().__call__(x) * 0.5

    neuron, neurons = life.neuron(rng)
    if neurons is None:
        return
    scaled = Scaled(len(neuron.w))
    scaled.w, scaled.b, scaled.nonlin = neuron.w, neuron.b, neuron.nonlin
    neurons[neurons.index(neuron)] = scaled


def attach(life, rng):
    """Something to be found on the node again: a tag, a label, or a node (perhaps a cycle)."""
    value = life.either(rng)
    kind = rng.choice(["tag", "tag", "label", "kept"])
    if kind == "kept":
        value.kept = life.value(rng)
    else:
        setattr(value, kind, f"mark {rng.random():.6f}")


def hook(life, rng):
    value, other = life.either(rng), life.either(rng)
    kind = rng.choice(["note", "note", "zero", "assign", "look", "grow", "sweep", "raise"])
    original, record = value._backward, life.record
    second = life.value(rng)

    def closure():
        record.append(("hook", kind, bits(value.grad), bits(other.grad)))
        if kind == "zero":
            value.grad = 0.0
        elif kind == "assign":
            other.data = 0.125
        elif kind == "look":
            record.append([bits(v.grad) for v in second._children])
        elif kind == "grow":
            record.append(bits((second * other + 1.0).data))
        elif kind == "raise":
            raise RuntimeError("a hook that fails")
        original()
        if kind == "sweep" and not life.sweeping:
            life.sweeping = True
            try:
                second.backward()
            finally:
                life.sweeping = False

    value._backward = closure


def unhook(life, rng):
    """What was hooked does nothing any more."""
    life.either(rng)._backward = lambda: None


def patch(life, rng):
    """Replace a method of a class until the next patch."""
    while life.undo:
        life.undo.pop()()
    engine, record = life.engine, life.record
    kind = rng.choice(["neuron", "layer", "add", "mul", "relu", "own relu", "own tanh", "none"])
    owner, name = {
        "neuron": (engine.nn.Neuron, "__call__"),
        "layer": (engine.nn.Layer, "__call__"),
        "add": (engine.Value, "__add__"),
        "mul": (engine.Value, "__mul__"),
        "relu": (engine.Value, "relu"),
        "own relu": (engine.Value, "relu"),
        "own tanh": (engine.Value, "tanh"),
        "none": (None, None),
    }[kind]
    if owner is None:
        return
    original = getattr(owner, name)

    def wrapped(self, *arguments):
        if kind in ("neuron", "layer"):
            record.append(kind)
        return original(self, *arguments)

    def own(self):
        out = engine.Value(math.atan(self.data), (self,), "own")

        def _backward():
            self.grad += out.grad / (1.0 + self.data * self.data)

        out._backward = _backward
        return out

    setattr(owner, name, own if kind.startswith("own") else wrapped)
    life.undo.append(lambda: setattr(owner, name, original))


def forget(life, rng):
    """Let go of values or of a module while the rest lives on."""
    if rng.random() < 0.5 and life.modules:
        del life.modules[rng.randrange(len(life.modules))]
    elif life.values:
        start = rng.randrange(len(life.values))
        del life.values[start : start + rng.choice([1, 5, 40])]


def collect(life, rng):
    gc.collect()


# Looking ------------------------------------------------------------------------------------


def look(life, rng):
    value = life.value(rng)
    return view([value], life.values)


def look_at_operands(life, rng):
    value = life.value(rng)
    life.keep(value._children)
    return len(value._prev), [bits(d) for d in value._local_grads]


def look_at_faces(life, rng):
    value = life.value(rng)
    return repr(value), value._op, value.label, f"{value:.3f}"


# Copies -------------------------------------------------------------------------------------


def copy_values(life, rng):
    clone = rng.choice([copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))])
    life.keep([clone(life.value(rng))])


def copy_module(life, rng):
    clone = rng.choice([copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
    life.keep_module(clone(life.module(rng)))


def copy_together(life, rng):
    clone = rng.choice([copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
    module, value = clone((life.module(rng), life.value(rng)))
    life.keep_module(module)
    life.keep([value])


def copy_module_shallowly(life, rng):
    life.keep_module(copy.copy(life.module(rng)))


BUILDING = [
    new_layer,
    new_neuron,
    new_mlp,
    new_values,
    call,
    call,
    call,
    call,
    call,
    call_on_own_outputs,
    call_on_concatenation,
    tangle,
    tangle,
    combine,
    combine,
    loss,
    loss_over_samples,
]
SWEEPING = [backward, backward, backward_of_newest, backward_of_newest, zero_grad, train]
CHANGING = [
    propagate_one,
    assign_data,
    assign_data,
    assign_grad,
    replace_weight,
    replace_weights,
    change_lists,
    change_activation,
    use_a_subclass,
    attach,
    hook,
    unhook,
    patch,
    forget,
    forget,
    collect,
    copy_module_shallowly,
]
LOOKING = [look, look_at_operands, look_at_faces]
#: The reference's graphs cannot be copied: these are for the compiled engines alone.
COPYING = [copy_values, copy_module, copy_together]
ACTIONS = {f.__name__: f for f in [*BUILDING, *SWEEPING, *CHANGING, *LOOKING, *COPYING]}
