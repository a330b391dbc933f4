"""The face of frozen programs: what they take, give, refuse, and keep in a file."""

import contextlib
import math
import pickle
import random
import threading
from fractions import Fraction

import numpy as np
import pytest
from frozen import all_bits, moons_loss, rows_for
from support import TESTS, in_threads, run_python

import micrograd_fast
from micrograd_fast import MLP, Value, _core, compile, load_program, optim, take

# What goes in and comes out ----------------------------------------------------------------------


def test_parameters_are_read_at_every_call():
    x, w = Value(2.0), Value(3.0)
    program = compile(w * x + 1, [x])
    assert program.parameters == (w,)
    assert program([2.0]) == 7.0
    w.data = -1.0
    assert program([2.0]) == -1.0
    optim.SGD([w], lr=0.5).step()
    assert program([2.0]) == -1.0
    w.grad = 1.0
    optim.SGD([w], lr=0.5).step()
    assert program([2.0]) == -2.0


def test_parameters_are_found_again_when_a_layer_is_laid_out_anew():
    random.seed(1)
    model = MLP(2, [3, 1])
    x = [Value(1.0), Value(2.0)]
    program = compile(model(x), x)
    before = program([1.0, 2.0])
    model.layers[1].neurons[0].b = Value(0.75)
    assert model([1.0, 2.0]).data != before
    assert program([1.0, 2.0]) == before
    model.layers[1].neurons[0].w[0].data += 1.0
    model.layers[1].neurons[0].b.data = 0.0  # what the old one holds
    assert program([1.0, 2.0]) == model([1.0, 2.0]).data != before


def test_numbers_are_constants_and_dropped_values_parameters():
    x = Value(1.0)
    named = Value(4.0)
    program = compile((x * 3 - named) / 2 + Value(0.5), [x])
    assert [p.data for p in program.parameters] == [4.0, 0.5]
    assert program.parameters[0] is named


def test_shapes_of_results():
    x = [Value(1.0), Value(2.0)]
    one = compile(x[0] * x[1], x)
    two = compile([x[0] * x[1], x[0] + 1.0, x[1]], x)
    rows = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])
    assert isinstance(one(rows[0]), float)
    assert one(rows).tolist() == [2.0, 12.0, 30.0, 56.0]
    assert one([[1, 2], [3, 4]]).tolist() == [2.0, 12.0]
    assert two(rows[0]).tolist() == [2.0, 2.0, 2.0]
    assert two(rows).tolist() == [[a * b, a + 1.0, b] for a, b in rows]
    assert one.jacobian(rows).tolist() == [[b, a] for a, b in rows]
    assert one.jacobian(rows[0]).tolist() == [2.0, 1.0]
    assert two.jacobian(rows).shape == (4, 3, 2)
    assert two.jacobian([3.0, 4.0]).tolist() == [[4.0, 3.0], [1.0, 0.0], [0.0, 1.0]]
    assert one(np.empty((0, 2))).shape == (0,)
    assert two(np.empty((0, 2))).shape == (0, 3)
    assert one.backward(np.empty((0, 2))) == 0.0
    assert one.value_and_grad(np.empty((0, 2)))[1].shape == (0, 2)
    assert one.parameter_grads(rows).shape == (4, 0)


def test_outputs_that_are_leaves():
    x, w = Value(1.5), Value(-0.0)
    program = compile([x, w, x, w * 0 + 2], [x])
    assert all_bits(program([math.nan])) == ["nan", "-0x0.0p+0", "nan", "0x1.0000000000000p+1"]
    assert program.jacobian([3.0]).tolist() == [[1.0], [0.0], [1.0], [0.0]]
    assert compile(w).backward() == 0.0
    assert w.grad == 1.0


@pytest.mark.parametrize(
    "convert",
    [
        lambda rows: rows.tolist(),
        lambda rows: [tuple(row) for row in rows],
        lambda rows: rows.astype(np.float32),
        lambda rows: np.asfortranarray(rows),
        lambda rows: np.repeat(np.repeat(rows, 2, axis=0), 3, axis=1)[::2, ::3],
        lambda rows: rows[::-1][::-1],
        lambda rows: rows.astype(">f8"),
        lambda rows: memoryview(np.ascontiguousarray(rows)),
        lambda rows: rows.astype(object),
        lambda rows: [[Fraction(number) for number in row] for row in rows],
    ],
)
def test_any_layout_of_rows_is_taken(convert):
    loss, inputs, _ = moons_loss()
    program = compile(loss, inputs)
    rows = np.float32(rows_for(program, 11)).astype(float)
    assert program(convert(rows)).tolist() == program(rows).tolist()


def test_torch_tensors_are_taken():
    import torch

    x = [Value(1.0), Value(2.0)]
    program = compile(x[0] * x[1], x)
    assert program(torch.tensor([[3.0, 4.0]])).tolist() == [12.0]


BAD_ROWS = [
    ([1.0, 2.0], ValueError, r"3 inputs .* \(3,\) or \(batch, 3\), found shape \(2,\)"),
    (np.ones((2, 4)), ValueError, r"found shape \(2, 4\)"),
    (np.ones((2, 3, 1)), ValueError, r"found shape \(2, 3, 1\)"),
    (1.0, ValueError, "found a single number"),
    ([[1.0, 2.0, 3.0], [1.0]], ValueError, "rows must be of one length"),
    (["a", "b", "c"], TypeError, "rows must be numbers"),
    (np.ones((1, 3), dtype=complex), TypeError, "complex128"),
    ([Value(1.0), 2.0, 3.0], TypeError, "found Value at index 0"),
    ([[1.0, 2.0, 3.0], [1.0, Value(2.0), 3.0]], TypeError, r"found Value at index \(1, 1\)"),
    (None, TypeError, "rows must be numbers, found NoneType"),
    (b"abc", TypeError, "rows must be numbers"),
]


@pytest.mark.parametrize(("rows", "error", "message"), BAD_ROWS)
def test_rows_of_another_kind_are_refused(rows, error, message):
    loss, inputs, _ = moons_loss()
    program = compile(loss, inputs)
    for call in (program, program.value_and_grad, program.backward, program.jacobian):
        with pytest.raises(error, match=message):
            call(rows)
    assert program(np.zeros(3)) == 1.0


def test_inputs_must_be_distinct_leaves_below_the_output():
    x, y = Value(1.0), Value(2.0)
    z = x * y
    for inputs, error, message in [
        ([x, 3.0], TypeError, r"inputs\[1\] must be a Value, found float"),
        (x, TypeError, "inputs must be a sequence of Values, found Value"),
        (None, TypeError, "inputs must be a sequence of Values, found NoneType"),
        ([x, z], ValueError, r"inputs\[1\].* is not a leaf"),
        ([x, y, x], ValueError, r"inputs\[2\] is the same Value as inputs\[0\]"),
    ]:
        with pytest.raises(error, match=message):
            compile(z, inputs)
    with pytest.raises(TypeError, match=r"outputs\[1\] must be a Value, found str"):
        compile([z, "z"])
    with pytest.raises(ValueError, match="output must be one Value or more, found"):
        compile([])


def test_graphs_that_cannot_be_replayed_are_refused_by_name():
    x = Value(1.0, label="x")
    custom = Value(x.data, (x,), "custom", label="my node")
    custom._backward = lambda: None
    with pytest.raises(ValueError, match=r"label='my node'.* has a Python _backward"):
        compile(custom * 2, [x])
    with pytest.raises(ValueError, match="without an operation"):
        compile(Value(2.0, (x,), (3.0,)) * 2, [x])
    hooked = Value(2.0, label="hooked")
    hooked._backward = lambda: None
    with pytest.raises(ValueError, match="hooked"):
        compile(hooked * x, [x])
    with pytest.raises(ValueError, match="hooked"):
        compile(hooked * x, [hooked])


def test_an_input_that_the_output_does_not_depend_on_has_derivatives_of_0():
    x, idle, w = Value(1.0), Value(5.0), Value(2.0)
    program = compile(w * x * x, [idle, x])
    rows = np.array([[7.0, 3.0], [math.nan, 4.0]])
    assert program(rows).tolist() == [18.0, 32.0]
    assert program.value_and_grad(rows)[1].tolist() == [[0.0, 12.0], [0.0, 16.0]]
    assert program.jacobian(rows[0], wrt=[idle, w]).tolist() == [0.0, 9.0]
    assert program.hessian(rows[0]).tolist() == [[0.0, 0.0], [0.0, 4.0]]
    assert program.hvp([1.0, 0.0], rows).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert compile(w * 2.0, [x]).value_and_grad([1.0])[1].tolist() == [0.0]
    assert compile([w, x], [x, idle]).jacobian([1.0, 2.0]).tolist() == [[0.0, 0.0], [1.0, 0.0]]


def test_several_outputs_have_no_single_gradient():
    x = Value(1.0)
    program = compile([x * 2, x * 3], [x])
    for call in (program.value_and_grad, program.backward, program.parameter_grads, program.fun):
        with pytest.raises(
            ValueError,
            match=f"a program must have one output for {call.__name__}, found a sequence of 2",
        ):
            call([1.0])


BAD_REDUCTIONS = [
    ("median", ValueError, r'reduction must be "mean", "sum" or an array.*, found \'median\''),
    (None, ValueError, "found None"),
    ([1.0, 2.0, 3.0], ValueError, r"reduction must be a weight for each of 2 rows.*shape \(3,\)"),
    (0.5, ValueError, r"reduction must be a weight for each of 2 rows, found shape \(\)"),
    ([1.0, "b"], TypeError, "reduction must be numbers"),
    ([1.0, Value(2.0)], TypeError, "reduction must be numbers, found Value at index 1"),
    ([1.0, 2j], TypeError, "reduction must be numbers, found an array of complex128"),
]


@pytest.mark.parametrize(("reduction", "error", "message"), BAD_REDUCTIONS)
def test_an_unknown_reduction_is_refused(reduction, error, message):
    x, w = Value(1.0), Value(2.0)
    program = compile(w * x, [x])
    rows = [[1.0], [2.0]]
    for call in (
        program.backward,
        program.value_and_parameter_grad,
        program.hessian,
        program.fun(None, rows, reduction),
    ):
        with pytest.raises(error, match=message):
            call([5.0]) if type(call).__name__ == "Objective" else call(rows, reduction)
    assert w.grad == 0.0


# What freezing finds -----------------------------------------------------------------------------


def test_what_is_frozen_is_counted():
    x, unused = Value(2.0), Value(3.0)
    constant = Value(1.0) * 0  # a Value is a parameter, whatever happens to it
    folded = x * 2
    _ = unused * x
    program = compile((folded + x.exp()) * x.exp() + constant, [x])
    stats = program.stats()
    assert stats["shared"] == 1
    assert stats["folded"] == 0
    assert [p.data for p in program.parameters] == [1.0]
    assert stats["bytes"] > 0
    assert stats["lanes"] % 8 == 0


def test_constants_are_folded_unless_they_would_raise():
    literal = (Value(0.0) * 0)._children[1]  # a leaf that was written as a number
    x = Value(1.0)
    program = compile(x + ((literal + 4) ** 2).exp(), [x])
    assert program.stats()["folded"] == 3
    assert program.parameters == ()
    assert program([1.0]) == 1.0 + math.exp(16.0)
    with pytest.raises(ZeroDivisionError):
        (x + literal**0.5).backward()
    with pytest.raises(ZeroDivisionError):
        compile(x + literal**0.5, [x]).value_and_grad([1.0])


# Threads -----------------------------------------------------------------------------------------


def test_one_program_serves_many_threads_at_once():
    loss, inputs, _ = moons_loss()
    program = compile(loss, inputs)
    batches = [rows_for(program, 300, seed) for seed in range(4)]
    wanted = [program.value_and_grad(rows) for rows in batches]

    def work(number):
        for _ in range(20):
            values, grads = program.value_and_grad(batches[number])
            assert values.tolist() == wanted[number][0].tolist()
            assert grads.tolist() == wanted[number][1].tolist()

    in_threads(work)


def test_gradients_of_calls_at_once_are_all_added():
    x, w = Value(1.0), Value(2.0)
    first, second = compile(w * x, [x]), compile(x * x * w, [x])
    rows = np.ones((4000, 1))

    def work(number):
        for _ in range(25):
            (first if number % 2 else second).backward(rows, "sum")

    in_threads(work)
    assert w.grad == 4 * 25 * 4000


@pytest.mark.parametrize("kind", ["in a block", "by itself"])
def test_a_gradient_that_is_assigned_during_a_call_is_not_lost(kind):
    loss, inputs, model = moons_loss()
    scale = Value(0.5)
    program = compile(loss * scale, inputs)
    assert program.stats()["blocks"] > 0
    parameter = scale if kind == "by itself" else model.layers[1].neurons[3].w[2]
    n_in_between = 0
    # Calls that take longer and longer, until some are met in the middle.
    for attempt in range(1, 41):
        rows = rows_for(program, 50_000 * attempt)
        parameter.grad = 1000.0
        program.backward(rows, "sum")
        added_to = parameter.grad
        parameter.grad = 0.0
        begun = threading.Event()

        def call(begun=begun, rows=rows):
            begun.set()
            program.backward(rows, "sum")

        thread = threading.Thread(target=call)
        thread.start()
        begun.wait()
        parameter.grad = 1000.0
        thread.join()
        # Assigned after the call, it is what it is; in between, the call adds to it.
        assert parameter.grad in (1000.0, added_to)
        n_in_between += parameter.grad == added_to
        if n_in_between == 3:
            break
    assert n_in_between > 0


# Saving ------------------------------------------------------------------------------------------


def test_programs_are_saved_and_loaded(tmp_path):
    loss, inputs, _ = moons_loss()
    program = compile(loss, inputs)
    rows = rows_for(program, 9)
    path = tmp_path / "margin.program"
    program.save(path)
    loaded = load_program(path)
    assert loaded(rows).tolist() == program(rows).tolist()
    assert loaded.backward(rows) == program.backward(rows)
    assert [p.grad for p in loaded.parameters] == [p.grad for p in program.parameters]
    assert not set(loaded.parameters) & set(program.parameters)
    several = compile([loss, loss * 2], inputs)
    several.save(path)
    assert load_program(path)(rows).tolist() == several(rows).tolist()


def test_programs_are_pickled_with_their_parameters():
    loss, inputs, model = moons_loss()
    program = compile(loss, inputs)
    loaded, model_loaded = pickle.loads(pickle.dumps((program, model)))
    assert set(loaded.parameters) == set(model_loaded.parameters())
    row = rows_for(program, 1)[0]
    assert loaded(row) == program(row)
    model_loaded.layers[0].neurons[0].b.data = 5.0
    assert loaded(row) != program(row)


def test_damaged_and_foreign_files_are_refused(tmp_path):
    loss, inputs, _ = moons_loss()
    path = tmp_path / "program.npz"
    compile(loss, inputs).save(path)
    whole = path.read_bytes()
    rng = random.Random(8)
    n_refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        if rng.random() < 0.3:
            damaged = damaged[: rng.randrange(len(damaged))]
        else:
            for _ in range(rng.randint(1, 4)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            program = load_program(path)
        except ValueError as error:
            n_refused += "is not a program" in str(error)
        else:
            program(np.zeros(3))
    assert n_refused > 200
    for foreign in (b"", b"text", b"PK, but only so", pickle.dumps([1])):
        path.write_bytes(foreign)
        with pytest.raises(ValueError, match="is not a program: it is no NumPy archive"):
            load_program(path)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(ValueError, match="is not a program"):
        load_program(path)
    with pytest.raises(OSError, match="nowhere"):
        load_program(tmp_path / "nowhere.npz")


def test_a_file_that_is_no_program_says_what_is_wrong_with_it(tmp_path):
    loss, inputs, _ = moons_loss()
    path = tmp_path / "program.npz"
    compile(loss, inputs).save(path)
    columns = dict(np.load(path))
    for name in columns:
        np.savez(path, **{key: column for key, column in columns.items() if key != name})
        with pytest.raises(ValueError, match=f"is not a program: it has no '{name}'"):
            load_program(path)
    # Numbers that a cast to the column's type would turn into sound ones.
    for name, column in [("op", columns["op"] + 256.0), ("a", columns["a"].astype("i8") + 2**32)]:
        np.savez(path, **{**columns, name: column})
        with pytest.raises(ValueError, match="is not a program: Cannot cast"):
            load_program(path)
    for name in ("fast", "is_sequence"):
        np.savez(path, **{**columns, name: np.array("False")})
        with pytest.raises(ValueError, match=f"its '{name}' must be bool, found <U5"):
            load_program(path)
    np.savez(
        path,
        **{key: column.astype(column.dtype.newbyteorder()) for key, column in columns.items()},
    )
    assert load_program(path)([0.0] * 3) == 1.0
    with open(path, "wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(ValueError, match="is not a program: it is no NumPy archive"):
        load_program(path)


def test_made_up_tapes_are_refused_and_never_crash():
    loss, inputs, model = moons_loss()
    index = Value(0.0)
    chosen = take([model.layers[0].neurons[0].w, [loss, inputs[0] * 2.0]], index)
    program = compile(chosen[0] * chosen[1] + loss, [*inputs, index])
    rng = random.Random(2)
    columns = ["op", "kind", "a", "b", "k", "h", "candidates", "outputs"]
    n_refused = 0
    for _ in range(2000):
        tape = program.tape()
        for _ in range(rng.randint(1, 3)):
            name = rng.choice(columns)
            column = bytearray(tape[name])
            column[rng.randrange(len(column))] = rng.choice([0, 1, 2, 5, 255])
            tape[name] = bytes(column)
        if rng.random() < 0.1:
            tape["n_inputs"] = rng.randrange(10)
        try:
            other = _core.program_of_tape(micrograd_fast.Program, tape, program.parameters)
        except ValueError as error:
            n_refused += "damaged program" in str(error)
            continue
        with contextlib.suppress(ArithmeticError, ValueError, IndexError):
            other.value_and_grad(np.ones((9, other.n_inputs)))
    assert n_refused > 300


# Other libraries ---------------------------------------------------------------------------------


def test_scipy_minimizes_a_program():
    from scipy.optimize import minimize

    rng = np.random.default_rng(3)
    points = rng.normal(size=(40, 2))
    targets = points @ [2.0, -3.0] + 0.5
    w = [Value(0.0), Value(0.0), Value(0.0)]
    x = [Value(0.0), Value(0.0), Value(0.0)]
    program = compile((w[0] * x[0] + w[1] * x[1] + w[2] - x[2]) ** 2, x)
    rows = np.column_stack([points, targets])
    found = minimize(program.fun(w, rows), [0.0, 0.0, 0.0], jac=True)
    assert found.success
    assert found.x == pytest.approx([2.0, -3.0, 0.5], abs=1e-5)


def test_functions_of_parameters_take_each_of_them_once():
    w, b = Value(1.0), Value(2.0)
    program = compile(w * w + b)
    assert program.fun([b, w])([3.0, 4.0])[1].tolist() == [1.0, 8.0]
    with pytest.raises(ValueError, match=r"parameters\[1\], Value.* is not a parameter of"):
        program.fun([w, Value(1.0)])
    with pytest.raises(ValueError, match=r"parameters\[2\] is the same Value as parameters\[0\]"):
        program.fun([w, b, w])
    for numbers in ([5.0], [5.0, 6.0, 7.0], 5.0, [[5.0, 6.0]]):
        with pytest.raises(ValueError, match=r"argument must be of shape \(2,\), .* found shape"):
            program.fun()(numbers)
    with pytest.raises(TypeError, match="the argument must be numbers, found NoneType at index 1"):
        program.fun()([5.0, None])
    assert (w.data, b.data) == (4.0, 3.0)


def test_gradients_of_rows_are_those_of_torch():
    import torch

    loss, inputs, model = moons_loss()
    program = compile(loss, inputs)
    rows = rows_for(program, 20)
    places = {id(p): i for i, p in enumerate(program.parameters)}
    order = [places[id(p)] for layer in model.layers for n in layer.neurons for p in n.w]
    order += [places[id(n.b)] for layer in model.layers for n in layer.neurons]

    weights = [
        torch.tensor([[w.data for w in n.w] for n in layer.neurons], dtype=torch.float64)
        for layer in model.layers
    ]
    biases = [torch.zeros(len(layer.neurons), dtype=torch.float64) for layer in model.layers]

    def margin(weights, biases, row):
        h = row[:2]
        for i, (w, b) in enumerate(zip(weights, biases, strict=True)):
            h = w @ h + b
            h = h.relu() if i < 2 else h
        return (1 - row[2] * h[0]).relu()

    gradient = torch.func.vmap(torch.func.grad(margin, argnums=(0, 1)), in_dims=(None, None, 0))
    by_weights, by_biases = gradient(weights, biases, torch.tensor(rows))
    wanted = torch.cat([g.reshape(20, -1) for g in (*by_weights, *by_biases)], dim=1)
    assert program.parameter_grads(rows)[:, order] == pytest.approx(wanted.numpy(), abs=1e-12)


# Memory ------------------------------------------------------------------------------------------


@pytest.mark.memory
def test_calls_allocate_nothing_that_stays():
    printed = run_python(
        """
        import random, sys
        sys.path.insert(0, sys.argv[1])
        import numpy as np
        from support import resident_bytes
        from micrograd_fast import MLP, Value, compile

        random.seed(1)
        x = [Value(1.0) for _ in range(4)]
        model = MLP(4, [16, 1])
        program = compile(model(x), x)
        rows = np.ones((1000, 4))

        def work(n):
            for i in range(n):
                program(rows[: 1 + i % 100])
                program.backward(rows)
                program.value_and_grad(rows[i % 7])
                if i % 10 == 0:
                    compile(model(x), x)([1.0] * 4)

        work(300)
        before = resident_bytes()
        work(3000)
        print(resident_bytes() - before)
        """,
        str(TESTS),
    )
    assert int(printed) < 2_000_000
