"""Export errors."""

from model_zoo.contract.errors import LineageError


class ExportError(LineageError):
    """The model cannot be exported as requested, or the graph disagrees with the model."""
