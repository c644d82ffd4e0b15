"""Errors of exporting."""

from model_zoo.contract.errors import LineageError


class ExportError(LineageError):
    """The model cannot be exported as asked, or the file written disagrees with the model."""
