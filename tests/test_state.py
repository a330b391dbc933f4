"""Names of parameters, models as arrays, and models in files."""

import copy
import json
import random

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from sklearn.datasets import load_digits
from support import run_python

from micrograd_fast import MLP, Module, Value, cross_entropy
from micrograd_fast.data import minibatches
from micrograd_fast.io import load_model, save_model
from micrograd_fast.nn import Activation, Layer, Linear, Neuron, Sequential
from micrograd_fast.optim import SGD, Adagrad, Adam, AdamW, RMSprop, StepLR


class Mixed(Module):
    """Parameters in every kind of attribute, and Values that are none."""

    def __init__(self):
        self.scale = Value(2.0)
        self.table = [[Value(1.0), Value(2.0), Value(3.0)], [Value(4.0), Value(5.0), Value(6.0)]]
        self.ragged = [[Value(7.0)], [Value(8.0), Value(9.0)]]
        self.by_name = {"head": Neuron(2)}
        self.layers = (Layer(2, 2), Layer(2, 1))
        self.last_output = self.scale * 2.0
        self.itself = self

    def parameters(self):
        rows = [*self.table, *self.ragged]
        modules = [self.by_name["head"], *self.layers]
        return [
            self.scale,
            *(value for row in rows for value in row),
            *(p for module in modules for p in module.parameters()),
        ]


MODELS = {
    "MLP": lambda: MLP(3, [4, 2]),
    "Layer": lambda: Layer(3, 2),
    "Neuron": lambda: Neuron(3),
    "Linear": lambda: Linear(3, 2),
    "Sequential": lambda: Sequential(Linear(3, 4), Activation("tanh"), Linear(4, 1)),
    "Mixed": Mixed,
}


def numbers(model):
    return [p.data for p in model.parameters()]


@pytest.mark.parametrize("kind", MODELS)
def test_every_parameter_has_one_name_and_a_place_in_the_arrays(kind):
    model = MODELS[kind]()
    named = dict(model.named_parameters())
    assert sorted(map(id, named.values())) == sorted(map(id, model.parameters()))
    state = model.state_dict()
    for name, value in named.items():
        array, _, index = name.partition("[")
        place = tuple(map(int, index[:-1].split(", "))) if index else ()
        assert state[array][place] == value.data
        assert state[array].dtype == np.float64
    assert sum(array.size for array in state.values()) == len(named)


def test_names_are_pytorch_s():
    shapes = {name: array.shape for name, array in MLP(2, [4, 1]).state_dict().items()}
    assert shapes == {
        "layers.0.weight": (4, 2),
        "layers.0.bias": (4,),
        "layers.1.weight": (1, 4),
        "layers.1.bias": (1,),
    }
    assert list(Mixed().state_dict()) == [
        "scale",
        "table",
        "ragged.0",
        "ragged.1",
        "by_name.head.weight",
        "by_name.head.bias",
        "layers.0.weight",
        "layers.0.bias",
        "layers.1.weight",
        "layers.1.bias",
    ]


def test_stacks_of_linear_go_to_pytorch_and_back():
    ours = Sequential(Linear(3, 5), Activation("tanh"), Linear(5, 2))
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2))
    theirs = theirs.double()
    x = [0.5, -1.0, 2.0]
    ours.load_state_dict(theirs.state_dict())
    outputs = theirs(torch.tensor(x, dtype=torch.float64)).tolist()
    assert [out.data for out in ours(x)] == pytest.approx(outputs, rel=1e-12)
    other = Sequential(Linear(3, 5), Activation("tanh"), Linear(5, 2))
    state = {name: torch.tensor(array) for name, array in other.state_dict().items()}
    theirs.load_state_dict(state)
    outputs = theirs(torch.tensor(x, dtype=torch.float64)).tolist()
    assert [out.data for out in other(x)] == pytest.approx(outputs, rel=1e-12)


@pytest.mark.parametrize("kind", MODELS)
def test_a_state_is_taken_over_to_the_bit(kind):
    random.seed(3)
    one, other = MODELS[kind](), MODELS[kind]()
    one.parameters()[0].data = -0.0
    other.load_state_dict(one.state_dict())
    assert list(map(float.hex, numbers(other))) == list(map(float.hex, numbers(one)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("layers.0.bias"), "found no layers.0.bias, and unknown none"),
        (lambda s: s.update(extra=np.zeros(1)), "found no lack, and unknown extra"),
        (
            lambda s: s.update({"layers.0.weight": np.zeros((2, 4))}),
            r"layers.0.weight must be of shape \(4, 2\), found \(2, 4\)",
        ),
        (
            lambda s: s.update({"layers.1.bias": np.array(["x"])}),
            "layers.1.bias must be real numbers, found <U1",
        ),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, message):
    model = MLP(2, [4, 1])
    before = numbers(model)
    state = {name: array + 1.0 for name, array in model.state_dict().items()}
    change(state)
    with pytest.raises((ValueError, TypeError), match=message):
        model.load_state_dict(state)
    assert numbers(model) == before


def test_parameters_that_are_nowhere_are_told_of():
    class Hidden(Module):
        def parameters(self):
            return [Value(1.0), Value(2.0)]

    with pytest.raises(TypeError, match="every parameter of Hidden must be in one of its attrib"):
        Hidden().state_dict()

    class Half(Module):
        def __init__(self):
            self.pair = [Value(1.0), Value(2.0)]

        def parameters(self):
            return self.pair[:1]

    with pytest.raises(TypeError, match="pair must be parameters all, found 1 that are some"):
        list(Half().named_parameters())


# Files -------------------------------------------------------------------------------------------


def trained(model, optimizer, schedule, n_steps):
    for step in range(n_steps):
        optimizer.zero_grad()
        ((model([0.3 * step, -1.0]) - 1.0) ** 2).backward()
        optimizer.step()
        schedule.step()
    return list(map(float.hex, numbers(model)))


def make_training(kind):
    random.seed(5)
    model = MLP(2, [6, 1], activation="tanh")
    optimizer = OPTIMIZERS[kind](model)
    return model, optimizer, StepLR(optimizer, 3, gamma=0.5)


def groups(model, **options):
    """A group for each layer, which has one option of its own."""
    ((name, values),) = options.items()
    return [
        {"params": layer.parameters(), name: value}
        for layer, value in zip(model.layers, values, strict=True)
    ]


OPTIMIZERS = {
    "SGD": lambda model: SGD(model.parameters(), lr=0.1, momentum=0.9),
    "SGD upwards": lambda model: SGD(model.parameters(), lr=0.001, momentum=0.9, maximize=True),
    "Adam": lambda model: Adam(model.parameters(), lr=0.1),
    "AMSGrad": lambda model: Adam(model.parameters(), lr=0.1, betas=(0.5, 0.6), amsgrad=True),
    "AdamW upwards": lambda model: AdamW(model.parameters(), amsgrad=True, maximize=True),
    "RMSprop": lambda model: RMSprop(model.parameters()),
    "RMSprop with all": lambda model: RMSprop(
        model.parameters(), momentum=0.7, centered=True, weight_decay=0.1, maximize=True
    ),
    "Adagrad": lambda model: Adagrad(model.parameters(), lr=0.1),
    "Adagrad with all": lambda model: Adagrad(
        model.parameters(),
        lr_decay=0.1,
        weight_decay=0.1,
        initial_accumulator_value=0.5,
        maximize=True,
    ),
    "groups": lambda model: Adam(groups(model, lr=[0.1, 0.05])),
    "AMSGrad in a group": lambda model: Adam(
        groups(model, amsgrad=[False, True]), betas=(0.5, 0.6)
    ),
    "a momentum in a group": lambda model: RMSprop(groups(model, momentum=[0.5, 0.0])),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_training_goes_on_from_a_file_with_the_same_bits(kind, tmp_path):
    whole = make_training(kind)
    first = make_training(kind)
    trained(*first, 4)
    save_model(tmp_path / "model.safetensors", *first)
    second = make_training(kind)
    trained(*second, 1)
    load_model(tmp_path / "model.safetensors", *second)
    trained(*whole, 4)
    assert trained(*second, 5) == trained(*whole, 5)
    # Text, in which pairs and lists are one, and no sign of a zero is lost.
    assert json.dumps(all_of(*second)) == json.dumps(all_of(*whole))


@pytest.mark.parametrize("kind", ["AMSGrad", "RMSprop with all", "Adagrad with all"])
def test_what_a_file_does_not_hold_makes_another_training(kind, tmp_path):
    path = tmp_path / "model.safetensors"
    first = make_training(kind)
    trained(*first, 4)
    save_model(path, *first)
    arrays = safetensors.numpy.load_file(path)
    columns = {name for name in arrays if name.startswith("optimizer.")}
    if kind.startswith("RMSprop"):  # which has no use for the number of the step
        columns.remove("optimizer.step")
    assert columns
    for name in columns:
        second, third = make_training(kind), make_training(kind)
        load_model(path, *second)
        load_model(path, *third)
        state = third[1].state_dict()
        for entry in state["state"].values():
            entry[name.removeprefix("optimizer.")] += 3
        third[1].load_state_dict(state)
        assert trained(*second, 2) != trained(*third, 2), name


def test_the_file_is_one_that_other_programs_read(tmp_path):
    model = Linear(3, 2)
    save_model(tmp_path / "m", model)
    arrays = safetensors.numpy.load_file(tmp_path / "m")
    assert {name: array.tolist() for name, array in arrays.items()} == {
        name: array.tolist() for name, array in model.state_dict().items()
    }
    theirs = torch.nn.Linear(3, 2).double()
    theirs.load_state_dict(safetensors.torch.load_file(tmp_path / "m"))
    safetensors.torch.save_file(torch.nn.Linear(3, 2).state_dict(), tmp_path / "theirs")
    load_model(tmp_path / "theirs", model)


@pytest.mark.parametrize("n_bytes", [0, 4, 8, 100, -1])
def test_a_truncated_file_leaves_everything_as_it_was(n_bytes, tmp_path):
    path = tmp_path / "m"
    save_model(path, *make_training("Adam"))
    path.write_bytes(path.read_bytes()[:n_bytes])
    check_refused(path, "is no model")


def check_refused(path, message):
    training = make_training("Adam")
    trained(*training, 2)
    before = copy.deepcopy(all_of(*training))
    with pytest.raises(ValueError, match=message):
        load_model(path, *training)
    assert all_of(*training) == before


def all_of(model, optimizer, schedule):
    return numbers(model), optimizer.state_dict(), schedule.state_dict()


def test_foreign_files_leave_everything_as_it_was(tmp_path):
    path = tmp_path / "m"
    path.write_bytes(b"\x80\x04\x95" + b"x" * 100)
    check_refused(path, "is no model")
    save_model(path, MLP(2, [6, 1]))
    check_refused(path, "holds no state of the optimizer")
    save_model(path, MLP(3, [6, 1]), *make_training("Adam")[1:])
    check_refused(path, r"layers.0.weight must be of shape \(6, 2\), found \(6, 3\)")
    save_model(path, *make_training("SGD"))
    check_refused(path, "the state of Adam must have 'exp_avg'")
    header = {"training": json.dumps({"optimizer": {"keys": ["a"], "numbers": [0]}})}
    arrays = MLP(2, [6, 1]).state_dict()
    path.write_bytes(safetensors.numpy.save(arrays, header))
    check_refused(path, "the state of the optimizer is damaged")


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "m"
    model = Linear(2, 1)
    save_model(path, model)
    content = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        save_model(path, Linear(2, 1))
    assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "none", model)


def test_without_safetensors_one_line_says_what_to_install():
    said = run_python(
        """
        import sys
        sys.modules["safetensors"] = None
        from micrograd_fast.io import save_model
        from micrograd_fast.nn import Linear
        try:
            save_model("m", Linear(1, 1))
        except ImportError as error:
            print(error)
        """
    )
    assert 'pip install "micrograd_fast[io]"' in said
    assert len(said.splitlines()) == 1


# How models begin --------------------------------------------------------------------------------


def test_weights_are_drawn_as_init_says():
    n_in, n_out = 50, 40
    for init, bound in (("uniform", 1.0), ("glorot", (6.0 / (n_in + n_out)) ** 0.5)):
        weights = MLP(n_in, [n_out], init=init, seed=1).state_dict()["layers.0.weight"]
        assert 0.99 * bound < np.abs(weights).max() <= bound
        assert abs(weights.mean()) < 0.05 * bound
    weights = MLP(n_in, [n_out], init="he", seed=1).state_dict()["layers.0.weight"]
    assert weights.std() == pytest.approx((2.0 / n_in) ** 0.5, rel=0.05)
    with pytest.raises(ValueError, match='init must be "uniform", "glorot" or "he", found \'x\''):
        MLP(2, [1], init="x")


@pytest.mark.parametrize("fold", range(3))
def test_glorot_learns_digits_in_every_fold(fold):
    images, digits = load_digits(return_X_y=True)
    images = images / 16.0
    held_out = np.random.default_rng(0).permutation(len(images)) % 3 == fold
    model = MLP(64, [32, 10], activation="relu", init="glorot", seed=fold)
    optimizer = Adam(model.parameters(), lr=0.001)
    for epoch in range(20):
        for x, y in minibatches(images[~held_out], digits[~held_out], batch_size=32, seed=epoch):
            optimizer.zero_grad()
            cross_entropy(model(x), y).backward()
            optimizer.step()
    found = model.predict(images[held_out]).argmax(axis=1)
    assert np.mean(found == digits[held_out]) >= 0.91


def test_a_seed_leaves_python_s_random_alone():
    random.seed(11)
    state = random.getstate()
    one, other = (numbers(MLP(2, [3, 1], init=init, seed=4)) for init in ("he", "he"))
    assert one == other != numbers(MLP(2, [3, 1], init="he", seed=5))
    assert numbers(Linear(2, 3, seed=1)) == numbers(Linear(2, 3, seed=1))
    assert random.getstate() == state
    assert numbers(MLP(2, [3, 1])) != numbers(MLP(2, [3, 1]))
    random.seed(1337)
    seeded = numbers(MLP(2, [3, 1], seed=1337))
    assert numbers(MLP(2, [3, 1])) == seeded


def test_linear_and_sequential_take_rows_and_learn():
    model = Sequential(Linear(2, 4, seed=1), Activation("relu"), lambda x: x, Linear(4, 1, seed=2))
    x = np.array([[1.0, 2.0], [-1.0, 0.5]])
    outputs = model(x)
    assert [[v.data for v in row] for row in outputs] == [[v.data for v in model(r)] for r in x]
    outputs[0][0].backward()
    assert any(p.grad != 0.0 for p in model.parameters())
    assert model.predict(x).shape == (2, 1)
    assert repr(Sequential(Linear(2, 1), Activation("tanh"))) == (
        "Sequential(Linear(2, 1), Activation('tanh'))"
    )
    with pytest.raises(TypeError, match=r"modules\[1\] must be callable, found int"):
        Sequential(Linear(1, 1), 3)
    with pytest.raises(ValueError, match=r"name must be one of relu, .*, found 'rleu'"):
        Activation("rleu")
    bound = 0.5**0.5
    weights = np.concatenate([a.ravel() for a in Linear(2, 500, seed=3).state_dict().values()])
    assert 0.99 * bound < np.abs(weights).max() <= bound
