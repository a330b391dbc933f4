"""The demo and the command line, run as a user runs them."""

import os
import random
import subprocess
import sys

import pytest

import micrograd_fast
from micrograd_fast import __main__ as command_line
from micrograd_fast import demo, reference


def run(*arguments, cwd, extra_path=None):
    environment = dict(os.environ)
    if extra_path is not None:
        environment["PYTHONPATH"] = str(extra_path)
    return subprocess.run(
        [sys.executable, "-m", "micrograd_fast", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
    )


def assert_picture(path):
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n")
    assert len(content) > 5000, "the picture is empty"


def test_demo_trains_on_both_engines_and_leaves_two_pictures(tmp_path):
    finished = run("demo", "--reference-steps", 3, "--out", "pictures", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert "337 parameters" in finished.stdout
    assert "accuracy 100.0%" in finished.stdout
    assert "the 3 losses of both agree to the last bit" in finished.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"pictures"}
    for name in ("moons.png", "loss.png"):
        assert_picture(tmp_path / "pictures" / name)


def test_demo_runs_without_the_reference_and_with_other_settings(tmp_path):
    finished = run(
        *("demo", "--no-reference", "--steps", 2, "--points", 7, "--noise", 0, "--seed", 0),
        *("--out", tmp_path),
        cwd=tmp_path,
    )
    assert finished.returncode == 0, finished.stderr
    assert "7 points" in finished.stdout
    assert "pure-Python" not in finished.stdout
    assert_picture(tmp_path / "moons.png")


def test_the_same_seed_gives_the_same_training():
    def losses(seed):
        points, labels = demo.two_moons(20, 0.1, seed)
        run = demo.start(micrograd_fast, seed)
        for step in range(3):
            demo.train_step(run, points, labels, demo.learning_rate(step, 3))
        return run.losses

    assert losses(1) == losses(1)
    assert losses(1) != losses(2)


def test_a_difference_in_the_last_bit_stops_the_demo(monkeypatch):
    points, labels = demo.two_moons(10, 0.1, 1)
    fast, slow = demo.start(micrograd_fast, 1), demo.start(reference, 1)
    slow.model.parameters()[0].data += 2.0**-52
    with pytest.raises(SystemExit, match="they must be equal"):
        demo.train_together(fast, slow, points, labels, 3, 3)


def test_losses_that_are_not_numbers_agree():
    points, labels = demo.two_moons(2, 0.0, 1)
    points[0][0] = float("nan")
    fast, slow = demo.start(micrograd_fast, 1), demo.start(reference, 1)
    demo.train_together(fast, slow, points, labels, 2, 2)
    assert [str(loss) for loss in fast.losses + slow.losses] == ["nan"] * 4


def test_the_grid_of_the_picture_does_not_grow_with_the_spread_of_the_points(tmp_path):
    def n_scores(noise):
        points, labels = demo.two_moons(10, noise, 1)
        run = demo.start(micrograd_fast, 1)
        demo.train_step(run, points, labels, 0.1)
        model, scored = run.model, []
        run.model = lambda point: scored.append(point) or model(point)
        demo.draw_boundary(run, points, labels, tmp_path / "moons.png")
        assert_picture(tmp_path / "moons.png")
        return len(scored)

    assert n_scores(0.1) == n_scores(100.0) == demo.N_GRID**2


def test_rate_falls_from_one_to_a_tenth():
    assert demo.learning_rate(0, 100) == 1.0
    assert demo.learning_rate(50, 100) == 1.0 - 0.9 * 50 / 100
    assert demo.learning_rate(100, 100) == pytest.approx(0.1)


@pytest.mark.parametrize("module", ["numpy", "sklearn", "matplotlib", "tqdm"])
def test_a_missing_extra_is_reported_before_the_training(tmp_path, module):
    absent = tmp_path / "absent"
    absent.mkdir()
    (absent / f"{module}.py").write_text("raise ImportError('not here')\n")
    finished = run("demo", cwd=tmp_path, extra_path=absent)
    assert finished.returncode == 1
    assert finished.stdout == ""
    assert f"The demo needs {module}" in finished.stderr
    assert 'pip install "micrograd_fast[demo]"' in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_folder_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    finished = run("demo", "--out", tmp_path / "file" / "pictures", cwd=tmp_path)
    assert finished.returncode == 1
    assert "cannot make the folder" in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "0"], "must be a number from 1 on, found 0"),
        (["--steps", "some"], "wanted a whole number, found 'some'"),
        (["--points", "-1"], "must be a number from 1 on, found -1"),
        (["--reference-steps", "-1"], "must be a number from 0 on, found -1"),
        (["--seed", "-5"], "must be a number from 0 on, found -5"),
        (["--seed", "4294967296"], "must be a number below 2**32, found 4294967296"),
        (["--noise", "-0.1"], "must be a finite number not below 0, found -0.1"),
        (["--noise", "nan"], "must be a finite number not below 0, found nan"),
    ],
)
def test_bad_arguments_say_what_was_wanted(capsys, arguments, message):
    with pytest.raises(SystemExit) as exit_:
        command_line.main(["demo", *arguments])
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_no_reference_is_zero_reference_steps_and_twenty_is_the_default():
    parse = command_line.build_parser().parse_args
    assert parse(["demo"]).reference_steps == 20
    assert parse(["demo", "--reference-steps", "5"]).reference_steps == 5
    assert parse(["demo", "--no-reference"]).reference_steps == 0


def test_info_prints_the_configuration(tmp_path, capsys):
    finished = run("info", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    micrograd_fast.show_config()
    assert finished.stdout == capsys.readouterr().out


def test_a_network_of_one_engine_does_not_depend_on_random_numbers_drawn_before():
    random.seed(5)
    first = demo.start(micrograd_fast, 1337).model.parameters()[0].data
    assert first == demo.start(reference, 1337).model.parameters()[0].data
    assert first == 0.23550571390294128
