"""The examples in the documents, for tests that run them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def snippets(page: str, section: str, language: str) -> list[str]:
    """The code of a section, in this language, in order. The section ends before the next one."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert text.count(f"\n## {section}\n") == 1, f"{page} has no section {section}"
    body = re.split(r"\n## ", text.partition(f"\n## {section}\n")[2])[0]
    found = re.findall(rf"^```{language}\n(.*?)^```$", body, re.DOTALL | re.MULTILINE)
    assert found, f"{page}, {section}: no {language}"
    return found
