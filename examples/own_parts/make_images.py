"""Write a folder of labelled image files, `images/{train,test}/<digit>/<number>.png`, from scikit-learn's digits."""

from pathlib import Path

import cv2
import numpy as np
from sklearn.datasets import load_digits

digits = load_digits()
for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
    part = "train" if number < 1500 else "test"
    folder = Path("images", part, str(label))
    folder.mkdir(parents=True, exist_ok=True)
    ink = cv2.resize((pixels / 16 * 255).astype(np.uint8), (32, 32), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(folder / f"{len(list(folder.iterdir()))}.png"), 255 - ink)  # dark on white, as on paper
print("images/ holds", len(digits.images), "files")
