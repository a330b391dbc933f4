"""Every derivative of a program against `torch.func`, to 1e-12."""

import numpy as np
import pytest
import torch

from micrograd_fast import Value, compile

# Functions of inputs x and parameters w, written once for Values and for tensors; a list is one
# of several outputs.
FUNCTIONS = {
    "a product": lambda x, w: x[0] * w[0],
    "a polynomial": lambda x, w: w[0] * x[0] ** 3 + w[1] * x[0] * x[1] - x[1] ** 2 / w[2],
    "a neuron": lambda x, w: (w[0] * x[0] + w[1] * x[1] + w[2]).tanh(),
    "two layers": lambda x, w: (
        (w[0] * x[0] + w[1]).tanh() * w[2] + (w[1] * x[1] + w[0]).sigmoid() * w[0]
    ).exp(),
    "without a parameter": lambda x, w: (x[0] * x[1]).sin() + 0.0 * (w[0] + w[1] + w[2]),
    "without an input": lambda x, w: (w[0] * w[1]).exp() / w[2] + 0.0 * (x[0] + x[1]),
    "powers": lambda x, w: (x[0] * x[0] + 1.0) ** w[0] + (x[1] * x[1] + 0.5) ** 1.5,
    "two outputs": lambda x, w: [w[0] * x[0] * x[1], (w[1] * x[1] + w[2]).tanh()],
    "three outputs, one alone": lambda x, w: [
        x[0] * x[0] * w[0],
        (x[1] * w[1]).exp() * x[0],
        w[2] * w[2] + 0.0 * x[0],
    ],
}
SEVERAL = {"two outputs", "three outputs, one alone"}
PARAMETERS = [0.7, -0.4, 1.3]
ROWS = np.array([[0.3, -1.2], [1.5, 0.4], [-0.8, 2.0], [0.0, 0.6]])


# Forward mode in PyTorch compiles its rules with a function that it deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script.:DeprecationWarning")
functions = pytest.mark.parametrize("name", FUNCTIONS)


def case_of(name):
    """A program, the same as a function of tensors, and whether it has several outputs."""
    function = FUNCTIONS[name]
    x, w = [Value(0.5), Value(0.25)], [Value(number) for number in PARAMETERS]
    program = compile(function(x, w), x, parameters=w)

    def of_torch(x, w):
        result = function(x, w)
        return torch.stack(result) if isinstance(result, list) else result

    return program, of_torch, name in SEVERAL


def tensors(row):
    return torch.tensor(row, dtype=torch.float64), torch.tensor(PARAMETERS, dtype=torch.float64)


def near(found, wanted):
    wanted = wanted.detach().numpy() if isinstance(wanted, torch.Tensor) else np.asarray(wanted)
    assert np.shape(found) == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-13)


#: What to differentiate by, and its places in the function of all numbers, inputs first.
BY = {
    "inputs": lambda program: ("inputs", [0, 1]),
    "parameters": lambda program: ("parameters", [2, 3, 4]),
    "some": lambda program: ([program.parameters[2], program.inputs[0]], [4, 0]),
}


def of_all(of_torch):
    """The function of one tensor with all numbers."""
    return lambda numbers: of_torch(numbers[:2], numbers[2:])


def all_numbers(row):
    return torch.cat(tensors(row))


@functions
@pytest.mark.parametrize("by", BY)
def test_gradients_and_jacobians(name, by, instruction_set):
    program, of_torch, several = case_of(name)
    wrt, places = BY[by](program)
    jacobian = torch.func.jacrev(of_all(of_torch))
    wanted = torch.stack([jacobian(all_numbers(row))[..., places] for row in ROWS])
    near(program.jacobian(ROWS, wrt=wrt), wanted)
    near(program.jacobian(ROWS[1], wrt=wrt), wanted[1])
    if several:
        return
    values, gradients = program.value_and_grad(ROWS, wrt=wrt)
    near(gradients, wanted)
    near(values, torch.stack([of_torch(*tensors(row)) for row in ROWS]))
    if by == "parameters":
        per_row = torch.func.vmap(torch.func.grad(of_torch, argnums=1), in_dims=(0, None))
        near(program.parameter_grads(ROWS), per_row(tensors(ROWS)[0], tensors(ROWS)[1]))
        near(program.value_and_parameter_grad(ROWS, "sum")[1], wanted.sum(0))
        weights = np.array([0.5, -1.0, 2.0, 0.25])
        near(
            program.value_and_parameter_grad(ROWS, weights)[1],
            (torch.tensor(weights)[:, None] * wanted).sum(0),
        )
        program.set_grad(np.zeros(3))
        program.backward(ROWS)
        near([p.grad for p in program.parameters], wanted.mean(0))


@functions
@pytest.mark.parametrize("by", BY)
def test_products_with_the_jacobian(name, by, instruction_set):
    program, of_torch, several = case_of(name)
    wrt, places = BY[by](program)
    direction = np.array([0.5, -2.0, 1.0][: len(places)])
    everywhere = torch.zeros(5, dtype=torch.float64)
    everywhere[places] = torch.tensor(direction)
    function = of_all(of_torch)
    wanted = torch.stack(
        [torch.func.jvp(function, (all_numbers(row),), (everywhere,))[1] for row in ROWS]
    )
    near(program.jvp(direction, ROWS, wrt=wrt), wanted)
    near(program.jvp(direction, ROWS[2], wrt=wrt), wanted[2])

    cotangents = np.array([[0.5, -1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 2.0, 2.0], [0.0, 1.0, 0.0]])
    cotangents = cotangents[:, : program.n_outputs] if several else cotangents[:, 0]
    wanted = []
    for row, numbers in zip(ROWS, cotangents, strict=True):
        _, pull = torch.func.vjp(function, all_numbers(row))
        wanted.append(pull(torch.tensor(numbers))[0][places])
    near(program.vjp(cotangents, ROWS, wrt=wrt), torch.stack(wanted))
    near(program.vjp(cotangents[0], ROWS[0], wrt=wrt), wanted[0])
    if several:
        alike = program.vjp(cotangents[0], ROWS, wrt=wrt)
        near(alike[0], wanted[0])


@functions
@pytest.mark.parametrize("by", BY)
def test_hessians_and_products_with_them(name, by, instruction_set):
    program, of_torch, several = case_of(name)
    if several:
        return
    wrt, places = BY[by](program)
    hessian = torch.func.hessian(of_all(of_torch))
    wanted = torch.stack([hessian(all_numbers(row))[places][:, places] for row in ROWS])
    direction = np.array([0.5, -2.0, 1.0][: len(places)])
    if by == "parameters":  # summed over the rows, which share them
        near(program.hessian(ROWS, "sum", wrt=wrt), wanted.sum(0))
        near(program.hvp(direction, ROWS, wrt=wrt), (wanted @ torch.tensor(direction)).mean(0))
    else:
        near(program.hessian(ROWS, wrt=wrt), wanted)
        near(program.hvp(direction, ROWS, wrt=wrt), wanted @ torch.tensor(direction))
    near(program.hessian(ROWS[1], wrt=wrt), wanted[1])


def test_vectors_of_another_shape_are_refused():
    x, w = Value(0.5), Value(2.0)
    program = compile([w * x, w + x], [x])
    with pytest.raises(
        ValueError, match=r"tangents must be of shape \(1,\), .* found shape \(2,\)"
    ):
        program.jvp([1.0, 2.0], [0.5])
    with pytest.raises(ValueError, match=r"cotangents must be of shape \(2,\), .* or \(1, 2\)"):
        program.vjp([1.0], [0.5])
    with pytest.raises(ValueError, match=r"or \(3, 2\), found shape \(2, 2\)"):
        program.vjp(np.ones((2, 2)), np.ones((3, 1)))


def test_a_direction_at_rest_does_not_ask_for_slopes(instruction_set):
    x = [Value(1.0), Value(4.0)]
    program = compile([x[0] * x[0], x[1].sqrt()], x)
    rows = np.array([[2.0, 0.0], [3.0, 4.0]])
    assert program.jvp([1.0, 0.0], rows).tolist() == [[4.0, 0.0], [6.0, 0.0]]
    with pytest.raises(ZeroDivisionError, match=r"^row 0: .*sqrt of 0\.0"):
        program.jvp([0.0, 1.0], rows)
    assert program.jvp([0.0, 1.0], rows[1:]).tolist() == [[0.0, 0.25]]
