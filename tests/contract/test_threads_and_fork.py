"""Point 21 of the drop-in contract: threads with graphs of their own, and forked children."""

import os
import sys
import threading
import time

import pytest
from random_graphs import forward, leaves_of, random_program
from support import bits, run_python

N_THREADS = 4


def in_threads(work):
    """`work(i)` in four threads that start together, switching as often as Python can."""
    results, errors = [None] * N_THREADS, []
    barrier = threading.Barrier(N_THREADS)
    interval = sys.getswitchinterval()

    def run(i):
        try:
            barrier.wait()
            results[i] = work(i)
        except BaseException as error:
            errors.append(error)

    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=run, args=(i,)) for i in range(N_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not errors, errors
    return results


def test_21_four_threads_give_what_one_gives(engine):
    programs = [random_program(engine, seed, 120) for seed in range(40)]

    def work(i):
        seen = []
        for program in programs[i::N_THREADS]:
            for _ in range(3):
                nodes, _ = forward(engine, program)
                nodes[-1].backward()
                nodes[-1].backward()
                seen.append([(bits(v.data), bits(v.grad)) for v in leaves_of(program, nodes)])
                nodes[-1].zero_grad()
        return seen

    expected = [work(i) for i in range(N_THREADS)]
    assert len({str(result) for result in expected}) == N_THREADS
    assert in_threads(work) == expected


def test_21_threads_that_make_and_free_at_once(engine):
    def work(i):
        a = engine.Value(1.0 + i)
        total = 0.0
        for step in range(300):
            node = a
            for _ in range(20):
                node = node * 0.5 + 1.0
            node.note = step
            node.backward()
            total += node.data + a.grad
            a.grad = 0.0
        return bits(total)

    assert in_threads(work) == [work(i) for i in range(N_THREADS)]


def test_21_a_closure_that_lets_other_threads_run(engine):
    """Backward is interrupted in the middle by the backward of other threads."""

    def work(i):
        a = engine.Value(1.0 + i)
        results = []
        for _ in range(5):
            node = a
            for _ in range(10):
                child = node * 1.5
                node = engine.Value(child.data, (child, a), "pause")

                def _backward(node=node, child=child):
                    time.sleep(0.0002)
                    child.grad += 2.0 * node.grad
                    time.sleep(0.0001)
                    a.grad += 0.25 * node.grad

                node._backward = _backward
            out = (node * a).tanh() + node
            out.backward()
            results.append(bits(a.grad))
            out.zero_grad()
        return results

    expected = [work(i) for i in range(N_THREADS)]
    assert in_threads(work) == expected


def test_21_a_graph_passed_from_one_thread_to_another(engine):
    box = {}

    def build():
        a = engine.Value(2.0)
        box["a"], box["out"] = a, (a * 3 + 1) ** 2

    def differentiate():
        box["out"].backward()

    for step in (build, differentiate):
        thread = threading.Thread(target=step)
        thread.start()
        thread.join()
    assert box["a"].grad == 42.0
    box.clear()


def test_21_four_threads_train_four_models(engine):
    import random

    def work(i):
        rng = random.Random(i)
        model = engine.nn.MLP(2, [3, 1])
        for p in model.parameters():
            p.data = rng.uniform(-1, 1)
        losses = []
        for _ in range(10):
            loss = engine.sum([(model([0.5, i]) - 1.0) ** 2, (model([i, 0.5]) + 1.0) ** 2])
            model.zero_grad()
            loss.backward()
            for p in model.parameters():
                p.data -= 0.01 * p.grad
            losses.append(bits(loss.data))
        return losses

    assert in_threads(work) == [work(i) for i in range(N_THREADS)]


# A platform without fork has no such promise.
if hasattr(os, "fork"):

    @pytest.mark.parametrize("package", ["micrograd_fast.reference", "micrograd_fast"])
    def test_21_a_forked_child_goes_on_with_the_parents_graph(package):
        out = run_python(f"""
            import gc, os
            from {package} import Value

            a, b = Value(2.0), Value(3.0)
            node = a
            for _ in range(1000):
                node = node + b
            node.label = "shared"
            hooked = node * 2
            original = hooked._backward
            hooked._backward = lambda: (original(), None)[1]

            reader, writer = os.pipe()
            child = os.fork()
            if child == 0:
                out = hooked + a * b
                out.backward()
                more = [Value(i) * 2 for i in range(5000)]
                del more
                gc.collect()
                report = f"{{out.data}} {{a.grad}} {{b.grad}} {{node.label}}"
                os.write(writer, report.encode())
                os._exit(0)
            status = os.waitpid(child, 0)[1]
            report = os.read(reader, 1000).decode()
            assert status == 0, status
            assert report == "6010.0 5.0 2002.0 shared", report
            assert (a.grad, b.grad) == (0.0, 0.0)
            hooked.backward()
            assert (a.grad, b.grad) == (2.0, 2000.0)
            print("done")
            """)
        assert out == "done\n"
