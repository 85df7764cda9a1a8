"""The service under load for minutes: do its memory, descriptors, tasks and delays stay constant?

`make soak MINUTES=15` prints a table. It exits with 1 if something grew, the event loop was
blocked, or the log has an error. Everything runs on loopback addresses, in three processes."""

import argparse
import asyncio
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from time import monotonic

import msgspec

from connectors import amazon_sandbox as amazon
from tests.benchmarks.crowd import ORDERS, Crowd
from tests.journeys.process import Process, free_port, sandbox, service

EVERY = 5.0
MAX_GROWTH = 1.2
#: Milliseconds that the event loop may be late in 99 of 100 samples.
MAX_LAG = 50
#: Descriptors or tasks more than at rest, or than before, that are not a leak.
SLACK = 20
#: Seconds for the service to release what the clients used.
DRAIN = 90.0


class Sample(msgspec.Struct, frozen=True):
    """Seconds since the start, MiB, descriptors, tasks; milliseconds of lag since the last one."""

    at: float
    memory: float
    descriptors: int
    tasks: int
    lags: Counter[int]


class Line(msgspec.Struct, frozen=True):
    """A line of the probe."""

    at: float
    tasks: int
    lags: dict[int, int]


class Watch:
    """Samples a process from /proc and from the lines of its probe."""

    def __init__(self, server: Process, probe: Path) -> None:
        self._pid = server.popen.pid
        self._probe = probe
        self._read = 0
        self._begun = monotonic()
        self._last_line = 0.0
        self._tasks = 0
        #: The longest time without a line of the probe, in seconds.
        self.silence = 0.0

    def sample(self) -> Sample:
        lags: Counter[int] = Counter()
        for line in self._lines():
            self._tasks = line.tasks
            self.silence = max(self.silence, line.at - (self._last_line or line.at))
            self._last_line = line.at
            lags.update(line.lags)
        descriptors = len(os.listdir(f"/proc/{self._pid}/fd"))
        at = monotonic() - self._begun
        return Sample(at, self._memory(), descriptors, self._tasks, lags)

    def _lines(self) -> Iterator[Line]:
        text = self._probe.read_text()[self._read :]
        whole = text[: text.rfind("\n") + 1]
        self._read += len(whole)
        if not whole and self._last_line:  # all processes of a machine share one monotonic clock
            self.silence = max(self.silence, monotonic() - self._last_line)
        for line in whole.splitlines():
            yield msgspec.json.decode(line, type=Line)

    def _memory(self) -> float:
        status = Path(f"/proc/{self._pid}/status").read_text()
        kilobytes = status.partition("VmRSS:")[2].split()[0]
        return int(kilobytes) / 1024


def quantile(lags: Counter[int], share: float) -> int:
    left = lags.total() * share
    for ms in sorted(lags):
        left -= lags[ms]
        if left <= 0:
            return ms
    return 0


async def soak(options: argparse.Namespace, folder: Path) -> list[str]:
    """What is wrong, one sentence each."""
    probe = folder / "probe.jsonl"
    probe.touch()
    with (
        sandbox(folder, free_port(), ORDERS, 600) as source,
        service(
            folder,
            free_port(),
            "tests.benchmarks.probed",
            PROBE=str(probe),
            MAX_SYNCS_PER_TENANT="1000",
            **amazon.environ(source.url),
        ) as server,
    ):
        watch = Watch(server, probe)
        await asyncio.sleep(3)
        rest = watch.sample()
        crowd = Crowd(server.url, options.users, options.streams, options.stalled, options.seed)
        samples = await _load(crowd, watch, server, options.minutes * 60)
        after = await _drained(watch, rest, server)
        show(rest, [*samples, after], crowd)
        alive = server.popen.poll() is None
        wrong = [*judge(rest, samples, after, watch.silence), *_errors(crowd, server)]
        return wrong if alive else [f"the service exited with {server.popen.returncode}", *wrong]


async def _load(crowd: Crowd, watch: Watch, server: Process, seconds: float) -> list[Sample]:
    samples: list[Sample] = []
    running = asyncio.create_task(crowd.run())
    until = monotonic() + seconds
    while monotonic() < until and server.popen.poll() is None and not running.done():
        await asyncio.sleep(min(EVERY, max(0.1, until - monotonic())))
        samples.append(watch.sample())
    crowd.stop()
    try:
        async with asyncio.timeout(90):
            await running
    except TimeoutError:
        crowd.faults["clients that the service did not release"] += 1
    return samples


async def _drained(watch: Watch, rest: Sample, server: Process) -> Sample:
    """The sample when the service is at rest again, or the last one within DRAIN seconds."""
    until = monotonic() + DRAIN
    while True:
        await asyncio.sleep(2)
        sample = watch.sample()
        drained = (
            sample.descriptors <= rest.descriptors + SLACK and sample.tasks <= rest.tasks + SLACK
        )
        if drained or monotonic() > until or server.popen.poll() is not None:
            return sample


def judge(rest: Sample, samples: Sequence[Sample], after: Sample, silence: float) -> list[str]:
    """Compare the second third, when all clients had started, with the last one."""
    wrong = []
    third = max(1, len(samples) // 3)
    middle, last = samples[third : 2 * third] or samples, samples[-third:]
    base = median(sample.memory for sample in samples[max(0, third - 3) : third + 3])
    for when, memory in (
        ("at the end", median(sample.memory for sample in last[-6:])),
        ("after the end", after.memory),
    ):
        if memory > base * MAX_GROWTH:
            wrong.append(
                f"memory {when} is {memory:.0f} MiB, {memory / base:.2f} times that after the "
                f"first third ({base:.0f} MiB)"
            )
    for name in ("descriptors", "tasks"):
        before, now = (median(getattr(sample, name) for sample in part) for part in (middle, last))
        if now > before * 1.1 + SLACK:
            wrong.append(f"{name} grew under the same load: {before:.0f}, then {now:.0f}")
        if getattr(after, name) > getattr(rest, name) + SLACK:
            wrong.append(
                f"{name} at rest: {getattr(rest, name)} before, {getattr(after, name)} after"
            )
    lags = sum((sample.lags for sample in samples), Counter[int]())
    if (late := quantile(lags, 0.99)) > MAX_LAG:
        wrong.append(f"the event loop was {late} ms late at the 99th percentile")
    if silence > 3 * EVERY:
        wrong.append(f"the event loop was silent for {silence:.0f} s")
    return wrong


def _errors(crowd: Crowd, server: Process) -> list[str]:
    wrong = [f"clients met {what} ({count} times)" for what, count in crowd.faults.items()]
    errors = [
        line
        for line in server.log.splitlines()
        if '"level": "error"' in line or '"level": "critical"' in line or "Traceback" in line
    ]
    if errors:
        wrong.append(f"{len(errors)} error lines; the first: {errors[0][:2000]}")
    return wrong


def show(rest: Sample, samples: Sequence[Sample], crowd: Crowd) -> None:
    print(f"{'s':>6} {'MiB':>7} {'files':>6} {'tasks':>6} {'lag p50':>8} {'p99':>6} {'max':>6}")
    row = "{:>6.0f} {:>7.1f} {:>6} {:>6} {:>8} {:>6} {:>6}"
    step = max(1, len(samples) // 30)
    for start in (None, *range(0, len(samples), step)):
        part = [rest] if start is None else samples[start : start + step]
        lags = sum((sample.lags for sample in part), Counter[int]())
        last = part[-1]
        times = (quantile(lags, 0.5), quantile(lags, 0.99), max(lags, default=0))
        print(row.format(last.at, last.memory, last.descriptors, last.tasks, *times))
    for what, count in sorted(crowd.seen.items()):
        print(f"  {what:<50} {count:>8,}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("MINUTES", "15")))
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--streams", type=int, default=200, help="including the stalled ones")
    parser.add_argument("--stalled", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wrong = asyncio.run(soak(options, Path(folder)))
    for problem in wrong:
        print(f"wrong: {problem}", file=sys.stderr)
    print(f"{len(wrong)} problems")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
