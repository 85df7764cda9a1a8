"""Mutation check: changes one expression at a time and reports the changes that no test notices.

`python -m tests.mutants [module …]`, or `make mutants`. Every mutant runs in a copy of the tree,
against those tests of its module (see TARGETS) that run its function, the fastest first. A mutant
is killed if a test fails. The exit code is 1 if fewer than 95 % are killed; mutants that cannot be
noticed are listed in tests/mutants.txt, each with the reason, and do not count."""

import argparse
import ast
import copy
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import accumulate
from pathlib import Path
from queue import Queue

import coverage
import msgspec
import pytest
from hypothesis import Phase, settings

ROOT = Path(__file__).parents[1]
EQUIVALENT = Path(__file__).with_suffix(".txt")
AT_ONCE = 3 * (os.cpu_count() or 1)
"""Mutants at once: tests of a broken service spend most of their time waiting."""
LEAST_KILLED = 0.95
AT_MOST = 30.0
"""Seconds of tests for each mutant: the slowest tests of a module are left out."""
FIRST = 8
"""Tests that run before the others."""
SLOWER = 3.0
"""How many times as long as without a mutation a test may take; then the mutant is killed."""
GRACE = 10.0
"""Seconds on top of that."""
LEFT_OUT = (".git", ".venv*", "data", "__pycache__", ".*_cache", ".hypothesis")
PYTEST = (
    *("-x", "-q", "-n", "0", "-p", "no:cacheprovider"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # of the plugins that are imported below
)
PROCESSES = multiprocessing.get_context("forkserver")
"""Starting Python and importing the libraries would take most of the time: each run is a fork of a
process that has imported them."""
IMPORTED = [
    "pytest",
    "hypothesis.strategies",
    "schemathesis",
    "pytest_httpx",
    "starlette.testclient",
]


class Target(msgspec.Struct, frozen=True):
    """A module to mutate, and the tests that cover it."""

    module: str
    tests: tuple[str, ...]
    #: Only these functions; all of the module if empty.
    functions: tuple[str, ...] = ()


TARGETS = (
    Target(
        "service/model.py",
        (
            "tests/service/test_sync_values.py",
            "tests/service/test_model.py",
            "tests/service/test_progress.py",
            "tests/test_docs.py",
            "tests/service/test_moves.py",
            "tests/service/test_laws.py",
            "tests/service/test_retries.py",
            "tests/service/test_options.py",
            "tests/service/test_erasing.py",
            "tests/service/api/test_syncs.py",
            "tests/service/api/test_isolation.py",
        ),
    ),
    Target(
        "service/progress.py",
        (
            "tests/service/test_progress.py",
            "tests/service/test_model.py",
            "tests/service/test_moves.py",
            "tests/service/test_laws.py",
            "tests/service/test_options.py",
            "tests/service/test_clock_set_back.py",
            "tests/service/test_erasing.py",
            "tests/service/test_retries.py",
        ),
    ),
    Target(
        "service/registry.py",
        (
            "tests/service/test_registry.py",
            "tests/service/test_moves.py",
            "tests/service/test_starting.py",
            "tests/service/api/test_syncs.py",
            "tests/service/api/test_cancel_and_resume.py",
            "tests/service/test_limits.py",
            "tests/service/test_retries.py",
            "tests/service/test_outages.py",
            "tests/service/test_housekeeping.py",
            "tests/service/test_erasing.py",
            "tests/service/test_options.py",
            "tests/service/api/test_connections.py",
            "tests/service/streams/test_sse.py",
        ),
    ),
    Target(
        "service/starting.py",
        (
            "tests/service/test_starter.py",
            "tests/service/test_starting.py",
            "tests/service/test_limits.py",
            "tests/service/test_options.py",
            "tests/service/api/test_syncs.py",
        ),
    ),
    Target(
        "service/runner/runner.py",
        (
            "tests/service/runner/test_runner.py",
            "tests/service/test_limits.py",
            "tests/service/test_laws.py",
        ),
    ),
    Target(
        "connectors/quota.py",
        (
            "tests/connectors/test_quota.py",
            "tests/connectors/test_quota_state.py",
            "tests/connectors/test_quota_refusals.py",
        ),
    ),
    Target(
        "service/store/engine.py",
        ("tests/service/store", "tests/service/test_clock.py"),
    ),
    Target(
        "service/store/sqlite.py",
        (
            "tests/service/store",
            "tests/service/test_outages.py",
            "tests/service/test_intake.py",
            "tests/service/test_places.py",
        ),
        functions=("write", "_write", "_run", "_with_table", "_inlined"),
    ),
)


class Mutant(msgspec.Struct, frozen=True):
    """One change. `key` names it without a line number, which would change with every edit."""

    module: str
    key: str
    line: int
    source: str
    #: The first and last line of its function; None for code that runs on import.
    function: tuple[int, int] | None


Lines = tuple[int, int]


# Mutations ----------------------------------------------------------------------------------------

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
}
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}


def variants(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes to try in place of this one."""
    match node:
        case ast.Compare(ops=[operator, *_]) if type(operator) in COMPARISONS:
            changed = copy.deepcopy(node)
            changed.ops[0] = COMPARISONS[type(operator)]()
            yield changed
        case ast.BoolOp(values=values):
            yield from values
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BinOp(op=operator) | ast.AugAssign(op=operator) if type(operator) in OPERATORS:
            swapped = copy.deepcopy(node)
            assert isinstance(swapped, ast.BinOp | ast.AugAssign)
            swapped.op = OPERATORS[type(operator)]()
            yield swapped
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value + 1)
        case ast.IfExp(body=body, orelse=orelse):
            yield body
            yield orelse
        case ast.If(test=test) | ast.While(test=test) if not isinstance(test, ast.Compare):
            negated = copy.deepcopy(node)
            assert isinstance(negated, ast.If | ast.While)
            negated.test = ast.UnaryOp(ast.Not(), negated.test)
            yield negated
        case ast.Return(value=ast.expr() as value) if not _is_none(value):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call() | ast.Await()):
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]) | ast.Delete():
            yield ast.Pass()
        case ast.Set(elts=elements) if len(elements) > 1:
            for index in range(len(elements)):
                yield ast.Set(elements[:index] + elements[index + 1 :])
        case ast.Call():
            yield from _calls(node)


def _calls(node: ast.Call) -> Iterator[ast.Call]:
    """The call without each of its keywords, or of the opposite function."""
    if isinstance(node.func, ast.Name) and node.func.id in CALLS:
        opposite = copy.deepcopy(node)
        opposite.func = ast.Name(CALLS[node.func.id])
        yield opposite
    for index, keyword in enumerate(node.keywords):
        if keyword.arg and not _is_log(node):
            fewer = copy.deepcopy(node)
            del fewer.keywords[index]
            yield fewer


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_log(node: ast.AST) -> bool:
    """A call of the log: what it says is not behaviour."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="log"))):
            return True
        case ast.Expr(value=ast.Call() as call):
            return _is_log(call)
    return False


class _Finder(ast.NodeVisitor):
    """Collects (parent, field, index, node, function, its lines) of every node to replace."""

    def __init__(self, functions: Sequence[str]) -> None:
        self.places: list[tuple[ast.AST, str, int | None, ast.AST, str, Lines | None]] = []
        self._functions = functions
        self._names: list[str] = []
        self._lines: list[Lines] = []

    def generic_visit(self, node: ast.AST) -> None:
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list", "type_params", "bases"):
                continue
            if isinstance(value, ast.AST):
                self._visit(node, field, None, value)
            elif isinstance(value, list):
                for index, item in enumerate(value):
                    if isinstance(item, ast.AST):
                        self._visit(node, field, index, item)

    def _visit(self, parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
        named = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        name = getattr(node, "name", "")
        if name == "__repr__" or _is_log(node):
            return
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            self._lines.append((node.lineno, node.end_lineno or node.lineno))
        if named:
            self._names.append(name)
        elif not self._functions or set(self._names) & set(self._functions):
            lines = self._lines[-1] if self._lines else None
            place = ".".join(self._names) or "module"
            self.places.append((parent, field, index, node, place, lines))
        self.visit(node)
        if named:
            self._names.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            self._lines.pop()


def mutants(target: Target, root: Path = ROOT) -> list[Mutant]:
    """Every mutant of a module, in the order of its lines."""
    tree = ast.parse((root / target.module).read_text(encoding="utf-8"))
    finder = _Finder(target.functions)
    finder.visit(tree)
    made: list[Mutant] = []
    seen: Counter[str] = Counter()
    for parent, field, index, node, function, lines in finder.places:
        for variant in variants(node):
            before = _short(node)
            _put(parent, field, index, variant)
            source = ast.unparse(ast.fix_missing_locations(tree))
            _put(parent, field, index, node)
            key = f"{target.module} {function}: {before} -> {_short(variant)}"
            seen[key] += 1
            if seen[key] > 1:
                key = f"{key} #{seen[key]}"
            made.append(Mutant(target.module, key, getattr(node, "lineno", 0), source, lines))
    return made


def _put(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def _short(node: ast.AST) -> str:
    """The node in one line; of a statement with a body, its first line."""
    text = ast.unparse(ast.fix_missing_locations(copy.deepcopy(node)))
    first = text.splitlines()[0]
    return first if isinstance(node, ast.If | ast.While) else " ".join(text.split())[:160]


# Running ------------------------------------------------------------------------------------------


def equivalent() -> dict[str, str]:
    """The reasons in tests/mutants.txt by key: a line for the key, an indented line for the reason,
    and comments that begin with #."""
    reasons: dict[str, str] = {}
    key = ""
    for line in EQUIVALENT.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            reasons[key] = f"{reasons[key]} {line.strip()}".strip()
        elif line and not line.startswith("#"):
            key = line
            reasons[key] = ""
    if unexplained := [key for key, reason in reasons.items() if not reason]:
        sys.exit(f"{EQUIVALENT.name} gives no reason for: {'; '.join(unexplained)}")
    return reasons


class Recorder:
    """A pytest plugin: how long each test takes, and which lines of a module it runs."""

    def __init__(self, module: str) -> None:
        self.seconds: dict[str, float] = {}
        self._module = module
        self._coverage = coverage.Coverage(data_file=None, config_file=False, include=[module])

    def pytest_sessionstart(self) -> None:
        self._coverage.start()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._coverage.switch_context(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0) + report.duration

    def pytest_sessionfinish(self) -> None:
        self._coverage.stop()

    def recording(self) -> "Recording":
        lines = self._coverage.get_data().contexts_by_lineno(self._module)
        return Recording(self.seconds, {line: set(tests) for line, tests in lines.items()})


class Recording(msgspec.Struct):
    """The tests of a module."""

    #: Seconds by test.
    seconds: dict[str, float]
    #: The tests that run a line, by line.
    lines: dict[int, set[str]]

    def tests(self, mutant: Mutant) -> list[str]:
        """The tests that run the mutant's function, the fastest first, up to AT_MOST seconds; of
        all tests if it has none."""
        chosen = set(self.seconds)
        if mutant.function:
            first, last = mutant.function
            inside = range(first + 1, last + 1)
            chosen &= {test for line in inside for test in self.lines.get(line, ())}
        fastest = sorted(chosen or self.seconds, key=self.seconds.__getitem__)
        ends = accumulate(self.seconds[test] for test in fastest)
        return [test for test, end in zip(fastest, ends, strict=True) if end <= AT_MOST]


def run_tests(tree: str, tests: Sequence[str], module: str, recording: str) -> None:
    """Runs the tests of a copy of the tree in this process and exits with pytest's code. Writes a
    Recording of the module if a path is given."""
    os.chdir(tree)
    sys.path.insert(0, tree)
    for name in [name for name in sys.modules if name.split(".")[0] == "tests"]:
        del sys.modules[name]  # of the tree that this script belongs to
    output = os.open(f"{recording}.log" if recording else os.devnull, os.O_RDWR | os.O_CREAT)
    for descriptor in range(3):
        os.dup2(output, descriptor)
    sys.dont_write_bytecode = False
    # A failure ends the run: looking for a smaller example would take most of the time.
    settings.register_profile(
        "mutants", phases=(Phase.explicit, Phase.generate), database=None, deadline=None
    )
    settings.load_profile("mutants")
    recorder = Recorder(str(Path(tree) / module))
    code = pytest.main([*PYTEST, *tests], plugins=[recorder] if recording else [])
    if recording:
        Path(recording).write_bytes(msgspec.json.encode(recorder.recording()))
    sys.exit(code)


def passes(
    tree: Path,
    tests: Sequence[str],
    seconds: float | None = None,
    module: str = "",
    recording: str = "",
) -> bool:
    """Whether the tests pass in this copy. False as well if they take longer."""
    arguments = (str(tree), tests, module, recording)
    PROCESSES.set_forkserver_preload(IMPORTED)  # of the process that is forked first
    process = PROCESSES.Process(target=run_tests, args=arguments)
    process.start()
    process.join(seconds)
    try:
        return process.exitcode == 0
    finally:
        process.kill()
        process.join()


def record(target: Target, trees: "Queue[Path]") -> Recording:
    """Runs the tests of a module without any mutation."""
    tests = [name for name in target.tests if (ROOT / name).exists()]
    for name in set(target.tests) - set(tests):
        print(f"{target.module}: {name} does not exist", file=sys.stderr)
    tree = trees.get()
    path = tree.parent / f"{target.module.replace('/', '.')}.json"
    try:
        if not passes(tree, ["--timeout=600", *tests], None, target.module, str(path)):
            print(Path(f"{path}.log").read_text(encoding="utf-8"))
            sys.exit(f"The tests of {target.module} fail without any mutation.")
    finally:
        trees.put(tree)
    return msgspec.json.decode(path.read_bytes(), type=Recording)


def survives(mutant: Mutant, number: int, recording: Recording, trees: "Queue[Path]") -> bool:
    """Whether all tests pass with this change."""
    tests = recording.tests(mutant)
    tree = trees.get()
    path = tree / mutant.module
    original, times = path.read_bytes(), path.stat()
    try:
        path.write_text(mutant.source, encoding="utf-8")
        # A time of its own: bytecode is matched by the size and the second of its source.
        os.utime(path, (number, number))
        # A few at first: importing the modules of all tests takes longer than most of the tests.
        groups = [tests[:FIRST], tests[FIRST:]]
        return all(_pass_in_time(tree, group, recording) for group in groups if group)
    finally:
        path.write_bytes(original)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        trees.put(tree)


def _pass_in_time(tree: Path, tests: Sequence[str], recording: Recording) -> bool:
    seconds = [recording.seconds[test] for test in tests]
    longest = max(seconds) * SLOWER + GRACE
    return passes(tree, [f"--timeout={longest:.0f}", *tests], sum(seconds) * SLOWER + 3 * GRACE)


def check(trees: "Queue[Path]", recording: Recording, chosen: Sequence[Mutant]) -> list[Mutant]:
    """Runs the tests for every mutant of a module; the mutants that survived."""
    survivors = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = {
            pool.submit(survives, mutant, number, recording, trees): mutant
            for number, mutant in enumerate(chosen, start=1)
        }
        for future in as_completed(running):
            mutant, survived = running[future], future.result()
            print(
                f"{'SURVIVED' if survived else 'killed':<8} {mutant.line:>4} {mutant.key}",
                flush=True,
            )
            if survived:
                survivors.append(mutant)
    return survivors


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "modules", nargs="*", help="modules of TARGETS; all of them if none is given"
    )
    parser.add_argument("--list", action="store_true", help="list the mutants and run nothing")
    options = parser.parse_args()
    names = [target.module for target in TARGETS]
    if unknown := set(options.modules) - set(names):
        parser.error(
            f"no target: {', '.join(sorted(unknown))}. The targets are {', '.join(names)}."
        )
    targets = [
        target for target in TARGETS if not options.modules or target.module in options.modules
    ]
    reasons = equivalent()
    everything = {target: mutants(target) for target in targets}
    keys = {mutant.key for made in everything.values() for mutant in made}
    checked = {target.module for target in targets}
    stale = [key for key in reasons if key.split()[0] in checked and key not in keys]
    if options.list:
        print("\n".join(f"{m.line:>4} {m.key}" for made in everything.values() for m in made))
        return
    with tempfile.TemporaryDirectory() as folder:
        trees: Queue[Path] = Queue()
        for number in range(AT_ONCE):
            tree = Path(folder) / str(number)
            shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*LEFT_OUT))
            trees.put(tree)
        survivors: dict[Target, list[Mutant]] = {}
        counts: dict[Target, int] = {}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            recorded = {target: pool.submit(record, target, trees) for target in everything}
            recordings = {target: future.result() for target, future in recorded.items()}
        for target, made in everything.items():
            chosen = [mutant for mutant in made if mutant.key not in reasons]
            counts[target] = len(chosen)
            survivors[target] = check(trees, recordings[target], chosen)
    report(survivors, counts, stale)
    total, alive = sum(counts.values()), sum(map(len, survivors.values()))
    sys.exit(bool(stale) or (total - alive) < LEAST_KILLED * total)


def report(
    survivors: dict[Target, list[Mutant]], counts: dict[Target, int], stale: Sequence[str]
) -> None:
    print()
    for target, alive in survivors.items():
        killed, count = counts[target] - len(alive), counts[target]
        print(f"{target.module}: {killed} of {count} killed ({killed / max(1, count):.1%})")
        for mutant in sorted(alive, key=lambda mutant: mutant.line):
            print(f"  survived, line {mutant.line}: {mutant.key}")
    for key in stale:
        print(f"{EQUIVALENT.name} names a mutant that does not exist: {key}")


if __name__ == "__main__":
    main()
