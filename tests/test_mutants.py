"""The mutation check makes the changes that it promises, and its targets exist."""

from pathlib import Path

from tests.mutants import ROOT, TARGETS, Target, equivalent, mutants

SOURCE = '''
"""A module."""
LIMIT = 3


def chosen(names: list[str], most: int = LIMIT) -> list[str]:
    if not names:
        log.info("nothing", count=0)
        return names
    return min(names, key=len) if len(names) < most else names[:most]
'''


def test_every_kind_of_change_is_made_once(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(SOURCE, encoding="utf-8")
    made = mutants(Target("module.py", ()), tmp_path)
    changes = [mutant.key.partition(": ")[2] for mutant in made]
    assert "3 -> 4" in changes
    assert "not names -> names" in changes
    assert "len(names) < most -> len(names) <= most" in changes
    assert "min(names, key=len) -> max(names, key=len)" in changes
    assert "min(names, key=len) -> min(names)" in changes
    assert "return names -> return None" in changes
    assert len(set(changes)) == len(changes)
    assert not any("log.info" in change for change in changes)
    assert all(compile(mutant.source, "module.py", "exec") for mutant in made)


def test_only_the_chosen_functions_change(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(SOURCE, encoding="utf-8")
    made = mutants(Target("module.py", (), functions=("chosen",)), tmp_path)
    assert made and all(" chosen: " in mutant.key for mutant in made)


def test_every_target_exists_and_every_exception_has_a_reason() -> None:
    for target in TARGETS:
        assert (ROOT / target.module).is_file(), target.module
        assert any((ROOT / name).exists() for name in target.tests), target.module
    assert all(equivalent().values())
