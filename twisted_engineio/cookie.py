"""
The cookie with a session's id, for load balancers that route by it.

It is set in the answer to the handshake and never read: a session is found only by the
``sid`` in the query.

RFC 6265, 4.1; RFC 6265bis for SameSite and the name prefixes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, NoReturn
from urllib.parse import quote

from .exceptions import ConfigError

__all__ = ["Cookie"]

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PATH: Final = re.compile(r"/[ -:<-~]*")
_LABEL: Final = "[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_SAME_SITE: Final = ("strict", "lax", "none")
_UNQUOTED: Final = "!'()*"
"""Characters that JavaScript's encodeURIComponent leaves unquoted and Python does
not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cookie:
    """
    The cookie's attributes; the defaults are the reference server's.

    Raises:
        ConfigError: If a value is invalid. Browsers would discard the cookie silently.

    """

    name: str = "io"
    """Its name."""

    path: str | None = "/"
    """The path below which it is sent; ``None`` for the path of the request that set
    it, up to its last slash."""

    http_only: bool = True
    """Whether it is hidden from the page's scripts."""

    same_site: Literal["strict", "lax", "none"] = "lax"
    """Whether cross-site requests send it; with ``"none"`` all do, which needs
    ``secure``."""

    secure: bool = False
    """Whether it is only sent over TLS."""

    domain: str | None = None
    """The domain whose hosts all receive it; ``None`` for only the host that set it."""

    max_age: int | None = None
    """Lifetime in seconds; ``None`` until the browser is closed."""

    def __post_init__(self) -> None:
        """Validate every value, so that a mistake is reported before serving."""
        _require_match("name", _NAME, self.name, "a name like 'io'")
        if self.path is not None:
            _require_match("path", _PATH, self.path, "a path that begins with '/'")
        if self.domain is not None:
            _require_match(
                "domain", _DOMAIN, self.domain, "a host name, without a dot before it"
            )
        for name in ("http_only", "secure"):
            if not isinstance(getattr(self, name), bool):
                _refuse(name, f"must be a bool, not {getattr(self, name)!r}")
        if self.same_site not in _SAME_SITE:
            _refuse("same_site", f"must be one of {_SAME_SITE}, not {self.same_site!r}")
        if self.max_age is not None and (
            type(self.max_age) is not int or self.max_age <= 0
        ):
            _refuse("max_age", f"must be a whole number above 0, not {self.max_age!r}")
        self._check_security()

    def _check_security(self) -> None:
        """
        Raise ``ConfigError`` for combinations that browsers discard.

        RFC 6265bis, "Storage Model".
        """
        if self.secure:
            if self.name.lower().startswith("__host-") and (
                self.path != "/" or self.domain is not None
            ):
                _refuse("name", "'__Host-' requires the path '/' and no domain")
        elif self.same_site == "none":
            _refuse("same_site", "browsers refuse 'none' without secure=True")
        elif self.name.lower().startswith(("__secure-", "__host-")):
            _refuse("name", f"browsers refuse {self.name!r} without secure=True")

    def header(self, sid: str) -> bytes:
        """
        Return the value of the Set-Cookie header.

        Args:
            sid: The session's id; characters that a cookie must not contain are
                percent-encoded.

        """
        parts = [f"{self.name}={quote(sid, safe=_UNQUOTED)}"]
        if self.max_age is not None:
            parts.append(f"Max-Age={self.max_age}")
        if self.domain is not None:
            parts.append(f"Domain={self.domain}")
        if self.path is not None:
            parts.append(f"Path={self.path}")
        if self.http_only:
            parts.append("HttpOnly")
        if self.secure:
            parts.append("Secure")
        parts.append(f"SameSite={self.same_site.capitalize()}")
        return "; ".join(parts).encode("ascii")


def _require_match(
    name: str, pattern: re.Pattern[str], value: object, what: str
) -> None:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        _refuse(name, f"must be {what}, not {value!r}")


def _refuse(name: str, problem: str) -> NoReturn:
    raise ConfigError(f"cookie.{name}", problem)
