"""The context of a request: all that the inference layer knows besides images and query, whatever the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Priority = Literal["normal", "low"]


@dataclass(frozen=True)
class RequestContext:
    """Deadline, origin and metadata of a request."""

    deadline: float
    """Time on the event loop's clock after which the answer is useless."""
    client: str = ""
    """API key name or address of the client. Waiting clients take turns."""
    priority: Priority = "normal"
    """low waits until no normal request waits."""
    request_id: str = ""
    """Id of the request. It draws the version where a rollout splits the traffic."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Header values by lower-case name."""
