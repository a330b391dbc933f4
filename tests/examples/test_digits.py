"""The digits example: PyTorch's training step by step, and the program as a user runs it."""

import os
import re
import runpy
import subprocess
import sys

import pytest
import torch
from support import ROOT

from micrograd_fast.data import minibatches
from micrograd_fast.optim import Adam

PROGRAM = ROOT / "examples" / "digits.py"
BATCH_SIZE = 32


@pytest.fixture(scope="module")
def example():
    return runpy.run_path(str(PROGRAM))


def run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, str(PROGRAM), *map(str, arguments)],
        cwd=cwd,
        env=os.environ,
        capture_output=True,
        text=True,
    )


def torch_twin(model):
    """The same network in PyTorch, with the weights that `model` has now."""
    linears = []
    for layer in model.layers:
        linear = torch.nn.Linear(len(layer.neurons[0].w), len(layer.neurons), dtype=torch.float64)
        with torch.no_grad():
            weights = [[w.data for w in neuron.w] for neuron in layer.neurons]
            linear.weight.copy_(torch.tensor(weights, dtype=torch.float64))
            biases = [neuron.b.data for neuron in layer.neurons]
            linear.bias.copy_(torch.tensor(biases, dtype=torch.float64))
        linears += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*linears[:-1])


def test_every_loss_of_the_first_epoch_is_that_of_pytorch(example):
    images, digits, _, _ = example["load"](seed=0)
    model = example["build_model"](seed=0)
    twin = torch_twin(model)
    batches = list(minibatches(images, digits, batch_size=BATCH_SIZE, seed=0))
    found = example["train_epoch"](model, batches, Adam(model.parameters(), lr=0.01))

    optimizer = torch.optim.Adam(twin.parameters(), lr=0.01)
    wanted = []
    for x, y in batches:
        loss = torch.nn.functional.cross_entropy(twin(torch.tensor(x)), torch.tensor(y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        wanted.append(loss.item())

    assert len(found) == len(wanted) == 43
    assert wanted[-1] < 0.5 * wanted[0]
    # Sums in another order round differently, and Adam's steps carry that on.
    assert found == pytest.approx(wanted, rel=1e-9, abs=0.0)


def test_the_network_is_the_one_that_is_promised(example):
    model = example["build_model"](seed=0)
    assert [len(layer.neurons) for layer in model.layers] == [64, 32, 10]
    assert len(model.parameters()) == 65 * 64 + 65 * 32 + 33 * 10
    assert [p.data for p in model.parameters()] == [
        p.data for p in example["build_model"](seed=0).parameters()
    ]


def test_no_held_out_image_is_trained_with(example):
    images, digits, held_images, held_digits = example["load"](seed=0)
    assert len(images) == len(digits) == 1347
    assert len(held_images) == len(held_digits) == 450
    assert images.min() == 0.0
    assert images.max() == 1.0
    assert set(digits.tolist()) == set(held_digits.tolist()) == set(range(10))


def test_the_example_names_at_least_97_percent_right_and_leaves_two_pictures(tmp_path):
    finished = run("--out", "pictures", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert "1347 images to train with, 450 held out" in finished.stdout
    accuracy = float(re.search(r"accuracy ([\d.]+)% of the held-out", finished.stdout)[1])
    assert 97.0 <= accuracy < 100.0
    assert {path.name for path in tmp_path.iterdir()} == {"pictures"}
    assert_pictures(tmp_path / "pictures")


def test_the_same_seed_gives_the_same_training_and_others_another(tmp_path):
    printed = [
        run("--epochs", 1, "--seed", seed, "--out", tmp_path / "pictures", cwd=tmp_path).stdout
        for seed in (3, 3, 4)
    ]
    assert "accuracy" in printed[0]
    assert printed[0] == printed[1] != printed[2]
    assert_pictures(tmp_path / "pictures")


def assert_pictures(folder):
    from matplotlib.image import imread

    assert {path.name for path in folder.iterdir()} == {"loss.png", "confusion.png"}
    for path in folder.iterdir():
        pixels = imread(path)
        assert min(pixels.shape[:2]) >= 400
        assert pixels.std() > 0.05, f"{path.name} is empty"


@pytest.mark.parametrize("option", ["--epochs", "--batch-size"])
def test_bad_arguments_say_what_was_wanted(tmp_path, option):
    finished = run(option, 0, cwd=tmp_path)
    assert finished.returncode == 2
    assert "must be a number from 1 on, found 0" in finished.stderr


def test_a_folder_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    finished = run("--out", tmp_path / "file" / "pictures", cwd=tmp_path)
    assert finished.returncode == 1
    assert "cannot make the folder" in finished.stderr
    assert "Traceback" not in finished.stderr
