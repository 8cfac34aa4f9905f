"""Any bytes are a program here, too: what a vfio-user client sends, one message for every sixteen bytes.

Most messages are honest, so that the server is led into its deeper states; the others are cut short, lie about their
length, carry the wrong file descriptors, or are noise. :func:`answers_to` says what any server must answer, from the
framing rules alone.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import NamedTuple

__all__ = ("MESSAGE_BYTES", "Answer", "Descriptors", "Piece", "answers_in", "answers_to", "pieces_of", "tell")

MESSAGE_BYTES = 16
HEADER = struct.Struct("<HHIII")
LARGEST = (1 << 20) + 32
NO_REPLY = 0x10
OPENING = b'\0\0\0\0{"capabilities": {"max_msg_fds": 16, "max_data_xfer_size": 1048576, "write_multiple": true}}\0'

FD_KINDS = ("large", "small", "event", "pipe", "null", "socket")


class Piece(NamedTuple):
    """What goes into one system call."""

    data: bytes
    fds: tuple[str, ...]
    """Kinds of file descriptor that go along."""
    story: str


class Descriptors:
    """File descriptors of every kind, to be sent any number of times. A context manager."""

    def __init__(self) -> None:
        self._of: dict[str, int] = {}
        self._others: list[int] = []
        self._sockets: tuple[socket.socket, ...] = ()

    def __enter__(self) -> Descriptors:
        for kind, size in (("large", 4 << 20), ("small", 4096)):
            self._of[kind] = os.memfd_create(kind, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(self._of[kind], size)
        self._of["event"] = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._of["pipe"], other = os.pipe()
        self._of["null"] = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
        self._others = [other]
        self._sockets = socket.socketpair()
        self._of["socket"] = self._sockets[0].fileno()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for name, fd in self._of.items():
            if name != "socket":
                os.close(fd)
        for fd in self._others:
            os.close(fd)
        for one in self._sockets:
            one.close()

    def send(self, client: socket.socket, piece: Piece) -> int:
        """Put one piece on its way; how many bytes of it went. Raises: OSError, as ``send`` does."""
        fds = [self._of[kind] for kind in piece.fds]
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))] if fds else []
        return client.sendmsg([piece.data], rights, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


def _message(number: int, command: int, flags: int, body: bytes) -> bytes:
    return HEADER.pack(number, command, HEADER.size + len(body), flags, 0) + body


REGIONS = (*[0] * 12, *[7] * 5, *[2] * 4, 1, 8, 9, 0xFFFFFFFF)
LENGTHS = (*[4] * 12, 8, 8, 8, 1, 2, 3, 0, 7, 64, 4096, 0x4001, 0xFFFFFFFF)
OFFSETS = (
    0x0, 0x4, 0x10, 0x18, 0x30, 0x78000, 0x78800, 0x2030, 0x229C, 0x44200, 0x100000, 0x1FFFFC, 0x800000, 0x840000, 0xFFFFF8, 0xFFFFFC,
    0x1000000, 0xFFC, 0xFFE, 0x1000, 0x8000000, 0xFFFFFFF, 0x10000000, (1 << 64) - 4,
)  # fmt: skip
ADDRESSES = (0x0, 0x0, 0x1000, 0x100000, 0x200000, 0x400000, 0x800000, 1 << 32, (1 << 64) - 4096, 0x123)
SPANS = (0x1000, 0x1000, 0x10000, 0x100000, 0x100000, 0x400000, 0x800000, 0x0, 0x123, (1 << 64) - 1)
IRQ_FLAGS = (*[0x24] * 8, *[0x21] * 5, 0x22, 0x22, 0x09, 0x09, 0x11, 0x11, 0x14, 0x14, 0x12, 0x0A, 0x39, 0x3F, 0, 0x100)


def _body(template: int, code: bytes) -> tuple[int, bytes]:
    """Command and body of an honest message, or nearly."""
    a, b, c = code[6], code[7], code[8]
    number = int.from_bytes(code[8:16], "little")
    region, length, offset = REGIONS[a % len(REGIONS)], LENGTHS[b % len(LENGTHS)], OFFSETS[c % len(OFFSETS)]
    if template < 16:
        if number & 0x3F == 0:
            length = 1 << 20  # the most that may be asked for: a read of this takes as long as a whole program
        return 9, struct.pack("<QII", offset, region, length)
    if template < 30:
        data = code[8:16] * (length // 8 + 1) if length <= 0x4001 else code[8:16]
        return 10, struct.pack("<QII", offset, region, length) + data[: min(length, len(data))]
    if template < 34:
        entries = [
            struct.pack("<QIIQ", OFFSETS[(c + n) % len(OFFSETS)], REGIONS[(a + n) % len(REGIONS)], (4, 8, 2, 1, 9)[(b + n) % 5], number + n)
            for n in range(b % 6)
        ]
        return 15, struct.pack("<Q", len(entries) + (c > 240)) + b"".join(entries)
    if template < 40:
        flags = (3, 3, 3, 3, 3, 3, 1, 7, 11, 2, 0, 0x40)[a % 12]
        address, span = ADDRESSES[b % len(ADDRESSES)], SPANS[c % len(SPANS)]
        return 2, struct.pack("<IIQQQ", 32, flags, (0, 0, 0, 1)[code[9] & 3] << 12, address, span)
    if template < 43:
        return 3, struct.pack("<IIQQ", 24, (0, 0, 0, 2, 1)[a % 5], ADDRESSES[b % len(ADDRESSES)], SPANS[c % len(SPANS)])
    if template < 50:
        flags = IRQ_FLAGS[b % len(IRQ_FLAGS)]
        count = (1, 1, 1, 1, 1, 1, 0, 0, 2, 5, 0xFFFFFFFF)[c % 11]
        data = bytes(code[9] & 1 for _ in range(count)) if flags & 2 and count < 9 else b""
        return 8, struct.pack("<IIIII", 20 + len(data), flags, (1, 1, 0, 0, 2, 3, 4, 5)[a % 8], (*[0] * 12, 1, 0xFFFFFFFF)[code[10] % 14], count) + data
    if template < 52:
        return 4, struct.pack("<IIII", 16, 0, 0, 0)
    if template < 54:
        return 5, struct.pack("<IIIIQQ", (32, 64, 8, 0)[b % 4], 0, region, 0, 0, 0)
    if template < 55:
        return 7, struct.pack("<IIII", 16, 0, a % 7, 0)
    if template < 56:
        return 6, struct.pack("<IIII", 16, a % 3 == 2, region, b % 2)
    if template < 58:
        return 13, b""
    if template < 59:
        return 16, struct.pack("<II", 8 + (b & 7), number & 0xFFFFFFFF) + bytes(a % 9)
    if template < 60:
        return (17, 18)[a & 1], struct.pack("<II", 8, number & 0xFFFF)
    if template < 61:
        return 1, OPENING
    if template < 62:
        return (11, 12)[a & 1], struct.pack("<QQ", number, 8)
    return number & 0xFF, code[4:16]


def _piece(code: bytes) -> Piece:
    template, flags = code[0] % 64, 0
    if code[1] >= 0xC0:
        flags = NO_REPLY
    elif code[1] >= 0xB8:
        flags = (1, 0x21, 2, 0x20, 0x11, 0x31, 0xF, 0x80000000)[code[1] & 7]
    command, body = _body(template, code)
    data = _message(code[5] | code[4] << 8, command, flags, body)
    fds: tuple[str, ...] = ()
    if command == 2 and code[2] < 0xC0:
        fds = ("large",)
    elif command == 8 and code[2] < 0xC0 and len(body) >= 8 and body[4] & 4:
        fds = ("event",)
    elif code[2] >= 0xE0:
        fds = tuple(FD_KINDS[(code[2] + n) % len(FD_KINDS)] for n in range((1, 1, 2, 16, 17, 40)[code[3] % 6]))
    story = f"command {command}, {len(data)} bytes" + (f", flags {flags:#x}" if flags else "") + (f", fds {', '.join(fds)}" if fds else "")
    damage, at = code[3], code[4] | code[15] << 8
    if damage == 0xFF:  # rare, because the framing of all that follows is lost
        data, story = data[: at % len(data) or 1], f"{story}, cut short"
    elif damage == 0xFE:
        lie = (0, 15, 16, len(data) + 1, len(data) - 1, LARGEST, LARGEST + 1, 0xFFFFFFFF)[at % 8]
        data, story = data[:4] + struct.pack("<I", max(lie, 0)) + data[8:], f"{story}, saying {lie} bytes"
    elif damage >= 0xF0:
        place = 8 + at % (len(data) - 8) if damage >= 0xF1 else at % len(data)
        data = data[:place] + bytes((data[place] ^ 1 << (code[14] & 7),)) + data[place + 1 :]
        story = f"{story}, bit {code[14] & 7} of byte {place} turned"
    elif damage == 0xEF:
        data, story = data + code[8:16], f"{story}, with 8 bytes behind it"
    elif damage >= 0xE4:
        data, story = data * 2, f"{story}, twice in one piece"
    return Piece(data, fds, story)


def pieces_of(script: bytes) -> Iterator[Piece]:
    """The program's pieces, after an honest opening (unless the program begins with a byte of 0xf0 or more)."""
    if script[:1] < b"\xf0":
        yield Piece(_message(0, 1, 0, OPENING), (), "the opening")
    for at in range(0, len(script), MESSAGE_BYTES):
        yield _piece(script[at : at + MESSAGE_BYTES].ljust(MESSAGE_BYTES, b"\0"))


def tell(script: bytes) -> str:
    """The program in words."""
    return "\n".join(piece.story for piece in pieces_of(script))


class Answer(NamedTuple):
    """What a server sends for one message."""

    number: int
    command: int


def answers_to(stream: bytes, *, opened: bool) -> tuple[list[Answer], bool]:
    """The answers that any server must give to ``stream``, and whether it then hangs up.

    ``opened``: the server has taken the opening, whose text is not looked into here. Every message is answered once, by a reply or by an error, unless it forbids that; a message whose end cannot be known
    is the last, and so is an opening that fails.
    """
    answers: list[Answer] = []
    at = 0
    while len(stream) - at >= HEADER.size:
        number, command, size, flags, _ = HEADER.unpack_from(stream, at)
        if not HEADER.size <= size <= LARGEST:
            return answers + ([] if flags & NO_REPLY else [Answer(number, command)]), True
        if len(stream) - at < size:
            break
        if not flags & NO_REPLY:
            answers.append(Answer(number, command))
        if not opened:
            return answers, True
        at += size
    return answers, False


def answers_in(sent: bytes) -> list[Answer]:
    """The answers in what a server has sent. Raises: AssertionError when it is no sequence of well-formed replies."""
    answers = []
    at = 0
    while at < len(sent):
        number, command, size, flags, error = HEADER.unpack_from(sent, at)
        assert flags in (0x1, 0x21), f"a reply with flags {flags:#x}"
        if flags == 0x1:
            assert size >= HEADER.size and error == 0
        else:
            assert size == HEADER.size and error in errno.errorcode, f"an error reply of {size} bytes with errno {error}"
        assert at + size <= len(sent), "half a reply"
        answers.append(Answer(number, command))
        at += size
    return answers
