"""The framework against the reference loop on a GPU, in turns in one process, after one warm-up of each.

    python benchmarks/gpu.py --json gpu.json
    python benchmarks/gpu.py --seeds 3 --json gpu.json data.batch_size=256 optimizer.lr=0.04

Trains `experiment=fast`, one epoch, with the settings given after the options; both sides replay their steps as CUDA
graphs, and validate in batches of 1,000. Fit seconds count everything between the first step and the last checkpoint:
data on the device, training, validation, files.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from pathlib import Path
from statistics import mean, median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import bench


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=bench.PROJECT / "data", help="folder that holds MNIST/raw")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("overrides", nargs="*", help="settings of conf/train.yaml")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    bench.machine.keep_freed_memory()  # before torch is imported, for both sides
    bench.machine.wait_briefly()
    overrides = ["experiment=fast", "trainer=gpu", "logger=none", "data.eval_batch_size=1000", *given.overrides]
    with tempfile.TemporaryDirectory() as folder:
        gpu = bench.Bench(given.data, Path(folder), "cuda")
        for side in (gpu.framework, gpu.reference):
            side(overrides, 0)  # loads the kernels
        both = bench.in_turns(gpu, overrides, range(given.seeds))
    scored = [100 * each["test_accuracy"] for each in both["framework"]]
    machine = bench.provenance.describe("cuda", "bf16-mixed")
    result: dict[str, Any] = {"machine": machine, "overrides": overrides, **both}
    print(
        f"{' '.join(overrides)}: framework {bench.spread(bench.seconds_of(both['framework']))} s "
        f"(mean {mean(bench.seconds_of(both['framework'])):.3f}), "
        f"reference loop {median(bench.seconds_of(both['reference'])):.2f} s, ratio {bench.ratio(both)}; "
        f"test accuracy {mean(scored):.3f} % ({min(scored):.2f} to {max(scored):.2f}) on {result['machine']['device']}"
    )
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
