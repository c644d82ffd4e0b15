"""The model for requests that name none.

The setting `default_model` decides. Without it, the first model that was alone in the repository is the default, and
stays it when others are added, also after a restart. If it is removed and one model is left, that one takes over. If
several are left, requests must name one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from model_zoo.contract.errors import PackageError, PackageNotFound, QueryError
from model_zoo.contract.repository import Repository
from service.inference.catalog import Catalog

LOG = logging.getLogger(__name__)


class DefaultModel:
    """Chooses the default model. `recorded` is the name that a restart must remember."""

    def __init__(self, configured: str | None) -> None:
        self.configured = configured
        self.recorded: str | None = None
        self.problem: str | None = None
        self.was_found = configured is None
        self._names: list[str] = []

    @property
    def name(self) -> str | None:
        """The reference in effect, or None if requests must name a model."""
        return self.configured or (self.recorded if self.recorded in self._names else None)

    def update(self, catalog: Catalog, problem: str | None) -> None:
        """Choose the default for a new catalog. `problem` is what `check` has found."""
        before, self._names = self.name, catalog.all_names
        if self.recorded not in self._names and len(catalog.names) == 1 and not catalog.unknown:
            self.recorded = catalog.names[0]
        if before and self.name != before:
            replacement = f"{self.name} is the default now" if self.name else "requests must name a model"
            LOG.warning("the default model %s was removed: %s", before, replacement)
        if problem and problem != self.problem:
            LOG.error("requests without a model are refused: %s", problem)
        self.problem, self.was_found = problem, self.was_found or problem is None

    def check(self, catalog: Catalog, repository: Repository) -> str | None:
        """Return why the configured model cannot be found. Call it in a thread."""
        if not self.configured or self.configured in {*catalog.packages, *catalog.targets}:
            return None
        try:
            repository.resolve(self.configured)
        except PackageError as error:
            return f"default model: {error}; correct --default-model, or publish the model"
        return None

    def reference(self, empty_message: Callable[[], str]) -> str:
        """Return the reference for a request without one.

        Raises:
            PackageNotFound: there is no model.
            QueryError: there are several models and no default.
        """
        if self.name:
            return self.name
        if not self._names:
            raise PackageNotFound(empty_message())
        reason = f"the default model {self.recorded!r} was removed" if self.recorded else "there is no default model"
        raise QueryError(f"model: expected one of {', '.join(self._names)}; got none, and {reason}")
