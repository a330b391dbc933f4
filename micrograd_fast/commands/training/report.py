"""The report of a training: one page of HTML with its pictures, which needs no network."""

from __future__ import annotations

import base64
import html
import io

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    import numpy.typing as npt

    from .outcome import Outcome

_MOST_CLASSES_NAMED = 12

_STYLE = """
:root { color-scheme: light dark; --back: #fbfbfd; --text: #1c1e26; --soft: #5a5f6e;
  --card: #ffffff; --line: #d9dce5; }
@media (prefers-color-scheme: dark) {
  :root { --back: #15171d; --text: #e8eaf0; --soft: #a7adbd; --card: #1f222b; --line: #363b48; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 70rem; background: var(--back);
  color: var(--text); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin: 0; }
.result { font-size: 1.15rem; color: var(--soft); margin: .25rem 0 1.5rem; }
.pictures { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(19rem, 1fr)); }
figure, section { margin: 0; padding: 1rem; background: var(--card);
  border: 1px solid var(--line); border-radius: 10px; }
section { margin-top: 1rem; }
figcaption, h2 { font-size: 1rem; font-weight: 600; margin: 0 0 .5rem; }
/* Pictures are drawn on white, in both schemes. */
img { display: block; width: 100%; height: auto; background: #fff; border-radius: 6px; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0;
  border-top: 1px solid var(--line); }
th { font-weight: 400; color: var(--soft); width: 40%; }
"""


def page(work: Any, found: Outcome, judged: npt.NDArray[np.intp], which: str, quality: str) -> str:
    """Write the page.

    Parameters
    ----------
    work : Work
        The training, with the weights that are kept.
    found : Outcome
        What it predicts for the rows `judged`.
    judged : numpy.ndarray of int
        The numbers of these rows.
    which : str
        What they are called: "held-out" or "training".
    quality : str
        How good the predictions are.

    Returns
    -------
    str
        HTML with everything in it.
    """
    pictures = [("Loss", _loss(work))]
    if len(work.encoding.features) == 2 and work.encoding.classes:
        pictures.append(("Decision boundary", _boundary(work)))
    if work.encoding.classes:
        title = f"Confusion of the {which} rows"
        pictures.append((title, _confusion(work, found, work.targets[judged])))
    else:
        title = f"Predicted against true, {which} rows"
        pictures.append((title, _scatter(work, found, work.targets[judged])))
    escape = html.escape
    figures = "\n".join(
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<img alt="{escape(title)}" src="data:image/svg+xml;base64,{data}"></figure>'
        for title, data in pictures
    )
    rows = "\n".join(
        f"<tr><th scope=row>{escape(name)}</th><td>{escape(text)}</td></tr>"
        for name, text in _facts(work)
    )
    title = f"{work.encoding.target} of {work.name}"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<p class="result">{escape(which.capitalize())} rows: {escape(quality)}</p>
<div class="pictures">
{figures}
</div>
<section>
<h2>Training</h2>
<table>
{rows}
</table>
</section>
</body>
</html>
"""


def _facts(work: Any) -> list[tuple[str, str]]:
    options, learner = work.options, work.learner
    classes = work.encoding.classes
    facts = [
        ("rows to train with", str(len(work.training))),
        ("rows held out", str(len(work.held_out))),
        ("features", ", ".join(work.encoding.features)),
        ("target", work.encoding.target),
        ("classes", ", ".join(classes) if classes else "none: a regression"),
        ("inputs", "standardised" if options["standardise"] else "as they are"),
        ("hidden layers", ", ".join(map(str, options["layers"]))),
        ("activation", options["activation"]),
        ("parameters", str(len(learner.model.parameters()))),
        ("loss", options["loss"]),
        ("optimizer", f"{options['optimizer']}, rate {options['lr']:g}"),
        ("schedule", options["schedule"]),
        ("batch", f"{options['batch_size']} rows"),
        ("epochs", f"{learner.epoch} of {options['epochs']}"),
        ("loss at the end", f"{learner.history['loss'][-1]:.6g}"),
    ]
    if len(work.held_out):
        best = f"{learner.best_loss:.6g}, after epoch {learner.best_epoch}"
        facts.append(("lowest held-out loss", best))
    return [*facts, ("seed", str(options["seed"]))]


def _figure(width: float = 5.2, height: float = 3.9) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _svg(figure: Any) -> str:
    """A picture in base64: the same bytes for the same picture."""
    import matplotlib

    text = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "micrograd_fast"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return base64.b64encode(text.getvalue()).decode("ascii")


def _plain(name: str) -> str:
    """A name as it is: a dollar sign would begin a formula."""
    return name.replace("$", r"\$")


def _loss(work: Any) -> str:
    figure, axes = _figure()
    history = work.learner.history
    epochs = range(1, work.learner.epoch + 1)
    axes.plot(epochs, history["loss"], label="training")
    if history["validation loss"]:
        axes.plot(epochs, history["validation loss"], label="held out")
    numbers = [*history["loss"], *history["validation loss"]]
    if min(numbers) > 0 and max(numbers) > 10 * min(numbers):
        axes.set_yscale("log")
    axes.set(xlabel="epoch", ylabel=work.options["loss"])
    axes.legend()
    return _svg(figure)


def _boundary(work: Any) -> str:
    import numpy

    from .outcome import predict

    figure, axes = _figure()
    rows = work.rows
    margin = 0.08 * (rows.max(axis=0) - rows.min(axis=0)) + 1e-9
    low, high = rows.min(axis=0) - margin, rows.max(axis=0) + margin
    xs, ys = numpy.linspace(low, high, 200).T
    grid = numpy.stack(numpy.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    loss = work.options["loss"]
    regions = predict(work.learner.model, work.encoding, loss, grid).values.reshape(200, 200)
    colors = _colors(len(work.encoding.classes))
    axes.imshow(
        numpy.array([color[:3] for color in colors])[regions.astype(int)],
        extent=(low[0], high[0], low[1], high[1]),
        origin="lower",
        aspect="auto",
        alpha=0.3,
    )
    for i, name in enumerate(work.encoding.classes):
        points = rows[work.targets == i]
        label = _plain(name) if len(colors) <= _MOST_CLASSES_NAMED else None
        axes.scatter(*points.T, color=[colors[i]], s=14, edgecolors="white", lw=0.4, label=label)
    axes.set(xlabel=_plain(work.encoding.features[0]), ylabel=_plain(work.encoding.features[1]))
    if len(colors) <= _MOST_CLASSES_NAMED:
        axes.legend(fontsize="small")
    return _svg(figure)


def _colors(n: int) -> list[Any]:
    import matplotlib

    if n <= 10:
        return [matplotlib.colormaps["tab10"](i) for i in range(n)]
    return [matplotlib.colormaps["turbo"](i / (n - 1)) for i in range(n)]


def _confusion(work: Any, found: Outcome, targets: npt.NDArray[np.float64]) -> str:
    import numpy

    classes = work.encoding.classes
    counts = numpy.zeros((len(classes), len(classes)), int)
    numpy.add.at(counts, (targets.astype(int), found.values.astype(int)), 1)
    figure, axes = _figure()
    axes.imshow(counts, cmap="Blues", aspect="auto")
    if len(classes) <= _MOST_CLASSES_NAMED:
        for (i, j), count in numpy.ndenumerate(counts):
            color = "white" if count > counts.max() / 2 else "black"
            axes.text(j, i, str(count), ha="center", va="center", color=color)
        names = [_plain(name if len(name) <= 16 else name[:15] + "…") for name in classes]
        axes.set_xticks(range(len(classes)), names, rotation=45 if max(map(len, names)) > 5 else 0)
        axes.set_yticks(range(len(classes)), names)
    axes.set(xlabel="predicted", ylabel="true")
    return _svg(figure)


def _scatter(work: Any, found: Outcome, targets: npt.NDArray[np.float64]) -> str:
    wanted = targets * work.encoding.target_scale + work.encoding.target_shift
    figure, axes = _figure()
    axes.scatter(wanted, found.values, s=14, alpha=0.7)
    ends = [min(wanted.min(), found.values.min()), max(wanted.max(), found.values.max())]
    axes.plot(ends, ends, color="black", lw=0.8)
    axes.set(xlabel="true", ylabel="predicted")
    return _svg(figure)
