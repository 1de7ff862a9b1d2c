"""
The protocol revision of a client: its codec and its heartbeat.

Engine.IO protocol v4, "Query parameters": ``EIO``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from ..protocol import codec_v3, codec_v4
from ..protocol.codec import Codec
from .heartbeat import ClientPings, Heartbeat, ServerPings

if TYPE_CHECKING:
    from ..config import Config

__all__ = ["REVISION_3", "REVISION_4", "Revision", "revision_of"]


class Revision(NamedTuple):
    """
    Everything that differs between the revisions.

    Attributes:
        codec: Parses and encodes packets.
        heartbeat: The class of a session's heartbeat.

    """

    codec: Codec
    heartbeat: type[Heartbeat]


REVISION_3: Final = Revision(codec_v3, ClientPings)
REVISION_4: Final = Revision(codec_v4, ServerPings)


def revision_of(query: Mapping[str, str], config: Config) -> Revision | None:
    """
    Return the revision that a request declares.

    Args:
        query: The request's query.
        config: Whether revision 3 is enabled.

    Returns:
        The revision, or ``None`` if it is not supported. If revision 3 is enabled, a
        request without ``EIO`` selects it: old clients sent none.

    """
    eio = query.get("EIO")
    if eio == "4":
        return REVISION_4
    if config.allow_eio3 and eio in (None, "3"):
        return REVISION_3
    return None
