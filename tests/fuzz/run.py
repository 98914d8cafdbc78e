"""Fuzz the readers of files with atheris: `python tests/fuzz/run.py --seconds 60 [target ...]`; needs the extra `fuzz`.

Each target runs in a process of its own. What ends in anything but a sentence is written to `tests/fuzz/finds/`; a find
that was cured becomes a test in `tests/reliability/test_files_fuzzed.py`.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent


def seeds(target: str) -> list[bytes]:
    """Inputs to begin with."""
    line = json.dumps({"id": "a", "label": 7, "writer": "me", "strokes": [[[0, 0], [9, 9.5]]], "widths": [20]}).encode()
    record = {"status": "finished", "seed": 3, "history": {"epoch": [1], "val_loss": [0.5]}, "command": "python a 'b'"}
    card = {"format": 1, "network": {"name": "mlp", "hidden_sizes": [16]}, "image_size": 28, "class_names": ["0", "1"]}
    if target in ("strokes", "stroke_line"):
        return [line, line + b"\n\n" + line]
    if target == "strokes_gz":
        import gzip

        return [gzip.compress(line + b"\n" + line)]
    if target == "record":
        return [json.dumps(record).encode()]
    if target == "records":
        return [json.dumps({"runs": [{"folder": "a", **record}]}).encode()]
    if target == "card_text":
        return [json.dumps(card).encode()]
    if target == "yaml":
        return [b"a: &a [1, two]\nb: {c: *a}\n"]
    if target == "idx":
        return [bytes([0, 0, 8, 1, 0, 0, 0, 3, 1, 2, 3])]
    if target == "safetensors":
        import torch

        from mnist_lightning.models import MLP, safetensors

        small = {**card, "image_size": 4, "network": {"_target_": "mnist_lightning.models.MLP", "hidden_sizes": [2]}}
        network = MLP(hidden_sizes=[2], num_classes=2, image_size=4)
        return [safetensors.dump(network.state_dict(), small), safetensors.dump({"a": torch.zeros(2)}, small)]
    if target == "onnx":
        return [_onnx(card)]
    if target in ("checkpoint", "pickle"):
        import io
        import zipfile

        import torch

        content = io.BytesIO()
        torch.save({"state_dict": {"network.a": torch.zeros(2, 2)}, "mnist_lightning": card}, content)
        if target == "checkpoint":
            return [content.getvalue()]
        with zipfile.ZipFile(content) as archive:
            return [archive.read(name) for name in archive.namelist() if name.endswith("data.pkl")]
    return [b"{}", b"[1, 2]"]


def _onnx(card: dict) -> bytes:
    """A linear network for images of 4x4."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("Flatten", ["images"], ["flat"]), helper.make_node("Gemm", ["flat", "weights"], ["logits"])],
        "network",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 1, 4, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(np.zeros((16, 2), np.float32), "weights")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    made.metadata_props.add(key="mnist_lightning", value=json.dumps({**card, "image_size": 4}))
    return made.SerializeToString()


def fuzz(target: str, seconds: int) -> None:
    """Fuzz one target in this process; does not return."""
    sys.path[:0] = [str(PROJECT), str(HERE)]
    import atheris

    with atheris.instrument_imports(include=["mnist_lightning", "json", "yaml", "torch._weights_only_unpickler"]):
        import targets

    corpus = Path(tempfile.mkdtemp(prefix=f"corpus-{target}-"))
    for number, seed in enumerate(seeds(target)):
        (corpus / f"seed{number}").write_bytes(seed)
    finds = HERE / "finds"
    finds.mkdir(exist_ok=True)
    options = [f"-max_total_time={seconds}", "-timeout=5", "-rss_limit_mb=3000", f"-artifact_prefix={finds}/{target}-"]
    atheris.Setup([sys.argv[0], *options, "-max_len=4096", str(corpus)], lambda data: targets.one(target, data))
    atheris.Fuzz()


def main() -> int:
    """Fuzz the targets one after another, and print how often each ran."""
    sys.path[:0] = [str(PROJECT), str(HERE)]
    from targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="target", help=f"of {', '.join(TARGETS)}; all by default")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        fuzz(given.targets[0], given.seconds)
    failed = 0
    for target in given.targets or TARGETS:
        command = [sys.executable, __file__, "--one", "--seconds", str(given.seconds), target]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        counts = re.findall(r"^#(\d+)\s|Done (\d+)", done.stderr, re.MULTILINE)
        count = max((int(number) for pair in counts for number in pair if number), default=0)
        print(f"{target:14} {count:>9,} executions  {'found something' if done.returncode else 'ok'}", flush=True)
        if done.returncode:
            failed += 1
            print(done.stderr[-3000:])
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
