"""A GPT of scalars: learns to spell names, letter by letter, and makes up new ones.

Every number is a `Value`: embeddings, attention, normalisation, the loss. Written as it is, one
training step makes a graph of some 40,000 nodes. `jit` traces that graph once for each length of a
name, and replays it after: `take` chooses a letter's embedding and its probability, whichever it
is. The training loop stays what it was.

    python examples/microgpt.py                      # 1,000 steps, then 20 new names
    python examples/microgpt.py --engine eager       # the same, a new graph at every step
    python examples/microgpt.py --engine reference   # the same in pure Python
    python examples/microgpt.py --data names.txt     # a file of lines, one name each
"""

import argparse
import random
import sys
import time
from pathlib import Path

from micrograd_fast import jit, take

N_EMBEDDING, N_HEADS, BLOCK_SIZE = 16, 4, 16

NAMES = """
ada adele agnes albert alice alma amelie amir anders andrea anna anton arne arthur astrid aurora
ava beatrice benno bianca boris bruno camille carla carlos cecilia celine clara daniel dario david
diana diego edgar edith elena elias elif elin elisa ella emil emilia emma enzo erik esra eva fatima
felix fiona frida gabriel george greta gustav hanna hannes helena henri hugo ida igor ilse ines
ingrid irene isabel ivan jakob jana jasmin johan jonas julia julian kamal karin karl katja kemal
klara lara larissa laura leila lena leo leon levi liam lina linda linus livia lotte louis luca
lucia luis luisa lukas magda maja malik manuel marco maria marie marina mario marta martin mateo
matilda max maya mila milan milo mina mira miriam moritz nadia naomi natalie nikola nils nina noah
nora olga olivia omar oscar otto paula pedro peter petra pia rafael rania robin rosa ruben ruth
samir samuel sara selim selma silvia simon sofia sonja stella sven tamara tara teo teresa thea theo
thomas tilda tim tobias ulla valentin vera victor viola walter wanda willem xenia yara yasmin
yusuf zahra zoe
"""


def load_engine(name):
    """The names that the model is written with: Value, sum and dot, from one engine."""
    if name == "reference":
        from micrograd_fast.reference import engine
    else:
        from micrograd_fast import engine
    return engine


class Model:
    """A transformer of one layer, its weights as rows of Values."""

    def __init__(self, engine, n_tokens, rng):
        def matrix(n_out, n_in, spread=0.08):
            return [
                [engine.Value(rng.gauss(0.0, spread)) for _ in range(n_in)] for _ in range(n_out)
            ]

        self.dot, self.sum = engine.dot, engine.sum
        self.tokens = matrix(n_tokens, N_EMBEDDING)
        self.positions = matrix(BLOCK_SIZE, N_EMBEDDING)
        self.query, self.key, self.value, self.mix = (
            matrix(N_EMBEDDING, N_EMBEDDING) for _ in range(4)
        )
        self.widen = matrix(4 * N_EMBEDDING, N_EMBEDDING)
        self.narrow = matrix(N_EMBEDDING, 4 * N_EMBEDDING)
        self.head = matrix(n_tokens, N_EMBEDDING)

    def parameters(self):
        """All weights, matrix by matrix and row by row."""
        matrices = [self.tokens, self.positions, self.query, self.key, self.value, self.mix]
        matrices += [self.widen, self.narrow, self.head]
        return [weight for matrix in matrices for row in matrix for weight in row]

    def linear(self, x, matrix):
        """The matrix times the vector."""
        return [self.dot(row, x) for row in matrix]

    def normalised(self, x):
        """The vector with a root mean square of 1."""
        scale = (self.dot(x, x) / len(x) + 1e-5) ** -0.5
        return [entry * scale for entry in x]

    def softmax(self, scores):
        """Numbers above 0 that add up to 1; scores are small here, and exp needs no help."""
        powers = [score.exp() for score in scores]
        total = self.sum(powers)
        return [power / total for power in powers]

    def scores(self, token, position, keys, values):
        """A score for each token that could come next; adds to the keys and values seen so far."""
        x = [
            t + p for t, p in zip(take(self.tokens, token), self.positions[position], strict=True)
        ]
        x = self.normalised(x)

        inside = self.normalised(x)
        query = self.linear(inside, self.query)
        keys.append(self.linear(inside, self.key))
        values.append(self.linear(inside, self.value))
        attended = []
        size = N_EMBEDDING // N_HEADS
        for first in range(0, N_EMBEDDING, size):
            part = slice(first, first + size)
            weights = self.softmax([self.dot(query[part], key[part]) / size**0.5 for key in keys])
            attended += [
                self.dot(weights, [value[i] for value in values])
                for i in range(first, first + size)
            ]
        x = [a + b for a, b in zip(self.linear(attended, self.mix), x, strict=True)]

        wide = [entry.relu() for entry in self.linear(self.normalised(x), self.widen)]
        x = [a + b for a, b in zip(self.linear(wide, self.narrow), x, strict=True)]
        return self.linear(x, self.head)

    def loss(self, tokens, nexts):
        """How surprising the next tokens are on average, given those before them."""
        keys, values, losses = [], [], []
        for position, (token, following) in enumerate(zip(tokens, nexts, strict=True)):
            probabilities = self.softmax(self.scores(token, position, keys, values))
            losses.append(-take(probabilities, following).log())
        return self.sum(losses) / len(losses)


class ReferenceAdam:
    """Adam in a loop, for an engine without optimizers."""

    def __init__(self, parameters, lr, betas):
        self.parameters, self.lr, self.betas = parameters, lr, betas
        self.first, self.second = [0.0] * len(parameters), [0.0] * len(parameters)
        self.n_steps = 0

    def zero_grad(self):
        """Set every gradient to 0."""
        for p in self.parameters:
            p.grad = 0.0

    def step(self):
        """Move the parameters against their gradients."""
        self.n_steps += 1
        beta1, beta2 = self.betas
        for i, p in enumerate(self.parameters):
            self.first[i] = beta1 * self.first[i] + (1.0 - beta1) * p.grad
            self.second[i] = beta2 * self.second[i] + (1.0 - beta2) * p.grad**2
            first = self.first[i] / (1.0 - beta1**self.n_steps)
            second = self.second[i] / (1.0 - beta2**self.n_steps)
            p.data -= self.lr * first / (second**0.5 + 1e-8)


def sampled(model, letters, rng, temperature):
    """A new name."""
    end = len(letters)
    token, name, keys, values = end, "", [], []
    for position in range(BLOCK_SIZE):
        scores = model.scores(token, position, keys, values)
        weights = [p.data for p in model.softmax([s / temperature for s in scores])]
        token = rng.choices(range(end + 1), weights)[0]
        if token == end:
            break
        name += letters[token]
    return name


def train(names, engine_name="jit", n_steps=1000, seed=42, report=None):
    """Train a model; return it, its letters and the loss of every step.

    Parameters
    ----------
    names : list of str
    engine_name : {"jit", "eager", "reference"}
    n_steps, seed : int
    report : callable, optional
        Called with the number of a step, from 1, and its loss.
    """
    rng = random.Random(seed)
    names = list(names)
    rng.shuffle(names)
    letters = sorted(set("".join(names)))
    end = len(letters)
    engine = load_engine(engine_name)
    model = Model(engine, end + 1, rng)
    parameters = model.parameters()
    lr, betas = 0.01, (0.85, 0.99)
    if engine_name == "reference":
        optimizer = ReferenceAdam(parameters, lr, betas)
    else:
        from micrograd_fast.optim import Adam

        optimizer = Adam(parameters, lr=lr, betas=betas)
    if engine_name == "jit":
        traced = jit(model.loss, indices=("tokens", "nexts"))
    losses = []
    for step in range(n_steps):
        name = names[step % len(names)]
        tokens = [end, *map(letters.index, name), end][: BLOCK_SIZE + 1]
        optimizer.zero_grad()
        if engine_name == "jit":
            losses.append(traced.backward(tokens[:-1], tokens[1:]))
        else:
            loss = model.loss(tokens[:-1], tokens[1:])
            loss.backward()
            losses.append(loss.data)
        rate = lr * (1.0 - step / n_steps)
        if engine_name == "reference":
            optimizer.lr = rate
        else:
            optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        if report:
            report(step + 1, losses[-1])
    return model, letters, losses


def main(arguments=None):
    """Train as the command line says, then make up names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a file of lines, one name each")
    parser.add_argument("--engine", choices=["jit", "eager", "reference"], default="jit")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--temperature", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=42)
    options = parser.parse_args(arguments)
    text = options.data.read_text() if options.data else NAMES
    names = [name.strip() for name in text.split() if name.strip()]
    if not names:
        parser.error(f"--data must be a file of names, found none in {options.data}")

    def report(step, loss):
        if step == 1 or step % 100 == 0 or step == options.steps:
            print(f"step {step:5d} of {options.steps}: loss {loss:.4f}", file=sys.stderr)

    start = time.process_time()
    model, letters, losses = train(names, options.engine, options.steps, options.seed, report)
    seconds = time.process_time() - start
    print(f"{len(names)} names, {len(letters)} letters, {len(model.parameters())} parameters")
    last = losses[-100:]
    print(
        f"loss {losses[0]:.4f} at first, {sum(last) / len(last):.4f} in the last {len(last)} steps"
    )
    print(f"{seconds:.2f} s of one core")
    rng = random.Random(options.seed)
    for _ in range(options.samples):
        print(sampled(model, letters, rng, options.temperature))


if __name__ == "__main__":
    main()
