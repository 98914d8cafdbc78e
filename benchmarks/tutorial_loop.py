"""What most tutorials do: torchvision's per-image pipeline, batches of 64, Adam at 0.005, a small CNN; one epoch.

    python benchmarks/tutorial_loop.py --data data --json out.json

The measure of what a beginner's first loop costs. `--loader-only` times its loader alone, without a network.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms


def main() -> None:
    """Run one epoch and write seconds and test accuracy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds MNIST/raw")
    parser.add_argument("--json", type=Path, required=True, help="file for the result")
    parser.add_argument("--loader-only", action="store_true")
    given = parser.parse_args()

    torch.manual_seed(0)
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    train = DataLoader(datasets.MNIST(given.data, train=True, transform=transform), batch_size=64, shuffle=True)
    test = DataLoader(datasets.MNIST(given.data, train=False, transform=transform), batch_size=1000)
    if given.loader_only:
        began, count = time.perf_counter(), 0
        for _, labels in train:
            count += len(labels)
            if count >= 20_000:
                break
        given.json.write_text(
            json.dumps({"images_per_second": count / (time.perf_counter() - began)}), encoding="utf-8"
        )
        return

    network = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), lr=0.005)
    began = time.perf_counter()
    for images, labels in train:
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    seconds = time.perf_counter() - began
    network.eval()
    with torch.no_grad():
        hits = sum(int((network(images).argmax(1) == labels).sum()) for images, labels in test)
    given.json.write_text(json.dumps({"fit_seconds": seconds, "test_accuracy": hits / 10_000}), encoding="utf-8")


if __name__ == "__main__":
    main()
