"""As much of HTTP/1.1 as a page to look at needs: one request without a body, one response, and the connection ends.

Bytes in, bytes out: sockets are in :mod:`.server`. Source: RFC 9110, RFC 9112.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from itertools import count
from typing import Final, NamedTuple, Protocol

__all__ = ("LONGEST_HEAD", "Pieces", "Request", "Response", "read_request", "refusal")

LONGEST_HEAD: Final = 8192
"""Bytes of a request, all its header lines included."""
_METHODS: Final = ("GET", "HEAD")
_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/(\d)\.(\d)")
_HEADER_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")

_SAFETY: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""What every response tells a browser: nothing comes from elsewhere, and no other page may look in."""


class Request(NamedTuple):
    """A request for something at ``path``, its query cut off; ``host`` is whom the client believes to speak with."""

    path: str
    host: str
    head_only: bool = False
    chunked: bool = True
    """The client understands an answer whose length is not known when it begins."""


class Pieces(Protocol):
    """Content that is made while it is sent, and once however many want it."""

    def piece(self, number: int) -> bytes | None:
        """Piece ``number``, from 0, which is made if it is not there yet; None after the last."""


class Response(NamedTuple):
    """What is answered."""

    content: bytes | Pieces
    content_type: str
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = {}

    def wire(self, *, head_only: bool = False, chunked: bool = True) -> Iterator[bytes]:
        """The bytes on the wire, piece by piece."""
        fields = {"Content-Type": self.content_type, "Connection": "close", **_SAFETY, **self.headers}
        if isinstance(self.content, bytes):
            fields["Content-Length"] = str(len(self.content))
        elif chunked:
            fields["Transfer-Encoding"] = "chunked"
        lines = [f"HTTP/1.1 {self.status.value} {self.status.phrase}", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        yield "\r\n".join(lines).encode("latin-1")
        if head_only:
            return
        if isinstance(self.content, bytes):
            yield self.content
            return
        for number in count():
            piece = self.content.piece(number)
            if piece is None:
                break
            yield b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece
        if chunked:
            yield b"0\r\n\r\n"


def refusal(status: HTTPStatus, why: str, headers: Mapping[str, str] | None = None) -> Response:
    """A response that says no, and why."""
    return Response(f"{status.value} {status.phrase}: {why}\n".encode(), "text/plain; charset=utf-8", status, headers or {})


def read_request(data: bytes) -> Request | Response | None:
    """The request that ``data`` begins with, a refusal of what is none, or None while more has to come."""
    data = data.lstrip(b"\r\n")
    head, end, _ = data.partition(b"\r\n\r\n")
    if not end:
        if len(data) <= LONGEST_HEAD:
            return None
        return _too_long(data)
    if len(head) > LONGEST_HEAD:
        return _too_long(head)
    request_line, *header_lines = head.split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(request_line)
    if match is None:
        return refusal(HTTPStatus.BAD_REQUEST, "this is no request of HTTP/1.1")
    method, target, major, minor = (part.decode("latin-1") for part in match.groups())
    if major != "1":
        return refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, f"HTTP/{major}.{minor} is not spoken here, HTTP/1.1 is")
    if method not in _METHODS:
        return refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} changes or means nothing here: this is to look at", {"Allow": ", ".join(_METHODS)})
    if not target.startswith("/"):
        return refusal(HTTPStatus.BAD_REQUEST, "a path begins with /")
    hosts: list[str] = []
    for line in header_lines:
        field = _HEADER_LINE.fullmatch(line)
        if field is None:
            return refusal(HTTPStatus.BAD_REQUEST, "a header line is not NAME: VALUE")
        name, value = field[1].lower(), field[2].decode("latin-1")
        if name == b"host":
            hosts.append(value)
        elif name == b"transfer-encoding" or (name == b"content-length" and value != "0"):
            return refusal(HTTPStatus.BAD_REQUEST, "a request for something to look at has no body")
    if len(hosts) > 1 or (not hosts and minor != "0"):
        return refusal(HTTPStatus.BAD_REQUEST, f"a request names one host, this one {len(hosts)}")
    return Request(target.partition("?")[0], hosts[0] if hosts else "", method == "HEAD", minor != "0")


def _too_long(data: bytes) -> Response:
    if b"\r\n" not in data[:LONGEST_HEAD]:
        return refusal(HTTPStatus.REQUEST_URI_TOO_LONG, f"a request has {LONGEST_HEAD} bytes at most")
    return refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"a request has {LONGEST_HEAD} bytes at most, with its header lines")
