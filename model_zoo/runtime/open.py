"""Open a model package with the runtime that the options name."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any, Final

from model_zoo.contract.package import Package
from model_zoo.runtime.base import Engine, EngineOptions, Runtime
from model_zoo.runtime.select import choose

DEFAULT_OPTIONS: Final = EngineOptions()


def open_engine(package: Package, options: EngineOptions = DEFAULT_OPTIONS) -> Engine:
    """Load a package into an engine, in the configuration that `select.choose` returns.

    File contents are not hashed here: call `package.verify()` first where they must be.

    Raises:
        EngineUnavailable: the runtime or the provider does not work on this machine.
        PackageError: the model file cannot be loaded, or does not belong to the package's card.
    """
    runtime = require_runtime(options.runtime)
    choice = choose(package, options)
    engine: Engine = runtime.load(package, replace(options, provider=choice.provider, compute=choice.compute))
    engine.choice = choice if choice.trials else engine.choice
    return engine


def require_runtime(runtime: Runtime) -> Any:
    """Import the module of a runtime, which has `load(package, options) -> Engine`.

    Raises:
        EngineUnavailable: the runtime's libraries are not installed.
    """
    return importlib.import_module(f"model_zoo.runtime.{runtime}")
