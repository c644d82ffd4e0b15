"""Compare `lineage serve` with other servers of the same network on the same machine.

    make bench-peers
    ARGS='--only lineage,triton --rounds 1' make bench-peers
    python -m benchmarks.peers --scenarios 'open' --rounds 1     # adds to what was measured before
    python -m benchmarks.peers --report-only                        # medians of all rounds so far

All servers run at once. Each is halted while another one is measured, and every round measures them in turns. A server
is timed if its answers agree with those of the exported graph. Rounds are added to build/peers/rounds.csv. Medians go
to benchmarks/results/peers.csv and peers.png. Delete rounds.csv to start again.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import tyro

from benchmarks.peers.answers import STEPS, agreement, reference
from benchmarks.peers.images import SIZES, make_images
from benchmarks.peers.results import append, best_peer_capacity, read, report
from benchmarks.peers.scenarios import LOAD, SCENARIOS, Scenario, make_row, measure
from benchmarks.peers.servers import MODEL, NotRunningError, Server, give_turn, start
from benchmarks.peers.subjects import BUILD, SUBJECTS, Rows, Subject, lineage

ROUNDS: Final = BUILD / "rounds.csv"
IMAGES: Final = Path("../shared/data/coco_mini/images")


def main(
    images: Path = IMAGES,
    only: str = "",
    scenarios: str = "",
    rounds: int = 3,
    seconds: float = 3.0,
    before: Path | None = None,
    report_only: bool = False,
) -> None:
    """Measure, add the rounds to those before, and write the medians.

    Args:
        images: Folder of the images of coco_mini.
        only: Parts of the names of servers to measure, separated by commas.
        scenarios: Parts of the names of scenarios, separated by commas.
        rounds: Number of rounds.
        seconds: Seconds of each closed loop.
        before: Another checkout of this project to measure too, such as the state before a change.
        report_only: Measure nothing, and write the medians.
    """
    if not report_only:
        subjects = (*SUBJECTS, lineage("lineage before", "lineage", before.resolve())) if before else SUBJECTS
        files = make_images(images, BUILD / "images")
        chosen = [subject for subject in subjects if chosen_by(only, subject.name)]
        with ExitStack() as stack:
            running = start_all(chosen, files, stack)
            for number in range(rounds):
                print(f"round {number + 1} of {rounds}", flush=True)
                run_round(running, [each for each in SCENARIOS if chosen_by(scenarios, each.name)], files, seconds)
    report(read(ROUNDS))


def chosen_by(words: str, name: str) -> bool:
    """Return whether a name contains one of the words, or there are none."""
    return any(word.strip().lower() in name.lower() for word in words.split(","))


def start_all(subjects: Sequence[Subject], files: Mapping[str, Sequence[bytes]], stack: ExitStack) -> list[Server]:
    """Start servers one after another, and keep those that answer correctly."""
    expected = {size: [reference(files[size], str(MODEL), step) for step in STEPS] for size in SIZES}
    running: list[Server] = []
    for subject in subjects:
        try:
            server = start(subject, subject.request(files["1280x720"][0]), stack)
            check(server, files, expected)
        except NotRunningError as error:
            print(f"{subject.name} is not measured: {error}", flush=True)
            continue
        running.append(server)
        print(f"{subject.name} {server.version}: right answers, the first after {server.cold_start:.2f} s", flush=True)
        give_turn(None, running)
    return running


def check(
    server: Server, files: Mapping[str, Sequence[bytes]], expected: Mapping[str, Sequence[Sequence[Rows]]]
) -> None:
    """Compare all answers with the references of each size.

    Raises:
        NotRunningError: The answers differ from all references, or do not arrive.
    """
    for size, images in files.items():
        answers = [server.ask(server.subject.request(image)) for image in images]
        if any(status != 200 for status, _ in answers):
            raise NotRunningError(f"answers to {size}: {[status for status, _ in answers]}")
        actual = [server.subject.answer(answer) for _, answer in answers]
        counts = [agreement(each, actual) for each in expected[size]]
        if all(found < clear or others for found, clear, others in counts):
            found, clear, others = max(counts)
            raise NotRunningError(f"{size}: {found} of {clear} detections found, and {others} others")


def run_round(
    running: Sequence[Server], scenarios: Sequence[Scenario], files: Mapping[str, Sequence[bytes]], seconds: float
) -> None:
    """Measure every scenario with all servers in turns."""
    for scenario in scenarios:
        rate = 0.0 if scenario.connections else LOAD * best_peer_capacity(read(ROUNDS), scenario.size)
        for server in running:
            give_turn(server, running)
            requests = [server.subject.request(image) for image in files[scenario.size]]
            row = make_row(server, scenario, measure(server, requests, scenario, seconds, rate), rate)
            append(ROUNDS, row)
            figures = f"{row.per_second:6.2f}/s  p50 {row.p50_ms:6.0f}  p99 {row.p99_ms:6.0f}  CPU {row.cpu_ms:6.1f} ms"
            noise = f"{row.failures} failures, {row.other_cores:.2f} other cores"
            print(f"{scenario.name:14} {row.subject:20} {figures}  {noise}", flush=True)


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
