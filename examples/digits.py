"""Handwritten digits: train an MLP on scikit-learn's 1,797 images of 8 by 8 pixels.

A network of 64-64-32-10 neurons learns to name the digit, by Adam on the cross entropy of small
batches, with a learning rate that falls along half a cosine. A quarter of the images is held out
and only used to measure how well it does: 97 % and more are named right. The loss curve and the
confusion matrix of the held-out images are left as pictures.

Needs what ``pip install "micrograd_fast[demo]"`` brings along.
"""

import argparse
import random
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split
from tqdm import tqdm

from micrograd_fast import MLP, cross_entropy
from micrograd_fast.data import minibatches
from micrograd_fast.optim import Adam, CosineAnnealingLR

SIZES = [64, 64, 32, 10]
WEIGHT_DECAY = 1e-4


def load(seed):
    """Give images and digits to train with, then those held out; pixels are from 0 to 1."""
    images, digits = load_digits(return_X_y=True)
    images, held_images, digits, held_digits = train_test_split(
        images / 16.0, digits, test_size=0.25, random_state=seed, stratify=digits
    )
    return images, digits, held_images, held_digits


def build_model(seed):
    """Make the network, with weights that suit its width.

    The weights of an MLP are drawn from -1 to 1. For layers this wide, that lets the numbers grow
    from layer to layer; scaled by ``sqrt(6 / inputs)``, after He et al., "Delving Deep into
    Rectifiers" (2015), they keep their size.
    """
    random.seed(seed)
    model = MLP(SIZES[0], SIZES[1:])
    for layer in model.layers:
        for neuron in layer.neurons:
            for w in neuron.w:
                w.data *= (6 / len(neuron.w)) ** 0.5
    return model


def accuracy(model, images, digits):
    """Tell what share of the images is named right."""
    return float(np.mean(model.predict(images).argmax(axis=1) == digits))


def train_epoch(model, batches, optimizer, schedule=None):
    """Take one step for every batch and give the losses."""
    losses = []
    for images, digits in batches:
        loss = cross_entropy(model(images), digits)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
        losses.append(loss.data)
    return losses


def train(model, images, digits, held_images, held_digits, args):
    """Train for some epochs under a progress bar; give the loss of every step."""
    n_steps = args.epochs * -(-len(images) // args.batch_size)
    optimizer = Adam(model.parameters(), lr=args.lr, weight_decay=WEIGHT_DECAY)
    schedule = CosineAnnealingLR(optimizer, T_max=n_steps)
    shuffler = random.Random(args.seed)
    losses = []
    with tqdm(range(args.epochs), unit="epoch", disable=None) as progress:
        for _ in progress:
            batches = minibatches(images, digits, batch_size=args.batch_size, seed=shuffler)
            losses += train_epoch(model, batches, optimizer, schedule)
            right = accuracy(model, held_images, held_digits)
            progress.set_postfix(loss=f"{losses[-1]:.4f}", held_out=f"{right:.1%}")
    return losses


def draw_loss(losses, n_epochs, path):
    """Save a picture of the loss of every step."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot(title="digits", xlabel="epoch", ylabel="loss", yscale="log")
    axes.plot(np.arange(1, len(losses) + 1) * n_epochs / len(losses), losses, linewidth=0.8)
    figure.savefig(path, dpi=120)


def draw_confusion(found, wanted, path):
    """Save a picture that counts which digit was taken for which."""
    counts = confusion_matrix(wanted, found, labels=range(10))
    figure = Figure(figsize=(5.5, 5.5), layout="constrained")
    axes = figure.add_subplot(
        title=f"{np.trace(counts)} of {counts.sum()} held-out digits are right",
        xlabel="named",
        ylabel="written",
        xticks=range(10),
        yticks=range(10),
    )
    axes.imshow(counts, cmap="Blues")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = "white" if count > counts.max() / 2 else "black"
            axes.text(column, row, count, ha="center", va="center", color=color)
    figure.savefig(path, dpi=120)


def at_least_one(text):
    """Read a whole number from 1 on."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a number from 1 on, found {number}")
    return number


def main(argv=None):
    """Train, measure and draw."""
    parser = argparse.ArgumentParser(
        description="Train a small network to name handwritten digits.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--epochs", type=at_least_one, default=30, help="times through the images")
    parser.add_argument("--batch-size", type=at_least_one, default=32, help="images a step")
    parser.add_argument("--lr", type=float, default=0.01, help="learning rate to begin with")
    parser.add_argument("--seed", type=int, default=0, help="of the split, weights and batches")
    parser.add_argument("--out", type=Path, default=Path("digits-demo"), help="picture folder")
    args = parser.parse_args(argv)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SystemExit(f"cannot make the folder for the pictures: {error}") from error

    images, digits, held_images, held_digits = load(args.seed)
    model = build_model(args.seed)
    print(
        f"digits: {len(images)} images to train with, {len(held_images)} held out,"
        f" a network of {len(model.parameters())} parameters"
    )
    losses = train(model, images, digits, held_images, held_digits, args)
    print(f"loss {losses[0]:.4f} at the first step, {losses[-1]:.4f} at the last")
    print(f"accuracy {accuracy(model, held_images, held_digits):.1%} of the held-out images")
    draw_loss(losses, args.epochs, args.out / "loss.png")
    named = model.predict(held_images).argmax(axis=1)
    draw_confusion(named, held_digits, args.out / "confusion.png")
    for name in ("loss.png", "confusion.png"):
        print(f"wrote {args.out / name}")


if __name__ == "__main__":
    main()
