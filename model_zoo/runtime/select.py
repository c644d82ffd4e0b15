"""Choose the fastest configuration of a package on this machine by measuring it, once.

The configurations are ONNX Runtime in float32, and OpenVINO, if it is installed, in float32 and, on CPUs that compute
it, bfloat16. One whose detections on the golden images differ beyond the tolerance of its precision is never chosen.
The result is kept in the cache folder as `choices/<digest>.json`, for the package, its canvases, the machine and the
runtimes.

LINEAGE_MEASURE=0 switches measuring off.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from model_zoo.contract import typed_json
from model_zoo.contract.cache_folder import cache_folder
from model_zoo.contract.card import ModelCard
from model_zoo.contract.errors import LineageError
from model_zoo.contract.files import read_text, write_atomic
from model_zoo.contract.package import Package
from model_zoo.runtime import sessions
from model_zoo.runtime.base import EngineOptions
from model_zoo.runtime.choice import DEFAULT, Choice, Configuration, Trial, check_compute
from model_zoo.runtime.golden import has_golden
from model_zoo.runtime.machine import computes_bf16, describe_machine
from model_zoo.runtime.trials import measure

SCHEMA_VERSION: Final = 1
ROUNDS, SECONDS = 5, 2.0  # limits of the measurement, once per machine and package
MIN_GAIN: Final = 1.1  # times the throughput of the default, below which it stays
LOG = logging.getLogger(__name__)
_lock = threading.Lock()  # one measurement at a time
_choices: dict[str, Choice] = {}  # of this process, so that a cache that cannot be written changes nothing


def choose(package: Package, options: EngineOptions) -> Choice:
    """Return the configuration for a package: what the options give, otherwise the fastest, measured or remembered.

    Packages without golden images run on the default provider, because nothing shows that others agree.

    Raises:
        LineageError: the options contradict each other.
    """
    candidates = configurations(package.card, options)
    if len(candidates) == 1 or not has_golden(package) or not _measures():
        return Choice(*candidates[0])
    key = _key(package, options, candidates)
    with _lock:
        if key not in _choices:
            _choices[key] = _remembered(package, key) or _measure(package, options, candidates, key)
        return _choices[key]


def configurations(card: ModelCard, options: EngineOptions, *, thorough: bool = False) -> list[Configuration]:
    """List what the options and this machine allow, the default first.

    A GPU is used wherever it works, without measuring. Provider `auto` then remains, which falls back to the CPU.
    OpenVINO in float32 is left out where it computes bfloat16, which is faster, unless the list is to be `thorough`.

    Raises:
        LineageError: bfloat16 is requested from another provider than OpenVINO.
    """
    check_compute(options.provider, options.compute)
    if options.runtime != "onnxruntime" or options.provider != "auto":
        return [Configuration(options.provider, "bf16" if options.compute == "bf16" else "fp32")]
    if options.compute == "bf16":
        return [Configuration("openvino", "bf16")]
    if sessions.is_available("cuda"):
        return [Configuration("auto", "fp32")]
    if not has_openvino():
        return [DEFAULT]
    bf16 = options.compute == "auto" and card.precision == "fp32" and computes_bf16()
    fp32 = [Configuration("openvino", "fp32")] if thorough or not bf16 else []
    return [DEFAULT, *fp32, *([Configuration("openvino", "bf16")] if bf16 else [])]


def remember(package: Package, options: EngineOptions, choice: Choice) -> None:
    """Use a choice that was measured elsewhere from now on, such as more thoroughly."""
    key = _key(package, options, configurations(package.card, options))
    with _lock:
        _choices[key] = choice
        _write(key, choice)


def may_use_openvino(options: EngineOptions) -> bool:
    """Return True if the provider is OpenVINO, or may be chosen to be."""
    return options.provider == "openvino" or (options.provider == "auto" and has_openvino() and _measures())


def has_openvino() -> bool:
    """Return True if OpenVINO is installed."""
    return importlib.util.find_spec("openvino") is not None


def pick(trials: Sequence[Trial]) -> Choice:
    """Return the fastest configuration that agrees. The default, which is first, stays unless another gains 10 %."""
    default, *others = trials
    best = max((trial for trial in others if not trial.problem), key=lambda t: t.images_per_second, default=default)
    gains = bool(default.problem) or best.images_per_second >= MIN_GAIN * default.images_per_second
    return Choice(*(best if gains else default).configuration, tuple(trials))


def _measures() -> bool:
    return os.environ.get("LINEAGE_MEASURE") != "0"


def _remembered(package: Package, key: str) -> Choice | None:
    if choice := _read(key):
        LOG.info("%s: remembered %s", package.reference, choice.describe())
    return choice


def _measure(package: Package, options: EngineOptions, candidates: Sequence[Configuration], key: str) -> Choice:
    LOG.info("%s: measuring %s, once on this machine", package.reference, ", ".join(map(str, candidates)))
    started = time.monotonic()
    try:
        choice = pick(measure(package, options, candidates, rounds=ROUNDS, seconds=SECONDS))
    except Exception as error:  # such as too little memory for processes
        LOG.warning("%s: nothing was measured (%s); using %s", package.reference, error, DEFAULT)
        return Choice(*DEFAULT)
    _write(key, choice)
    LOG.info("%s: chose %s, in %.1f s", package.reference, choice.describe(), time.monotonic() - started)
    return choice


def _key(package: Package, options: EngineOptions, candidates: Sequence[Configuration]) -> str:
    """Return a digest of everything that a choice depends on."""
    depends = {
        "schema_version": SCHEMA_VERSION,
        "package": package.digest,
        "machine": describe_machine(),
        "canvases": [options.image_size, options.shapes],
        "candidates": candidates,
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()


def _path(key: str) -> Path:
    return cache_folder() / "choices" / f"{key}.json"


def _read(key: str) -> Choice | None:
    """Return the remembered choice. A damaged file counts as none."""
    try:
        choice = Choice(**typed_json.read_fields(Choice, typed_json.parse(read_text(_path(key)))))
        if not choice.measured:
            raise LineageError("expected measurements of the chosen configuration")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, LineageError) as error:
        LOG.info("ignored %s, which remembers a choice: %s", _path(key), error)
        return None
    return choice


def _write(key: str, choice: Choice) -> None:
    try:
        write_atomic(_path(key), (json.dumps(asdict(choice), indent=2) + "\n").encode())
    except OSError as error:
        LOG.info("the choice is not remembered after this process: %s", error)
