"""Losses: PyTorch's numbers and gradients, on both engines with the same bits."""

import math
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support import trace

from micrograd_fast import MLP, Value, _core, jit, losses, reference
from micrograd_fast import compile as freeze

SEED = 30


def leaves(kind, numbers):
    return [kind(number) for number in numbers]


def tensor(numbers):
    return torch.tensor(numbers, dtype=torch.float64, requires_grad=True)


LOSSES = [
    ("mse_loss", lambda rng: rng.uniform(-3, 3), lambda rng: rng.uniform(-3, 3), F.mse_loss),
    (
        "binary_cross_entropy",
        lambda rng: rng.uniform(0.01, 0.99),
        lambda rng: float(rng.randrange(2)),
        F.binary_cross_entropy,
    ),
    (
        "binary_cross_entropy_with_logits",
        lambda rng: rng.uniform(-40, 40),
        lambda rng: rng.random(),
        F.binary_cross_entropy_with_logits,
    ),
    (
        "hinge_loss",
        lambda rng: rng.uniform(-3, 3),
        lambda rng: rng.choice([-1.0, 1.0]),
        lambda s, t, reduction: getattr((1 - t * s).relu(), reduction)(),
    ),
]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("name", "value", "target", "theirs"), LOSSES)
def test_losses_are_those_of_pytorch(name, value, target, theirs, reduction):
    rng = random.Random(SEED)
    for n in (1, 2, 17):
        numbers, targets = [value(rng) for _ in range(n)], [target(rng) for _ in range(n)]
        ours = leaves(Value, numbers)
        loss = getattr(losses, name)(ours, targets, reduction=reduction)
        loss.backward()
        x = tensor(numbers)
        wanted = theirs(x, torch.tensor(targets, dtype=torch.float64), reduction=reduction)
        wanted.backward()
        assert loss.data == pytest.approx(wanted.item(), rel=1e-12, abs=1e-15)
        grads = [p.grad for p in ours]
        assert grads == pytest.approx(x.grad.tolist(), rel=1e-11, abs=1e-15)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_cross_entropy_is_that_of_pytorch(reduction):
    rng = random.Random(SEED)
    numbers = [[rng.uniform(-30, 30) for _ in range(5)] for _ in range(4)]
    classes = [rng.randrange(5) for _ in range(4)]
    rows = [leaves(Value, row) for row in numbers]
    loss = losses.cross_entropy(rows, classes, reduction=reduction)
    loss.backward()
    x = tensor(numbers)
    wanted = F.cross_entropy(x, torch.tensor(classes), reduction=reduction)
    wanted.backward()
    assert loss.data == pytest.approx(wanted.item(), rel=1e-12)
    for row, grads in zip(rows, x.grad.tolist(), strict=True):
        assert [p.grad for p in row] == pytest.approx(grads, rel=1e-10, abs=1e-14)
    parts = losses.nll_loss([losses.log_softmax(row) for row in rows], classes, reduction)
    assert parts.data == pytest.approx(wanted.item(), rel=1e-12)


def test_softmax_sums_to_one_and_does_not_overflow():
    probabilities = losses.softmax(leaves(Value, [1000.0, 999.0, -1000.0]))
    assert sum(p.data for p in probabilities) == pytest.approx(1.0, rel=1e-15)
    wanted = torch.softmax(torch.tensor([1000.0, 999.0, -1000.0], dtype=torch.float64), 0)
    assert [p.data for p in probabilities] == pytest.approx(wanted.tolist(), rel=1e-14)


def test_a_loss_leaves_the_neurons_of_a_layer_as_they_are():
    def nodes_of_loss(logits):
        before = _core.arena_stats()["live_nodes"]
        loss = losses.cross_entropy(logits, 1)
        return _core.arena_stats()["live_nodes"] - before, loss

    random.seed(3)
    outputs = MLP(4, [5, 3])([1.0, -2.0, 0.5, 3.0])
    of_neurons = nodes_of_loss(outputs)
    of_leaves = nodes_of_loss([Value(v.data) for v in outputs])
    assert of_neurons[0] == of_leaves[0]
    assert of_neurons[1].data == of_leaves[1].data


SOFTMAXES = {
    "softmax": lambda engine, x: engine.sum([p**2 for p in losses.softmax(x)]),
    "log_softmax": lambda engine, x: engine.dot(losses.log_softmax(x), [0.5, 3, -2][: len(x)]),
    "cross_entropy": lambda engine, x: losses.cross_entropy(x, len(x) - 1),
}


@pytest.mark.parametrize("name", SOFTMAXES)
@pytest.mark.parametrize("numbers", [[0.25], [1.0, 2.0, -3.0], [2.0, 2.0], [-1.0, -0.5, -0.5]])
def test_the_largest_logit_is_part_of_the_graph(engine, name, numbers):
    """In its place, and once: the largest so far against each of the others, in order."""
    x = leaves(engine.Value, numbers)
    nodes = trace(SOFTMAXES[name](engine, x))
    (detached,) = (node for node in nodes if node._op == "detach")
    largest = detached._children[0]
    for logit in reversed(x[1:]):
        assert (largest._op, largest._children[1]) == ("maximum", logit)
        largest = largest._children[0]
    assert largest is x[0]
    assert sum(node._op == "maximum" for node in nodes) == len(x) - 1
    assert detached.data == max(numbers)


@pytest.mark.parametrize("name", SOFTMAXES)
def test_a_nan_among_the_logits_is_in_every_result(engine, name):
    for place in range(3):
        x = leaves(engine.Value, [0.5, -1.0, 2.0])
        x[place].data = math.nan
        loss = SOFTMAXES[name](engine, x)
        loss.backward()
        assert all(math.isnan(number) for number in (loss.data, *(p.grad for p in x)))


@pytest.mark.parametrize(
    "classes",
    [
        [np.int64(2), np.uint8(0)],
        np.array([2, 0]),
        [np.float64(2.0), 0.0],
        [torch.tensor(2), torch.tensor(0)],
        torch.tensor([2, 0]),
        (2, 0),
    ],
)
def test_classes_may_be_numbers_of_any_library(classes):
    rows = [leaves(Value, [0.5, -1.0, 2.0]), leaves(Value, [1.0, 0.25, -3.0])]
    for loss in (losses.cross_entropy, losses.nll_loss):
        assert loss(rows, classes).data == loss(rows, [2, 0]).data


def test_cross_entropy_of_one_sample_takes_a_class():
    logits = leaves(Value, [0.0, 2.0, -1.0])
    losses.cross_entropy(logits, 1).backward()
    p = torch.softmax(torch.tensor([0.0, 2.0, -1.0], dtype=torch.float64), 0).tolist()
    assert [x.grad for x in logits] == pytest.approx([p[0], p[1] - 1, p[2]], rel=1e-12)


@pytest.mark.parametrize("kind", [Value, reference.Value])
@pytest.mark.parametrize("logit", [-90.0, -30.0, -28.0, -27.0, -1.0, 1.0, 27.0, 30.0])
def test_the_slope_is_largest_where_the_model_is_most_wrong(kind, logit):
    """To the logit, that is 1 - p; here p may be as small as it likes."""
    for target, sign in ((1, 1.0), (0, -1.0)):
        if sign < 0.0 and logit < -36.0:
            continue  # the sigmoid is 1.0
        x = kind(sign * logit)
        losses.binary_cross_entropy([x.sigmoid()], [target]).backward()
        wrong = 1.0 / (1.0 + math.exp(logit))
        # A probability near 1 is only so near as doubles are.
        assert x.grad == pytest.approx(-sign * wrong, rel=1e-9 if sign > 0 else 0.2, abs=1e-15)


def test_terms_of_binary_cross_entropy_have_pytorchs_bound():
    for probability, target in ((0.0, 1), (1.0, 0), (1e-50, 1)):
        p = Value(probability)
        loss = losses.binary_cross_entropy(p, target)
        loss.backward()
        wanted = F.binary_cross_entropy(
            torch.tensor(probability, dtype=torch.float64),
            torch.tensor(float(target), dtype=torch.float64),
        )
        assert loss.data == pytest.approx(wanted.item(), rel=1e-15) == pytest.approx(100.0)


@pytest.mark.parametrize("kind", [Value, reference.Value])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_probability_of_exactly_0_or_1_has_a_slope_where_it_is_wrong(kind, reduction):
    for probability, target, sign in ((0.0, 1, -1), (1e-50, 1, -1), (1.0, 0, 1)):
        for eps in ({}, {"eps": 1e-7}):
            p = kind(probability)
            loss = losses.binary_cross_entropy([p], [target], reduction=reduction, **eps)
            (loss[0] if reduction == "none" else loss).backward()
            assert p.grad * sign == pytest.approx(1e7 if eps else 1e28, rel=1e-12)
        right = kind(probability)
        losses.binary_cross_entropy([right], [1 - target]).backward()
        assert right.grad == pytest.approx(-sign, rel=1e-12)


def test_below_eps_the_logarithm_goes_on_as_its_tangent():
    for p in (0.0, 1e-9, 5e-8, 1e-7):
        tangent = math.log(1e-7) + (p - 1e-7) / 1e-7
        found = losses.binary_cross_entropy(Value(p), 1, eps=1e-7).data
        assert found == pytest.approx(-tangent, rel=1e-12)
    at_the_kink = Value(1e-7)
    losses.binary_cross_entropy(at_the_kink, 1, eps=1e-7).backward()
    assert at_the_kink.grad == pytest.approx(-1e7, rel=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_program_has_the_slope_of_a_probability_of_0_too(dtype):
    p = Value(0.5)
    program = freeze(
        losses.binary_cross_entropy([p], [1]), [p], dtype=dtype, fast=dtype == "float32"
    )
    values, gradients = program.value_and_grad([[0.0], [0.25], [1.0]])
    assert values == pytest.approx([100.0, -math.log(0.25), 0.0], rel=1e-6)
    assert [row[0] for row in gradients] == pytest.approx([-1e28, -4.0, -1.0], rel=1e-6)


@pytest.mark.parametrize("eps", [0.0, -1e-7, 1.0, math.nan])
def test_an_eps_that_is_no_small_number_is_refused(eps):
    with pytest.raises(ValueError, match=r"eps must be a number above 0 and below 1, found"):
        losses.binary_cross_entropy([Value(0.5)], [1], eps=eps)


@pytest.mark.parametrize("number", [5.0, 1.0000001, -0.5, math.nan, math.inf])
@pytest.mark.parametrize("kind", [Value, reference.Value])
def test_what_is_no_probability_is_refused(kind, number):
    with pytest.raises(ValueError, match=r"probability 1 .* from 0 to 1, found .*with_logits"):
        losses.binary_cross_entropy([kind(0.5), kind(number)], [1, 0])


def test_a_traced_probability_is_checked_without_a_warning():
    jitted = jit(lambda p: losses.binary_cross_entropy([p], [1]), frozen_reads="error")
    assert jitted(0.5) == pytest.approx(math.log(2.0))


@pytest.mark.parametrize(
    "loss",
    [
        lambda kind, x: losses.mse_loss(x, [0.5, -1.0, 2.0]),
        lambda kind, x: losses.hinge_loss(x, [1, -1, 1], reduction="sum"),
        lambda kind, x: losses.binary_cross_entropy_with_logits(x, [0, 1, 0.5]),
        lambda kind, x: losses.binary_cross_entropy([v.sigmoid() for v in x], [0, 1, 1]),
        lambda kind, x: losses.cross_entropy(x, 2),
        lambda kind, x: losses.nll_loss(losses.log_softmax(x), 0),
        lambda kind, x: losses.softmax(x)[1],
    ],
)
def test_both_engines_have_the_same_bits(loss):
    rng = random.Random(SEED)
    for _ in range(20):
        numbers = [rng.uniform(-3, 3) for _ in range(3)]
        results = []
        for kind in (Value, reference.Value):
            x = leaves(kind, numbers)
            out = loss(kind, x)
            out.backward()
            results.append([out.data, *(p.grad for p in x)])
        assert results[0] == results[1], f"seed {SEED}, {numbers}"


def test_targets_may_be_arrays():
    import numpy as np

    x = leaves(Value, [1.0, 2.0])
    assert losses.mse_loss(x, np.array([0.0, 0.0])).data == 2.5
    assert losses.hinge_loss(x, np.array([1, -1], dtype=np.int8)).data == 1.5
    assert losses.cross_entropy(x, np.int64(1)).data == losses.cross_entropy(x, 1).data


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: losses.mse_loss(x, [1.0]), "found 2 values and 1 targets"),
        (lambda x: losses.mse_loss([], []), "empty batch"),
        (lambda x: losses.mse_loss(x, [1.0, 2.0], reduction="average"), "found 'average'"),
        (lambda x: losses.hinge_loss(x, [1, 0]), "target 1 .* found 0"),
        (lambda x: losses.binary_cross_entropy(x, [0.5, 1.5]), "target 1 .* found 1.5"),
        (lambda x: losses.binary_cross_entropy_with_logits(x, [-1, 0]), "target 0 .* found -1"),
        (lambda x: losses.cross_entropy(x, 2), "from 0 to 1, found 2"),
        (lambda x: losses.cross_entropy(x[:1], 3), "0, the only class of its row, found 3"),
        (lambda x: losses.nll_loss([x, []], [0, 0]), "target 1 .* an empty row"),
        (lambda x: losses.cross_entropy(x, 0.5), "found 0.5"),
        (lambda x: losses.cross_entropy([x, x], [0]), "2 rows and 1 classes"),
        (lambda x: losses.cross_entropy([], []), "empty batch"),
        (lambda x: losses.softmax([]), "empty list"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(leaves(Value, [0.25, 0.5]))


PAIRED = [
    losses.mse_loss,
    losses.hinge_loss,
    losses.binary_cross_entropy,
    losses.binary_cross_entropy_with_logits,
]


@pytest.mark.parametrize("loss", PAIRED)
def test_rows_and_text_in_the_place_of_numbers_are_refused(loss):
    x = leaves(Value, [0.25, 0.5])
    name = loss.__name__
    for values, targets, message in [
        (x, [[1.0], [1.0]], f"target 0 of {name} must be a number, found list"),
        (x, [1.0, "1"], f"target 1 of {name} must be a number, found str"),
        ([x, x], [1.0, 1.0], f"value 0 of {name} must be a number, found list"),
        (None, [1.0, 1.0], f"values of {name} must be a list of Values, found NoneType"),
    ]:
        with pytest.raises(TypeError, match=message):
            loss(values, targets)


@pytest.mark.parametrize(
    "loss", [*PAIRED, losses.nll_loss, losses.cross_entropy], ids=lambda loss: loss.__name__
)
def test_every_message_says_which_loss_it_is(loss):
    x = leaves(Value, [0.25, 0.5])
    name = loss.__name__
    rows = [x, x] if loss not in PAIRED else x
    for values, targets, reduction, start in [
        (rows, [1], "mean", f"targets of {name} must be "),
        ([], [], "mean", f"values of {name} must be "),
        (rows, [1, 1], "average", f"reduction of {name} must be "),
    ]:
        with pytest.raises(ValueError, match=f"^{start}"):
            loss(values, targets, reduction=reduction)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: losses.softmax([x, x]), "logit 0 of softmax must be a Value, found list"),
        (lambda x: losses.softmax([1.0]), "logit 0 of softmax must be a Value, found float"),
        (
            lambda x: losses.log_softmax([*x, 1.0]),
            "logit 2 of log_softmax must be a Value, found float",
        ),
        (
            lambda x: losses.cross_entropy([x, [1.0]], [0, 0]),
            "logit 0 of row 1 of cross_entropy must be a Value, found float",
        ),
        (lambda x: losses.cross_entropy([1.0, 2.0], 0), "a list of Values, found float"),
        (lambda x: losses.nll_loss(1.0, 0), "a list of Values, found float"),
    ],
)
def test_numbers_in_the_place_of_values_are_refused(call, message):
    with pytest.raises(TypeError, match=message):
        call(leaves(Value, [0.25, 0.5]))


def test_outputs_of_one_class_for_several_rows_are_not_called_one_row():
    scores = [Value(1.0), Value(2.0), Value(3.0)]
    with pytest.raises(ValueError, match=r"a row for each of the 3 targets, found 3 Values"):
        losses.cross_entropy(scores, [0, 0, 0])
    assert losses.cross_entropy([[score] for score in scores], [0, 0, 0]).data == 0.0


# Rows of rows, terms, smoothing ------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("name", "value", "target", "theirs"), LOSSES)
def test_rows_of_rows_are_those_of_pytorch(name, value, target, theirs, reduction):
    rng = random.Random(SEED)
    numbers = [[value(rng) for _ in range(3)] for _ in range(4)]
    targets = [[target(rng) for _ in range(3)] for _ in range(4)]
    if (name, reduction) == ("hinge_loss", "none"):
        theirs = lambda s, t, reduction: (1 - t * s).relu()  # noqa: E731
    x = tensor(numbers)
    wanted = theirs(x, torch.tensor(targets, dtype=torch.float64), reduction=reduction)
    wanted.sum().backward()
    for given in (targets, np.array(targets), [tuple(row) for row in targets]):
        ours = [leaves(Value, row) for row in numbers]
        loss = getattr(losses, name)(ours, given, reduction=reduction)
        if reduction == "none":
            assert [len(row) for row in loss] == [3] * 4
            found = [v.data for row in loss for v in row]
            loss = sum(v for row in loss for v in row)
        else:
            found = [loss.data]
        loss.backward()
        assert found == pytest.approx(wanted.ravel().tolist(), rel=1e-12, abs=1e-15)
        slopes = [v.grad for row in ours for v in row]
        assert slopes == pytest.approx(x.grad.ravel().tolist(), rel=1e-9, abs=1e-13)


def test_a_model_of_several_outputs_is_compared_with_a_2d_array():
    random.seed(5)
    model = MLP(2, [4, 3])
    points, wanted = np.ones((5, 2)), np.zeros((5, 3))
    loss = losses.mse_loss(model(points), wanted)
    assert loss.data == pytest.approx(float((model.predict(points) ** 2).mean()), rel=1e-12)


@pytest.mark.parametrize("name", [name for name, *_ in LOSSES])
def test_terms_are_those_that_are_added_up(name):
    rng = random.Random(SEED)
    _, value, target, _ = next(row for row in LOSSES if row[0] == name)
    numbers, targets = [value(rng) for _ in range(6)], [target(rng) for _ in range(6)]
    for kind in (Value, reference.Value):
        x = leaves(kind, numbers)
        terms = getattr(losses, name)(x, targets, reduction="none")
        total = getattr(losses, name)(x, targets, reduction="sum")
        assert sum(terms).data == total.data
        assert len(terms) == 6


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("kind", [Value, reference.Value])
def test_cross_entropy_smooths_as_pytorch_does(kind, reduction, smoothing):
    rng = random.Random(SEED)
    numbers = [[rng.uniform(-4, 4) for _ in range(5)] for _ in range(3)]
    x = tensor(numbers)
    options = {"reduction": reduction, "label_smoothing": smoothing}
    wanted = F.cross_entropy(x, torch.tensor([4, 0, 2]), **options)
    wanted.sum().backward()
    ours = [leaves(kind, row) for row in numbers]
    loss = losses.cross_entropy(ours, [4, 0, 2], **options)
    found = [v.data for v in loss] if reduction == "none" else [loss.data]
    (sum(loss) if reduction == "none" else loss).backward()
    assert found == pytest.approx(wanted.ravel().tolist(), rel=1e-12)
    slopes = [v.grad for row in ours for v in row]
    assert slopes == pytest.approx(x.grad.ravel().tolist(), rel=1e-12, abs=1e-15)


def test_rows_that_do_not_fit_are_refused():
    x = [leaves(Value, [0.5, 0.25]), leaves(Value, [0.5])]
    with pytest.raises(ValueError, match="found 1 values and 2 targets in row 1"):
        losses.mse_loss(x, [[1.0, 0.0], [1.0, 0.0]])
    with pytest.raises(ValueError, match="found 2 values and 1 targets"):
        losses.mse_loss(x, [[1.0, 0.0]])
    with pytest.raises(ValueError, match="found an empty batch"):
        losses.mse_loss([[], []], [[], []])
    with pytest.raises(ValueError, match=r"label_smoothing .* from 0 to 1, found 1\.5"):
        losses.cross_entropy(x, [0, 0], label_smoothing=1.5)
    with pytest.raises(ValueError, match=r"target 1 of hinge_loss must be -1 or \+1, found 0\.5"):
        losses.hinge_loss(x[0], [1.0, 0.5], reduction="none")
