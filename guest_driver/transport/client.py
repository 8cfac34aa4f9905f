"""The client's end of a vfio-user connection: one request at a time, and the answer waited for.

A dword of a region is asked for and taken from the reply by two flat structures, because a driver does little else.
"""

from __future__ import annotations

import array
import errno
import os
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final, final

from pvinfo.errors import PeerError, SetupError, StateError, WireError
from pvinfo.units import GuestAddress
from pvinfo.vfio_user import (
    DMA_ACCESS,
    HEADER,
    MAX_DATA_SIZE,
    MAX_MESSAGE_FDS,
    MAX_MESSAGE_SIZE,
    REGION_ACCESS,
    VERSION,
    VERSION_MAJOR,
    VERSION_MINOR,
    Capabilities,
    Command,
    DmaAccess,
    Header,
    HeaderFlags,
    MessageType,
    RegionAccess,
    Version,
    capability_text,
    read_capabilities,
)

from .memory import SharedRam

__all__ = ("VfioUserClient",)

_READ: Final = struct.Struct("<HHIIIQII")
_WRITE: Final = struct.Struct("<HHIIIQIII")
_REPLY: Final = struct.Struct("<HHIIIQIII")
_REGION_READ: Final = int(Command.REGION_READ)
_REGION_WRITE: Final = int(Command.REGION_WRITE)
_NO_REPLY: Final = 0x10
_IS_REPLY: Final = int(MessageType.REPLY)


def _error_name(number: int) -> str:
    return f"{errno.errorcode.get(number, number)}, {os.strerror(number)}" if number else "no reason given"


@final
class VfioUserClient:
    """A connection that has been opened. ``ram`` is what the server may read and write by message.

    Raises: SetupError when nobody listens at ``path``, or who does is no vfio-user server that will serve us.
    """

    def __init__(self, path: Path, ram: SharedRam, *, timeout_s: float) -> None:
        self.path = path
        self._ram = ram
        self._timeout_s = timeout_s
        self._inbox = bytearray()
        self._last_id = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        seconds, fraction = divmod(timeout_s, 1.0)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._socket.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", int(seconds), int(fraction * 1e6)))
        try:
            self._connect()
            self.capabilities = self._open()
        except BaseException:
            self._socket.close()
            raise

    # ---- the opening ----

    def _connect(self) -> None:
        try:
            self._socket.connect(os.fspath(self.path))
        except FileNotFoundError:
            raise SetupError(f"no vfio-user server at {self.path}: there is no such socket") from None
        except ConnectionRefusedError:
            raise SetupError(f"no vfio-user server at {self.path}: nobody listens there") from None
        except BlockingIOError:
            raise SetupError(f"the server at {self.path} accepts nobody: too many wait already") from None
        except OSError as error:
            raise SetupError(f"no vfio-user server at {self.path}: {error.strerror or error}") from None

    def _open(self) -> Capabilities:
        proposed = Capabilities(MAX_MESSAGE_FDS, MAX_DATA_SIZE, write_multiple=False)
        body = VERSION.pack(Version(VERSION_MAJOR, VERSION_MINOR)) + capability_text(proposed)
        try:
            number = self._request(Command.VERSION, body, ())
            header, reply = self._reply_to(number, Command.VERSION)
            if header.flags.error:
                if header.errno == errno.EBUSY:
                    raise SetupError(f"the device at {self.path} has another client already")
                raise SetupError(
                    f"the server at {self.path} refuses version {VERSION_MAJOR}.{VERSION_MINOR} of vfio-user: {_error_name(header.errno)}"
                )
            agreed = VERSION.unpack_from(reply)
            capabilities = read_capabilities(reply[VERSION.size :])
        except (PeerError, WireError) as error:
            raise SetupError(f"what listens at {self.path} is no vfio-user server: {error}") from None
        if agreed.major != VERSION_MAJOR or agreed.minor > VERSION_MINOR:
            raise SetupError(
                f"the server at {self.path} answers with version {agreed.major}.{agreed.minor} of vfio-user;"
                f" {VERSION_MAJOR}.{VERSION_MINOR} was proposed"
            )
        return capabilities

    # ---- requests ----

    def call(self, command: Command, body: bytes = b"", fds: Sequence[int] = ()) -> bytes:
        """Make a request; the body of the reply.

        Raises: PeerError with the errno of a refusal, or when the server breaks the protocol, ends or does not answer.
        """
        number = self._request(command, body, fds)
        header, reply = self._reply_to(number, command)
        if header.flags.error:
            raise PeerError(header.errno, f"the server refuses {command.name}: {_error_name(header.errno)}")
        return reply

    def _request(self, command: Command, body: bytes, fds: Sequence[int], *, flags: int = 0) -> int:
        self._last_id = number = (self._last_id + 1) & 0xFFFF
        header = HEADER.pack(Header(number, command, HEADER.size + len(body), HeaderFlags(flags), 0))
        self._send(header + body, fds)
        return number

    def read(self, region: int, offset: int, length: int) -> bytes:
        """``length`` bytes of a region. Raises: PeerError as :meth:`call`."""
        access = REGION_ACCESS.pack(RegionAccess(offset, region, length))
        reply = self.call(Command.REGION_READ, access)
        if reply[: len(access)] != access or len(reply) != len(access) + length:
            raise self._broken(f"the reply to REGION_READ of {length} bytes at {offset:#x} of region {region} answers something else")
        return reply[len(access) :]

    def write(self, region: int, offset: int, data: bytes, *, posted: bool = False) -> None:
        """Store ``data`` in a region; ``posted``: without waiting, and without hearing of a refusal.

        Raises: PeerError as :meth:`call`.
        """
        body = REGION_ACCESS.pack(RegionAccess(offset, region, len(data))) + data
        if posted:
            self._request(Command.REGION_WRITE, body, (), flags=_NO_REPLY)
        else:
            self.call(Command.REGION_WRITE, body)

    def read_dword(self, region: int, offset: int) -> int:
        """The dword at ``offset`` of a region, little-endian. Raises: PeerError as :meth:`call`."""
        self._last_id = number = (self._last_id + 1) & 0xFFFF
        try:
            self._socket.send(_READ.pack(number, _REGION_READ, _READ.size, 0, 0, offset, region, 4))
            data = b"" if self._inbox else self._socket.recv(_REPLY.size)
        except OSError as error:
            raise self._lost(error) from None
        if len(data) == _REPLY.size:
            fields = _REPLY.unpack(data)
            if fields[:4] == (number, _REGION_READ, _REPLY.size, _IS_REPLY) and fields[5:8] == (offset, region, 4):
                value: int = fields[8]
                return value
        self._take(data)
        header, reply = self._reply_to(number, Command.REGION_READ)
        if header.flags.error:
            raise PeerError(header.errno, f"the server refuses REGION_READ: {_error_name(header.errno)}")
        if len(reply) != REGION_ACCESS.size + 4:
            raise self._broken(f"the reply to REGION_READ of 4 bytes at {offset:#x} of region {region} answers something else")
        return int.from_bytes(reply[REGION_ACCESS.size :], "little")

    def post_dword(self, region: int, offset: int, value: int) -> None:
        """Store a dword in a region without waiting. Raises: PeerError as :meth:`call`."""
        self._last_id = number = (self._last_id + 1) & 0xFFFF
        self._send(_WRITE.pack(number, _REGION_WRITE, _WRITE.size, _NO_REPLY, 0, offset, region, 4, value), ())

    # ---- the socket ----

    def fileno(self) -> int:
        """The socket, to wait for the server with; -1 when the connection has ended."""
        return self._socket.fileno()

    def _send(self, message: bytes, fds: Sequence[int]) -> None:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            sent = self._socket.sendmsg([message], ancillary, socket.MSG_NOSIGNAL)
            if sent < len(message):
                self._socket.sendall(message[sent:], socket.MSG_NOSIGNAL)
        except OSError as error:
            raise self._lost(error) from None

    def _take(self, data: bytes) -> None:
        if not data and not self._inbox:
            raise self._ended()
        self._inbox += data

    def _fill(self, length: int) -> None:
        """Have at least ``length`` bytes in the inbox."""
        while len(self._inbox) < length:
            try:
                data = self._socket.recv(min(length - len(self._inbox), 1 << 18))
            except OSError as error:
                raise self._lost(error) from None
            if not data:
                raise self._ended()
            self._inbox += data

    def _next_message(self) -> tuple[Header, bytes]:
        self._fill(HEADER.size)
        header = HEADER.unpack_from(self._inbox)
        if not HEADER.size <= header.size <= MAX_MESSAGE_SIZE:
            raise self._broken(f"a message of {header.size} bytes: {HEADER.size} to {MAX_MESSAGE_SIZE} are allowed")
        self._fill(header.size)
        body = bytes(self._inbox[HEADER.size : header.size])
        del self._inbox[: header.size]
        return header, body

    def _reply_to(self, number: int, command: Command) -> tuple[Header, bytes]:
        while True:
            header, body = self._next_message()
            if header.flags.type is MessageType.COMMAND:
                self._serve(header, body)
            elif header.flags.type is MessageType.REPLY and (header.id, header.command) == (number, command):
                return header, body
            else:
                raise self._broken(f"message {header.id} about command {header.command}, where the reply {number} to {command.name} was due")

    # ---- what the server asks ----

    def serve_pending(self) -> None:
        """Serve what the server has asked for meanwhile. Call it when the socket can be read.

        Raises: PeerError when the server has ended, or sends what it may not.
        """
        header, body = self._next_message()
        if header.flags.type is not MessageType.COMMAND:
            raise self._broken(f"a reply to command {header.command} that nobody waits for")
        self._serve(header, body)

    def _serve(self, header: Header, body: bytes) -> None:
        try:
            answer = self._answer(header, body)
            flags, number = HeaderFlags(MessageType.REPLY), 0
        except PeerError as error:
            answer, number = b"", error.errno
            flags = HeaderFlags.of(MessageType.REPLY, error=True)
        if not header.flags.no_reply:
            self._send(HEADER.pack(Header(header.id, header.command, HEADER.size + len(answer), flags, number)) + answer, ())

    def _answer(self, header: Header, body: bytes) -> bytes:
        if header.command not in (Command.DMA_READ, Command.DMA_WRITE):
            raise PeerError(errno.ENOSYS, f"command {header.command}: no such command goes from server to client")
        try:
            access = DMA_ACCESS.unpack_from(body)
            data = body[DMA_ACCESS.size :]
            if access.length > MAX_DATA_SIZE:
                raise PeerError(errno.E2BIG, f"{access.length} bytes of guest memory: {MAX_DATA_SIZE} at most")
            if header.command == Command.DMA_READ:
                return body[: DMA_ACCESS.size] + self._ram.read(GuestAddress(access.address), access.length)
            if len(data) != access.length:
                raise PeerError(errno.EINVAL, f"DMA_WRITE of {access.length} bytes with {len(data)} bytes of data")
            self._ram.write(GuestAddress(access.address), data)
            return DMA_ACCESS.pack(DmaAccess(access.address, access.length))
        except WireError as error:
            raise PeerError(errno.EINVAL, str(error)) from None
        except IndexError as error:
            raise PeerError(errno.ENODEV, str(error)) from None

    # ---- the end ----

    def _lost(self, error: OSError) -> Exception:
        """What has become of the connection; it is closed."""
        closed = self._socket.fileno() < 0
        self._socket.close()
        if closed:
            return StateError(f"a request to {self.path}", "closed", "connected")
        if isinstance(error, BlockingIOError):
            return PeerError(errno.ETIMEDOUT, f"the server at {self.path} did not answer within {self._timeout_s:g} s")
        return PeerError(error.errno or errno.EIO, f"the connection to {self.path} broke: {error.strerror or error}")

    def _ended(self) -> PeerError:
        where = f"after {len(self._inbox)} bytes of a message" if self._inbox else "while an answer was due"
        self._socket.close()
        return PeerError(errno.ECONNRESET, f"the server at {self.path} ended {where}")

    def _broken(self, rule: str) -> PeerError:
        self._socket.close()
        return PeerError(errno.EPROTO, f"the server at {self.path} breaks the protocol: {rule}")

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
