"""The documentation site builds strictly, and the notebook runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=PROJECT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site/reference/config/index.html").read_text(encoding="utf-8")
    assert "optimizer=adam" in page
    assert "label_smoothing" in page
    # A formatter once took the lines that include a file for Python, and the pages showed them as they are.
    pages = (tmp_path / "site").rglob("*.html")
    assert [page.name for page in pages if re.search("8 ?(<|&lt;) ?--", page.read_text(encoding="utf-8"))] == []
    own_callback = (tmp_path / "site/how-to/own-callback/index.html").read_text(encoding="utf-8")
    assert re.search("class.*GradientNorm", re.sub("<[^>]*>", "", own_callback))


def test_the_notebook_runs(tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    book = nbformat.read(PROJECT / "notebooks/quickstart.ipynb", 4)
    nbclient.NotebookClient(book, timeout=400, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [str(cell.get("outputs")) for cell in book.cells if cell.cell_type == "code"]
    assert "('7', " in outputs[-2]
    assert "'finished'" in outputs[-1]
