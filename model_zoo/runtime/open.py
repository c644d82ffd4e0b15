"""Open a model package with the runtime that the options name."""

from __future__ import annotations

import importlib
from typing import Any, Final

from model_zoo.contract.package import Package
from model_zoo.runtime.base import Engine, EngineOptions, Runtime

DEFAULT_OPTIONS: Final = EngineOptions()


def open_engine(package: Package, options: EngineOptions = DEFAULT_OPTIONS) -> Engine:
    """Load a package into an engine.

    File contents are not hashed here: call `package.verify()` first where they must be.

    Raises:
        EngineUnavailable: the runtime or the provider does not work on this machine.
        PackageError: the model file cannot be loaded, or does not belong to the package's card.
    """
    engine: Engine = require_runtime(options.runtime).load(package, options)
    return engine


def require_runtime(runtime: Runtime) -> Any:
    """Import the module of a runtime, which has `load(package, options) -> Engine`.

    Raises:
        EngineUnavailable: the runtime's libraries are not installed.
    """
    return importlib.import_module(f"model_zoo.runtime.{runtime}")
