"""MkDocs hook: the reference of all settings, generated from the comments in `conf/`."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

CONF = Path(__file__).parent.parent / "conf"
_SETTING = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z_]\w*): ?(?P<value>.*?)(?:\s+# (?P<comment>.*))?$")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page."""
    files.append(File.generated(config, "reference/config.md", content=reference()))
    return files


def reference() -> str:
    """The page: one section per command, then one per group with a table for each choice."""
    parts = [
        "# Settings\n\nEvery setting is a line in `conf/`, with a comment. This page is generated from those files.\n"
    ]
    for path in sorted(CONF.glob("*.yaml")):
        parts.append(f"\n## Command `{path.stem}`\n\n{_table(path)}")  # noqa: PERF401
    for group in sorted(path for path in CONF.iterdir() if path.is_dir() and path.name not in ("hydra", "local")):
        parts.append(f"\n## Group `{group.name}`\n")
        parts += [
            f"\n### `{group.name}={path.stem}`\n\n{_table(path)}"
            for path in sorted(group.glob("*.yaml"))
            if not path.stem.startswith("_")
        ]
        parts += [f"\n### All of `{group.name}`\n\n{_table(path)}" for path in sorted(group.glob("_*.yaml"))]
    return "".join(parts)


def _table(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    head = [line.lstrip("# ") for line in text.splitlines() if line.startswith("#") and "@package" not in line]
    rows, sections = [], []
    for line in text.split("\nhydra:")[0].splitlines():
        found = _SETTING.match(line)
        if not found or found["key"] in ("defaults", "_target_", "_partial_"):
            continue
        depth = len(found["indent"]) // 2
        sections = [*sections[:depth], found["key"]]
        if found["value"]:
            value = found["value"].replace("|", "\\|")
            rows.append(
                f"| `{'.'.join(sections)}` | `{value}` | {(found['comment'] or '').replace('|', chr(92) + '|')} |"
            )
    table = "| setting | default | meaning |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n" if rows else ""
    return " ".join(head) + "\n\n" + table
