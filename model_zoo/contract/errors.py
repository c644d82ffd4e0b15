"""Errors that a user can mend.

LineageError            what the user gave is wrong; its text says what was expected, what came, how to mend it
├── ImageError          the bytes are not a picture that can be used
│   ├── UnsupportedImage    content of another kind (GIF, PDF, animation, several pages, ...)
│   └── ImageTooLarge       more bytes, pixels or decoding work than allowed
├── QueryError          thresholds, classes or limits outside what the model allows
├── CardError           a model card that is missing, damaged or of another schema
└── PackageError        a model package or repository that cannot be used
    └── PackageNotFound     no such model, version or alias
"""


class LineageError(ValueError):
    """Base of every error caused by what the user gave; the text is meant for the user."""


class ImageError(LineageError):
    """The bytes are not a picture that can be used."""


class UnsupportedImage(ImageError):
    """The bytes are of a kind that is not accepted."""


class ImageTooLarge(ImageError):
    """The picture costs more bytes, pixels or decoding work than allowed."""


class QueryError(LineageError):
    """A threshold, class filter or limit lies outside what the model allows."""


class CardError(LineageError):
    """The model card is missing, damaged or of another schema."""


class PackageError(LineageError):
    """The model package or repository cannot be used."""


class PackageNotFound(PackageError):
    """No such model, version or alias."""
