"""A one-file GPT on names, with an engine of its own: slots, local gradients, no imports."""

import math
import random
import sys

N_STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 3
random.seed(42)
words = "emma olivia ava isabella sophia mia amelia ella luna nora hazel aria stella ivy".split()
random.shuffle(words)
letters = sorted(set("abcdefghijklmnopqrstuvwxyz"))
END = len(letters)
n_tokens = END + 1


class Value:
    """A scalar that remembers where it came from."""

    __slots__ = ("data", "grad", "_children", "_local_grads")

    def __init__(self, data, children=(), local_grads=()):
        self.data = data
        self.grad = 0
        self._children = children
        self._local_grads = local_grads

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data + other.data, (self, other), (1, 1))

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, power):
        return Value(self.data**power, (self,), (power * self.data ** (power - 1),))

    def log(self):
        return Value(math.log(self.data), (self,), (1 / self.data,))

    def exp(self):
        return Value(math.exp(self.data), (self,), (math.exp(self.data),))

    def relu(self):
        return Value(max(0, self.data), (self,), (float(self.data > 0),))

    def __neg__(self):
        return self * -1

    def __radd__(self, other):
        return self + other

    def __sub__(self, other):
        return self + (-other)

    def __rsub__(self, other):
        return other + (-self)

    def __rmul__(self, other):
        return self * other

    def __truediv__(self, other):
        return self * other**-1

    def __rtruediv__(self, other):
        return other * self**-1

    def backward(self):
        order, seen = [], set()

        def visit(node):
            if node not in seen:
                seen.add(node)
                for child in node._children:
                    visit(child)
                order.append(node)

        visit(self)
        self.grad = 1
        for node in reversed(order):
            for child, slope in zip(node._children, node._local_grads):
                child.grad += slope * node.grad


n_embd, n_head, n_layer, block_size = 16, 4, 1, 16
head_dim = n_embd // n_head


def matrix(n_out, n_in, std=0.08):
    return [[Value(random.gauss(0, std)) for _ in range(n_in)] for _ in range(n_out)]


state = {
    "wte": matrix(n_tokens, n_embd),
    "wpe": matrix(block_size, n_embd),
    "head": matrix(n_tokens, n_embd),
}
for i in range(n_layer):
    for name in ("q", "k", "v", "o"):
        state[f"{i}.{name}"] = matrix(n_embd, n_embd)
    state[f"{i}.up"] = matrix(4 * n_embd, n_embd)
    state[f"{i}.down"] = matrix(n_embd, 4 * n_embd)
params = [p for rows in state.values() for row in rows for p in row]
print(f"{len(params)} parameters")


def linear(x, w):
    return [sum(wi * xi for wi, xi in zip(wo, x)) for wo in w]


def softmax(logits):
    biggest = max(val.data for val in logits)
    exps = [(val - biggest).exp() for val in logits]
    total = sum(exps)
    return [e / total for e in exps]


def rmsnorm(x):
    ms = sum(xi * xi for xi in x) / len(x)
    scale = (ms + 1e-5) ** -0.5
    return [xi * scale for xi in x]


def gpt(token, position, keys, values):
    x = [t + p for t, p in zip(state["wte"][token], state["wpe"][position])]
    x = rmsnorm(x)
    for i in range(n_layer):
        residual = x
        x = rmsnorm(x)
        q, k, v = (linear(x, state[f"{i}.{name}"]) for name in ("q", "k", "v"))
        keys[i].append(k)
        values[i].append(v)
        mixed = []
        for h in range(n_head):
            part = slice(h * head_dim, (h + 1) * head_dim)
            qs, ks, vs = q[part], [k[part] for k in keys[i]], [v[part] for v in values[i]]
            scores = [
                sum(qs[j] * ks[t][j] for j in range(head_dim)) / head_dim**0.5
                for t in range(len(ks))
            ]
            weights = softmax(scores)
            mixed += [sum(weights[t] * vs[t][j] for t in range(len(vs))) for j in range(head_dim)]
        x = [a + b for a, b in zip(linear(mixed, state[f"{i}.o"]), residual)]
        residual = x
        x = linear(rmsnorm(x), state[f"{i}.up"])
        x = [xi.relu() for xi in x]
        x = [a + b for a, b in zip(linear(x, state[f"{i}.down"]), residual)]
    return linear(x, state["head"])


rate, beta1, beta2, eps = 0.01, 0.85, 0.99, 1e-8
m, v = [0.0] * len(params), [0.0] * len(params)
for step in range(N_STEPS):
    word = words[step % len(words)]
    tokens = [END] + [letters.index(letter) for letter in word] + [END]
    n = min(block_size, len(tokens) - 1)
    keys, values = [[] for _ in range(n_layer)], [[] for _ in range(n_layer)]
    losses = []
    for position in range(n):
        probs = softmax(gpt(tokens[position], position, keys, values))
        losses.append(-probs[tokens[position + 1]].log())
    loss = (1 / n) * sum(losses)
    loss.backward()
    lr = rate * (1 - step / N_STEPS)
    for i, p in enumerate(params):
        m[i] = beta1 * m[i] + (1 - beta1) * p.grad
        v[i] = beta2 * v[i] + (1 - beta2) * p.grad**2
        m_hat = m[i] / (1 - beta1 ** (step + 1))
        v_hat = v[i] / (1 - beta2 ** (step + 1))
        p.data -= lr * m_hat / (v_hat**0.5 + eps)
        p.grad = 0
    print(f"step {step + 1:4d} / {N_STEPS:4d} | loss {loss.data!r}")

for sample in range(3):
    keys, values = [[] for _ in range(n_layer)], [[] for _ in range(n_layer)]
    token, made = END, []
    for position in range(block_size):
        probs = softmax([logit / 0.5 for logit in gpt(token, position, keys, values)])
        token = random.choices(range(n_tokens), weights=[p.data for p in probs])[0]
        if token == END:
            break
        made.append(letters[token])
    print(f"sample {sample + 1}: {''.join(made)}")
