"""What the documents name is there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_each_failure_has_its_test():
    text = (ROOT / "docs" / "failures.md").read_text("utf-8")
    rows = [r for r in text.splitlines() if r.startswith("| ") and not r.startswith("| what ")]
    assert len(rows) > 20
    for row in rows:
        cell = row.rsplit("|", 2)[1]
        source = ""
        named = 0
        for name in re.findall(r"`([^`]+)`", cell):
            if name.endswith(".py"):
                path = ROOT / "tests" / name if "/" in name else ROOT / "tests" / "faults" / name
                source = path.read_text("utf-8")
                named += 1
            elif name.startswith("test_"):
                assert f"def {name}(" in source, (row, name)
        assert named, row


def test_links_lead_somewhere():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), (page, link)
