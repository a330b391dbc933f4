"""``predict`` reads what ``train`` has left."""

import csv
import io
import subprocess
import sys

import pytest

from micrograd_fast.__main__ import main

ROWS = "".join(f"{i / 10},{'high' if i >= 25 else 'low'}\n" for i in range(50))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    (folder / "data.csv").write_text("x,level\n" + ROWS)
    arguments = [str(folder / "data.csv"), "--lr", "0.05", "-o", str(folder / "model")]
    assert main(["train", *arguments]) == 0
    return folder


def predicted(capsys, *arguments):
    capsys.readouterr()
    assert main(["predict", *map(str, arguments)]) == 0
    captured = capsys.readouterr()
    return list(csv.DictReader(io.StringIO(captured.out))), captured.err


def test_gives_the_rows_with_the_class_by_its_name(trained, tmp_path, capsys):
    (tmp_path / "new.csv").write_text('note,x\n"a, b",0.2\n,4.7\n')
    rows, err = predicted(capsys, trained / "model", tmp_path / "new.csv")
    assert [row["predicted level"] for row in rows] == ["low", "high"]
    assert [row["note"] for row in rows] == ["a, b", ""]
    assert err == ""


def test_says_how_good_it_is_where_the_target_is_there(trained, capsys):
    rows, err = predicted(capsys, trained / "model", trained / "data.csv")
    n_right = sum(row["level"] == row["predicted level"] for row in rows)
    assert n_right >= 47
    assert err == f"{n_right / 50:.1%} right ({n_right} of 50)\n"


def test_probabilities_add_up_to_one(trained, capsys):
    rows, _ = predicted(capsys, trained / "model", trained / "data.csv", "--probabilities")
    for row in rows:
        low, high = float(row["probability of low"]), float(row["probability of high"])
        assert low + high == pytest.approx(1.0)
        assert row["predicted level"] == ("low" if low > high else "high")


def test_a_regression_is_in_the_units_of_its_target(tmp_path, capsys):
    (tmp_path / "data.csv").write_text(
        "x,y\n" + "".join(f"{i},{1000.5 + 20 * i}\n" for i in range(40))
    )
    model = str(tmp_path / "model")
    assert main(["train", str(tmp_path / "data.csv"), "-o", model]) == 0
    rows, _ = predicted(capsys, model, tmp_path / "data.csv")
    for row in rows:
        assert float(row["predicted y"]) == pytest.approx(float(row["y"]), abs=40)


def test_writes_a_file_where_one_is_named(trained, tmp_path, capsys):
    rows, _ = predicted(capsys, trained / "model", trained / "data.csv")
    out = tmp_path / "out.csv"
    assert main(["predict", *map(str, (trained / "model", trained / "data.csv", "-o", out))]) == 0
    with open(out, newline="") as file:
        assert list(csv.DictReader(file)) == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("z\n1\n", "the column must be one of 'z', found 'x'"),
        ("x\none\n", "line 2, column 'x': wanted a number, found 'one'"),
        ("x\n\xff\n", "wanted text in UTF-8, found the byte 0xff"),
    ],
)
def test_says_of_a_bad_file_what_is_wrong(trained, tmp_path, capsys, text, message):
    (tmp_path / "bad.csv").write_bytes(text.encode("latin-1"))
    capsys.readouterr()
    assert main(["predict", str(trained / "model"), str(tmp_path / "bad.csv")]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_a_truncated_or_missing_model_is_refused(trained, tmp_path, capsys):
    model = tmp_path / "model"
    model.mkdir()
    data = str(trained / "data.csv")
    assert main(["predict", str(model), data]) == 2
    assert "has no model of train" in capsys.readouterr().err
    (model / "model.json").write_bytes((trained / "model" / "model.json").read_bytes())
    content = (trained / "model" / "model.safetensors").read_bytes()
    for length in (0, 5, len(content) - 1):
        (model / "model.safetensors").write_bytes(content[:length])
        assert main(["predict", str(model), data]) == 2
        err = capsys.readouterr().err
        assert "model.safetensors is no model" in err
        assert err.count("\n") == 1


def test_a_closed_pipe_ends_it_without_a_word(trained, tmp_path):
    (tmp_path / "many.csv").write_text("x\n" + "0.5\n" * 100_000)
    process = subprocess.Popen(
        [sys.executable, "-m", "micrograd_fast", "predict", trained / "model", "many.csv"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"x,predicted level\n"
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141
    process.stderr.close()
