"""Frozen programs of files and pickles that claim more than they have."""

import gc
import re
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from micrograd_fast import Value, _core, compile, load_program

#: What refusing a small file or pickle may allocate, and much less than what it asks for.
FEW_BYTES = 1 << 20
MANY_BYTES = 1 << 24


def most_allocated(call):
    """What a call returns or raises, and the most bytes that were allocated meanwhile."""
    gc.collect()
    tracemalloc.start()
    try:
        try:
            result = call()
        except ValueError as error:
            result = error
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def doubling():
    x = Value(1.0)
    return compile(x * 2.0, [x])


# Files -------------------------------------------------------------------------------------------


def test_what_is_allocated_is_seen():
    assert most_allocated(lambda: len(np.zeros(MANY_BYTES // 8)))[1] >= MANY_BYTES
    assert most_allocated(lambda: len(bytes(MANY_BYTES)))[1] >= MANY_BYTES


@pytest.fixture
def saved(tmp_path):
    """Where a program is saved, and the members of its file."""
    path = tmp_path / "program.npz"
    doubling().save(path)
    with zipfile.ZipFile(path) as archive:
        return path, {name: archive.read(name) for name in archive.namelist()}


def write(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def array_file(descr, shape, content=b""):
    """A file of NumPy's whose header may say what is not true."""
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


MANY_NUMBERS = array_file("<f8", (MANY_BYTES // 8,), bytes(MANY_BYTES))
COLUMNS = [*_core.TAPE_COLUMNS, "candidates", "outputs", "operations", "n_inputs", "is_sequence"]
COLUMNS += ["fast", "dtype", "data", "format"]


def test_what_else_is_in_a_file_is_not_unpacked(saved):
    path, members = saved
    write(path, {"junk.npy": MANY_NUMBERS, **members, "more": MANY_NUMBERS})
    program, n_bytes = most_allocated(lambda: load_program(path))
    assert program([3.0]) == 6.0
    assert n_bytes < FEW_BYTES


@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_that_is_too_large_for_its_file_is_not_unpacked(saved, column):
    path, members = saved
    write(path, {**members, f"{column}.npy": MANY_NUMBERS})
    assert path.stat().st_size < 1 << 16
    error, n_bytes = most_allocated(lambda: load_program(path))
    assert re.search(f"is not a program: its '{column}' must be of at most", str(error))
    assert n_bytes < FEW_BYTES


@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_is_unpacked_no_further_than_it_says(saved, column):
    path, members = saved
    n_bytes_said = 144
    write(path, {**members, f"{column}.npy": MANY_NUMBERS})
    honest = path.read_bytes()
    places = [struct.pack("<I", n) for n in (len(MANY_NUMBERS), n_bytes_said)]
    assert honest.count(places[0]) == 2  # in front of it and in the list at the end
    path.write_bytes(honest.replace(*places))
    error, n_bytes = most_allocated(lambda: load_program(path))
    assert "is not a program" in str(error)
    assert n_bytes < FEW_BYTES


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize(
    ("descr", "shape"),
    [
        ("<f8", (10**15,)),
        ("<f8", (2**61,)),  # the bytes of which are none, to 64 bits
        ("<f8", (10**40,)),
        ("<f8", (-1,)),
        ("<U0", (20_000_000,)),  # whose entries have no bytes: any number of them fits
        ("|V0", (20_000_000,)),
        ("|O", (20_000_000,)),
        ("<U99999999", (1,)),
    ],
)
def test_what_the_head_of_a_column_claims_is_not_allocated(saved, column, descr, shape):
    path, members = saved
    write(path, {**members, f"{column}.npy": array_file(descr, shape)})
    error, n_bytes = most_allocated(lambda: load_program(path))
    assert re.search(f"is not a program: its '{column}' ", str(error))
    assert n_bytes < FEW_BYTES


# Pickles -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", [*_core.TAPE_COLUMNS, "candidates", "outputs", "operations"])
def test_a_column_that_is_no_bytes_is_refused_before_it_is_made_some(column):
    """`bytes` of a number is as many zeros."""
    program = doubling()
    make, (kind, tape, parameters) = program.__reduce__()
    given = [MANY_BYTES, True, -1, 1.5, None, "text", [MANY_BYTES], range(MANY_BYTES)]
    given += [bytearray(tape["op"]), memoryview(tape["op"])]
    for other in given:
        if column == "operations" and other == [MANY_BYTES]:
            continue  # a list of names, of which this is not one
        damaged = tape | {column: other}
        error, n_bytes = most_allocated(lambda damaged=damaged: make(kind, damaged, parameters))
        assert str(error).startswith(f"damaged program: '{column}' must be "), (other, error)
        assert n_bytes < FEW_BYTES


@pytest.mark.parametrize("n_inputs", [2**31, 2**32 - 1, 2**32, 2**64, -1, 1.5, "1", None, b"1"])
def test_inputs_that_are_not_there_are_not_made(n_inputs):
    make, (kind, tape, parameters) = doubling().__reduce__()
    damaged = tape | {"n_inputs": n_inputs}
    error, n_bytes = most_allocated(lambda: make(kind, damaged, parameters))
    assert str(error).startswith("damaged program: ")
    assert n_bytes < FEW_BYTES


@pytest.mark.parametrize("name", ["is_sequence", "fast"])
@pytest.mark.parametrize("flag", [1, 0.0, "False", None, np.True_])
def test_a_flag_is_true_or_false(name, flag):
    make, (kind, tape, parameters) = doubling().__reduce__()
    with pytest.raises(ValueError, match=rf"^damaged program: '{name}' must be a bool, found "):
        make(kind, tape | {name: flag}, parameters)


@pytest.mark.parametrize("n_inputs", [1.0, True, "1", 1j])
def test_the_inputs_of_a_file_are_a_whole_number(saved, n_inputs):
    path, _ = saved
    columns = dict(np.load(path))
    np.savez(path, **{**columns, "n_inputs": np.array(n_inputs)})
    with pytest.raises(ValueError, match="is not a program: its 'n_inputs' must be whole, found"):
        load_program(path)
    np.savez(path, **{**columns, "n_inputs": np.array(1, "u1")})
    assert load_program(path)([3.0]) == 6.0


@pytest.mark.parametrize("parameters", [2**40, None, 1.5, range(MANY_BYTES), {}, b"parameters"])
def test_parameters_that_are_no_list_are_refused(parameters):
    make, (kind, tape, _) = doubling().__reduce__()
    error, n_bytes = most_allocated(lambda: make(kind, tape, parameters))
    assert str(error).startswith("damaged program: its parameters must be a list or tuple, found ")
    assert n_bytes < FEW_BYTES
