"""Errors that the user can fix.

`LineageError` is the base of all:

- `ImageError`: the bytes are not a usable image.
  - `UnsupportedImage`: another format (GIF, PDF, animation, several pages, ...).
  - `ImageTooLarge`: more bytes, pixels or decoding work than allowed.
- `QueryError`: thresholds, classes or limits outside the model's bounds.
- `CardError`: a missing or damaged model card, or one of another schema version.
- `PackageError`: an unusable model package or repository.
  - `PackageNotFound`: unknown model, version or alias.
  - `ChangeRefused`: a change of a repository that a rule forbids, or that cannot be written.
"""


class LineageError(ValueError):
    """Base class of all errors caused by user input.

    The message is shown to the user: the expected input, the actual one and the fix.
    """


class ImageError(LineageError):
    """The bytes are not a usable image."""


class UnsupportedImage(ImageError):
    """The image format is not supported."""


class ImageTooLarge(ImageError):
    """The image exceeds the limit on bytes, pixels or decoding work."""


class QueryError(LineageError):
    """A threshold, class filter or limit is outside the model's bounds."""


class CardError(LineageError):
    """The model card is missing or damaged, or has another schema version."""


class PackageError(LineageError):
    """The model package or repository is unusable."""


class PackageNotFound(PackageError):
    """The model, version or alias does not exist."""


class ChangeRefused(PackageError):
    """A rule forbids this change of a repository, or it cannot be written."""
