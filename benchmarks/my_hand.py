"""What `experiment=my_hand` gains: it learns each writer's hand from ten drawings of each digit, and reads the others.

    python benchmarks/my_hand.py --strokes FILE.jsonl.gz

Nothing is chosen by the digits that are read: all of a writer's drawings are trained on (data.drawings_aside=0), and
the recipe is the experiment's own.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT / "benchmarks"))

from bench import compose  # noqa: E402

from mnist_lightning.run import folder as runs  # noqa: E402
from mnist_lightning.run import machine  # noqa: E402
from mnist_lightning.tasks import train as training  # noqa: E402


def main() -> None:
    """Measure, and print a line per writer and the sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strokes", type=Path, required=True, help="file of pen strokes, with writers")
    parser.add_argument("--writers", type=int, default=10, help="how many, evenly spaced in the order of their names")
    parser.add_argument("--data", type=Path, default=PROJECT / "data", help="folder that holds MNIST/raw")
    parser.add_argument("overrides", nargs="*", help="settings of the training to try out")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    machine.keep_freed_memory()

    import numpy as np

    from mnist_lightning.inference.predictor import Predictor
    from mnist_lightning.ink import drawings
    from mnist_lightning.ink.normalise import normalise
    from mnist_lightning.ink.raster import draw_digit
    from mnist_lightning.ink.strokes import WrittenDigit, read_digits

    hands: dict[str, list[WrittenDigit]] = defaultdict(list)
    for digit in read_digits(given.strokes):
        hands[digit.writer].append(digit)
    names = sorted(hands)
    chosen = [names[round(index * len(names) / given.writers)] for index in range(given.writers)]
    pretrained = Predictor.load(runs.PRETRAINED, "cpu")
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as root:
        for writer in chosen:
            folder, seen, others = Path(root) / writer, Counter[int](), []
            for digit in hands[writer]:
                if seen[digit.label] < 10:
                    seen[digit.label] += 1
                    drawings.append(folder, digit.strokes, digit.label, writer)
                else:
                    others.append(digit)
            images = np.stack([normalise(draw_digit(digit.strokes)) for digit in others])
            labels = np.array([digit.label for digit in others])
            asked = ["data=mnist", f"data.folder={given.data.resolve()}", "experiment=my_hand", "ckpt=pretrained"]
            asked += [f"outputs={folder}", f"data.drawings={folder}", "data.drawings_aside=0.0", "logger=none"]
            run = folder / "run"
            run.mkdir()
            began = time.perf_counter()
            metrics = training.train(compose([*asked, *given.overrides]), run)  # type: ignore[arg-type]
            seconds = time.perf_counter() - began
            learnt = Predictor.load(run / runs.BEST, "cpu")
            before, after = (int((p.logits(images).argmax(1).numpy() != labels).sum()) for p in (pretrained, learnt))
            results.append({"writer": writer, "read": len(labels), "errors_before": before, "errors_after": after,
                            "test_accuracy": metrics["test"]["accuracy"], "seconds": seconds})  # fmt: skip
            print(json.dumps(results[-1]), flush=True)
    before, after = (sum(each[key] for each in results) for key in ("errors_before", "errors_after"))
    means = [float(np.mean([each[key] for each in results])) for key in ("test_accuracy", "seconds")]
    print(f"errors {before} -> {after}; MNIST {100 * means[0]:.2f} % on average, {means[1]:.1f} s a writer")


if __name__ == "__main__":
    main()
