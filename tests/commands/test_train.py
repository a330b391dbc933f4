"""``train``: what it leaves, how it goes on, and what it says of bad input."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from micrograd_fast.__main__ import main

FLOWERS = "length,width,kind\n" + "".join(
    f"{i % 7 + 3 * (i % 2)},{i % 5 - 2 * (i % 2)},{'rose' if i % 2 else 'tulip, red'}\n".replace(
        "tulip, red", '"tulip, red"'
    )
    for i in range(40)
)
LINE = "x,y\n" + "".join(f"{i / 10},{3 * i / 10 + 0.123}\n" for i in range(50))


@pytest.fixture
def flowers(tmp_path):
    path = tmp_path / "flowers.csv"
    path.write_text(FLOWERS)
    return str(path)


def start(*arguments, cwd, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "micrograd_fast", *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def refusal(capsys, *arguments):
    """The one line on stderr of a command that ends with exit code 2."""
    try:
        status = main(list(map(str, arguments)))
    except SystemExit as exit_:
        status = exit_.code
    captured = capsys.readouterr()
    assert status == 2, captured
    assert captured.err.count("\n") == 1, captured.err
    assert captured.out == ""
    return captured.err


def training(folder):
    """What a folder holds of a training, to the bit; the order of a file's metadata is open."""
    found = [(folder / "history.csv").read_bytes()]
    for name in ("model.safetensors", "checkpoint.safetensors"):
        content = (folder / name).read_bytes()
        end = 8 + int.from_bytes(content[:8], "little")
        about = json.loads(content[8:end])
        found += [json.loads(about["__metadata__"].pop("training")), about, content[end:]]
    return found


def test_leaves_model_history_and_a_report_that_needs_no_network(tmp_path, flowers, capsys):
    out = tmp_path / "out"
    assert main(["train", flowers, "--epochs", "30", "-o", str(out)]) == 0
    assert "100.0% right (8 of 8)" in capsys.readouterr().out
    with open(out / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 31))
    assert float(rows[-1]["loss"]) < 0.5 * float(rows[0]["loss"])
    assert {float(row["rate"]) for row in rows} == {0.01}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/svg+xml;base64,") == 3
    assert "tulip, red" in page
    assert "http" not in page


def test_names_in_the_report_are_text_and_no_html(tmp_path):
    path = tmp_path / "evil.csv"
    rows = "".join(f"{i},{i % 3},{'<b>$' if i % 2 else '&amp;</script>'}\n" for i in range(20))
    path.write_text("<i>x,y$,<script>\n" + rows)
    assert main(["train", str(path), "--epochs", "2", "-o", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("name", ["moons", "circles", "xor", "spiral", "digits"])
def test_learns_its_data_sets(tmp_path, name, capsys):
    options = ["--epochs", "40", "--samples", "300", "--lr", "0.02", "--noise", "0.05"]
    assert main(["train", "--dataset", name, *options, "-o", str(tmp_path / "out")]) == 0
    share = float(capsys.readouterr().out.split("rows: ")[-1].split("%")[0])
    assert share >= 85


@pytest.mark.parametrize(
    "options",
    [
        ("--optimizer", "sgd", "--momentum", "0.9"),
        ("--optimizer", "adam", "--schedule", "exponential"),
        ("--optimizer", "adamw", "--weight-decay", "0.1", "--schedule", "plateau"),
        ("--optimizer", "rmsprop", "--loss", "hinge"),
        ("--optimizer", "adagrad", "--loss", "binary-cross-entropy", "--validation", "0"),
    ],
)
def test_five_epochs_and_five_more_are_ten_to_the_bit(tmp_path, flowers, options):
    at_once, in_two = tmp_path / "at once", tmp_path / "in two"
    common = [flowers, *options, "--batch-size", "7", "--activation", "tanh"]
    assert main(["train", *common, "--epochs", "10", "-o", str(at_once)]) == 0
    assert main(["train", *common, "--epochs", "5", "-o", str(in_two)]) == 0
    assert training(in_two) != training(at_once)
    assert main(["train", "--resume", "--epochs", "10", "-o", str(in_two)]) == 0
    assert training(in_two) == training(at_once)


def test_ctrl_c_leaves_a_checkpoint_that_goes_on_with_the_same_bits(tmp_path, flowers):
    common = ["train", flowers, "--epochs", "4000", "--schedule", "cosine"]
    process = start(*common, "-o", "stopped", cwd=tmp_path)
    while not (tmp_path / "stopped" / "checkpoint.safetensors").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    # Its handler is in place when the first checkpoint has been there for an epoch or two.
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert err.startswith("interrupted after epoch ")
    assert "--resume -o stopped" in err
    assert err.count("\n") == 1
    assert main(["train", "--resume", "-o", str(tmp_path / "stopped")]) == 0
    assert main([*common, "-o", str(tmp_path / "at once")]) == 0
    assert training(tmp_path / "stopped") == training(tmp_path / "at once")


def test_early_stopping_keeps_the_best_epoch(tmp_path, flowers, capsys):
    out = tmp_path / "out"
    options = ["--patience", "3", "--epochs", "500", "--optimizer", "sgd", "--lr", "3"]
    assert main(["train", flowers, *options, "-o", str(out)]) == 0
    assert "stopped early" in capsys.readouterr().out
    with open(out / "history.csv") as file:
        losses = [float(row["validation loss"]) for row in csv.DictReader(file)]
    assert len(losses) < 500
    assert losses.index(min(losses)) == len(losses) - 4


def test_a_target_of_numbers_is_a_regression_and_a_few_whole_ones_are_classes(tmp_path, capsys):
    path = tmp_path / "line.csv"
    path.write_text(LINE)
    assert main(["train", str(path), "-o", str(tmp_path / "out")]) == 0
    assert "a regression" in capsys.readouterr().out
    path.write_text("x,y\n" + "".join(f"{i},{i % 3}\n" for i in range(30)))
    arguments = ["train", str(path), "--epochs", "2", "--overwrite", "-o", str(tmp_path / "out")]
    assert main(arguments) == 0
    assert "3 classes" in capsys.readouterr().out
    assert main([*arguments, "--task", "regression"]) == 0
    assert "a regression" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found an empty file"),
        ("a,b\n", "wanted rows under the header, found none"),
        ("a,a\n1,2\n", "names in the header must be different, found 'a' twice"),
        ("a,b\n1,2\n1,2,3\n", "line 3: wanted 2 cells, as the header has, found 3"),
        ("a,b\n1,x\n,y\n", "line 3, column 'a': wanted a value, found none"),
        ("a,b\n1,x\nnan,y\n", "line 3, column 'a': wanted a finite number, found 'nan'"),
        ("a,b\n1,x\n-inf,y\n", "line 3, column 'a': wanted a finite number, found '-inf'"),
        ("a,b\n1,x\nzero,y\n", "line 3, column 'a': wanted a number, found 'zero'"),
        ("a,b\n1,x\n2,x\n", "column 'b' must have two classes or more, found only 'x'"),
        ('a,b\n1,"x\n', "unexpected end of data"),
        ("b\n1\n", "--features must be one column or more besides 'b'"),
        ("a,b\n1e308,1\n-1e308,2\n1e308,1\n", "must spread less"),
    ],
)
def test_says_of_a_bad_file_what_is_wrong_where(tmp_path, capsys, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    assert message in refusal(capsys, "train", path, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path):
    path = tmp_path / "bom.csv"
    path.write_bytes(b"\xef\xbb\xbf" + FLOWERS.encode().replace(b"\n", b"\r\n"))
    arguments = ["train", str(path), "--features", "length", "--epochs", "1"]
    assert main([*arguments, "-o", str(tmp_path / "out")]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", "zero"], "argument --epochs: wanted a whole number, found 'zero'"),
        (["--epochs", "0"], "must be a number from 1 on, found 0"),
        (["--lr", "fast"], "wanted a number, found 'fast'"),
        (["--lr", "nan"], "must be a finite number above 0, found nan"),
        (["--layers", "8,x"], "wanted a whole number, found 'x'"),
        (["--validation", "1"], "must be a number from 0 on and below 1, found 1.0"),
        (["--activation", "steep"], "found 'steep'"),
        (["--loss", "mse"], "for a classification, found mse"),
        (["--target", "height"], "the column must be one of 'length', 'width', 'kind'"),
        (["--target", "kind", "--features", "kind"], "besides 'kind'"),
        (["--dataset", "moons"], "must be a CSV file or a --dataset, found both"),
        (["--patience", "3", "--validation", "0"], "--patience needs a --validation share"),
        (["--optimizer", "adam", "--momentum", "0.9"], "is of sgd and rmsprop, found adam"),
        (["--task", "regression"], "wanted a finite number, found 'tulip, red'"),
    ],
)
def test_says_of_a_bad_option_what_was_wanted(tmp_path, flowers, capsys, options, message):
    assert message in refusal(capsys, "train", flowers, *options, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_file_is_named(tmp_path, capsys):
    assert "cannot read" in refusal(capsys, "train", tmp_path / "none.csv", "-o", tmp_path / "o")


def test_a_foreign_folder_is_left_alone(tmp_path, flowers, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("dear")
    assert "found 'letter.txt' in it" in refusal(
        capsys, "train", flowers, "--overwrite", "-o", tmp_path / "out"
    )
    assert os.listdir(tmp_path / "out") == ["letter.txt"]
    (tmp_path / "file").write_text("")
    assert "cannot write" in refusal(capsys, "train", flowers, "-o", tmp_path / "file" / "out")


def test_a_model_is_replaced_only_where_that_is_asked_for(tmp_path, flowers, capsys):
    arguments = ["train", flowers, "--epochs", "1", "-o", str(tmp_path / "out")]
    assert main(arguments) == 0
    capsys.readouterr()
    assert "--resume goes on with it" in refusal(capsys, *arguments)
    assert main([*arguments, "--overwrite", "--seed", "5"]) == 0


def test_resume_refuses_what_would_be_another_training(tmp_path, flowers, capsys):
    out = tmp_path / "out"
    assert main(["train", flowers, "--epochs", "3", "--schedule", "cosine", "-o", str(out)]) == 0
    capsys.readouterr()
    resume = ["train", "--resume", "-o", out]
    assert "--lr must be 0.01 as before to resume, found 0.5" in refusal(
        capsys, *resume, "--lr", "0.5"
    )
    assert "at most 3, where the schedule cosine ends" in refusal(capsys, *resume, "--epochs", "9")
    assert "at least the 3 done, found 2" in refusal(capsys, *resume, "--epochs", "2")
    with open(flowers, "a") as file:
        file.write("1,2,rose\n")
    assert "must be what it was when the training began" in refusal(capsys, *resume)
    assert "has no model of train" in refusal(capsys, "train", "--resume", "-o", tmp_path)


def test_a_truncated_checkpoint_is_refused(tmp_path, flowers, capsys):
    out = tmp_path / "out"
    assert main(["train", flowers, "--epochs", "1", "-o", str(out)]) == 0
    capsys.readouterr()
    path = out / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    assert "checkpoint.safetensors is no model" in refusal(capsys, "train", "--resume", "-o", out)


def test_a_training_that_diverges_ends_in_one_line_and_leaves_its_checkpoint(tmp_path, capsys):
    path = tmp_path / "line.csv"
    path.write_text(LINE)
    out = tmp_path / "out"
    options = ["--optimizer", "sgd", "--lr", "1e9", "-o", str(out)]
    assert main(["train", str(path), *options]) == 2
    err = capsys.readouterr().err
    assert "has diverged" in err
    assert err.count("\n") == 1
    assert json.loads((out / "model.json").read_text())["options"]["lr"] == 1e9
    assert (out / "checkpoint.safetensors").exists()


@pytest.mark.parametrize("module", ["numpy", "safetensors", "tqdm", "matplotlib"])
def test_a_missing_extra_is_one_line(tmp_path, flowers, module):
    (tmp_path / f"{module}.py").write_text("raise ImportError('not here')\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    process = start("train", flowers, cwd=tmp_path, env=environment)
    out, err = process.communicate()
    assert (process.returncode, out) == (2, "")
    wanted = f'train needs {module}: pip install "micrograd_fast[train]"'
    assert err == f"micrograd-fast train: {wanted}\n"


def test_a_terminal_without_utf_8_gets_escapes(tmp_path):
    (tmp_path / "f.csv").write_text(FLOWERS.replace("kind", "größe"), encoding="utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    process = start("train", "f.csv", "--epochs", 1, cwd=tmp_path, env=environment)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert r"gr\xf6\xdfe" in out
