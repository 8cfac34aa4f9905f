"""A command of a ring or batch buffer: how it is told from others, how long it is, what its dwords mean.

A declaration says which bits of the first dword, the *header*, make the command what it is, which engines take it,
and how its length is found. Where the dwords have a meaning worth naming, each shape of the command is a *form*, a
record that begins with the header::

    class MiStoreDwordImm(NamedTuple):
        header: Annotated[StoreDataImmHeader, u32("…")] = StoreDataImmHeader(mi_header(0x20, 4))
        address: Annotated[int, u64("…")] = 0
        value: Annotated[int, u32("…")] = 0

    MI_STORE_DATA_IMM = Command("MI_STORE_DATA_IMM", …, forms=(Form(MiStoreDwordImm), Form(MiStoreQwordImm)))

    MI_STORE_DATA_IMM.build(MiStoreDwordImm(address=0x1000, value=7))          # 16 bytes
    MI_STORE_DATA_IMM.decode(data).record                                      # a MiStoreDwordImm
    MI_STORE_DATA_IMM.length_of(0x10400002)                                    # 4

A form may go on in a *tail*: elements of one kind up to the end of the command. Commands of one dword have no form:
the header is all there is. Commands of the 3D, media and video pipelines that nothing here reads are declared by
length alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, IntEnum
from typing import Any, Final, Generic, NamedTuple, TypeVar, final

from ..bits import Bits
from ..errors import LayoutError, UsageError
from ..platform import Engine
from ..wire import Codec

__all__ = (
    "ALL_ENGINES",
    "ONE_DWORD",
    "Audit",
    "Client",
    "Command",
    "Decoded",
    "Form",
    "Length",
    "counted",
    "fixed",
)

H = TypeVar("H", bound=Bits)

ALL_ENGINES: Final = frozenset(Engine)


class Client(IntEnum):
    """Bits 31:29 of a header: which unit behind the streamer a command is for."""

    MEMORY_INTERFACE = 0
    """the streamer itself; the opcode is in bits 28:23"""
    BLITTER = 2
    """2D; the opcode is in bits 28:22"""
    PIPELINE = 3
    """3D, media, video and video enhancement; pipeline, opcode and sub-opcode are in bits 28:16"""


class Length(NamedTuple):
    """How long a command is: a constant number of dwords, or one that its header counts."""

    bits: int
    """Width of the count, which begins at bit 0 of the header; 0: there is none."""
    added: int
    """What is added to the count; the length itself where there is none."""

    @property
    def mask(self) -> int:
        """The bits of the header that count."""
        return (1 << self.bits) - 1

    def of(self, header: int) -> int:
        """Dwords of the command that begins with ``header``."""
        return (header & self.mask) + self.added

    def field(self, dwords: int) -> int:
        """The count that says ``dwords``. Raises: UsageError when no header can say so."""
        count = dwords - self.added
        if not 0 <= count <= self.mask:
            raise UsageError(f"a command of {dwords} dwords: this one has {self}")
        return count

    def __str__(self) -> str:
        if not self.bits:
            return f"{self.added} dword{'s' if self.added > 1 else ''}"
        return f"bits {self.bits - 1}:0 + {self.added} dwords"


def fixed(dwords: int) -> Length:
    """A command of always ``dwords`` dwords, whatever its header says."""
    return Length(0, dwords)


def counted(bits: int = 8) -> Length:
    """A command whose lowest ``bits`` bits say how many dwords follow the second one."""
    return Length(bits, 2)


ONE_DWORD: Final = fixed(1)


class Audit(Enum):
    """What the kernel's mediator does with a command in a ring or a privileged batch.

    Source: linux:drivers/gpu/drm/i915/gvt/cmd_parser.c
    """

    ABSENT = "absent"
    """not in its table: refused (EBADRQC), and the vGPU fails safe"""
    PASSED = "passed"
    """kept as it stands"""
    REFUSED = "refused"
    """always refused (EBADRQC), and the vGPU fails safe"""
    USER_INTERRUPT = "user interrupt"
    """noted, delivered when the work is done, and made a no-operation"""
    WAIT_FOR_EVENT = "wait for event"
    """made a no-operation where it waits for a flip, else kept"""
    DISPLAY_FLIP = "display flip"
    """done by the mediator on the vGPU's display, and made no-operations"""
    BATCH_START = "batch start"
    """a batch of the global table is copied and audited in its turn; one of a per-process table is kept unread"""
    BATCH_END = "batch end"
    """ends the audit of the batch"""
    STORE_DATA_IMM = "store data imm"
    """the range is audited where it is in the global table; 4 dwords, or 5 with store_qword"""
    ATOMIC = "atomic"
    """the range is audited where it is in the global table; 3 dwords, or 11 with inline_data"""
    LOAD_REGISTER_IMM = "load register imm"
    """each register goes by the rules for loads, and the value perhaps through its handler"""
    REGISTER_MEMORY = "register memory"
    """each register goes by the few that memory may see, and the address is audited where it is in the global table"""
    LOAD_REGISTER_REG = "load register reg"
    """both registers go by a rule that lets one pass on gen8 and none later"""
    FLUSH_DW = "flush dw"
    """the address is audited where it is in the global table, an index becomes an address, and a notification is noted; with 5 dwords nothing is looked at"""
    PIPE_CONTROL = "pipe control"
    """as FLUSH_DW for an immediate; a register write goes by its rule; addresses of counters are not looked at"""


@final
class Form:
    """One shape of a command.

    ``tail`` is the record of the elements that may follow. Raises: LayoutError when the record does not begin with a
    header that has a default, or does not fill whole dwords.
    """

    def __init__(self, record: type[tuple[Any, ...]], *, tail: type[tuple[Any, ...]] | None = None, source: str = "") -> None:
        defaults: dict[str, Any] = getattr(record, "_field_defaults", {})
        if "header" not in defaults or next(iter(getattr(record, "_fields", ()))) != "header":
            raise LayoutError(f"{record.__name__} is a form of a command: its first field is the header, with a default")
        self.record = record
        self.header: Bits = defaults["header"]
        """The header of a record that says nothing else."""
        self.codec: Codec[Any] = Codec(record, doc="", source=source)
        self.tail: Codec[Any] | None = Codec(tail, doc="", source=source) if tail is not None else None
        for codec in (self.codec, self.tail):
            if codec is not None and codec.size % 4:
                raise LayoutError(f"{codec.name} is {codec.size} bytes long, but commands are made of dwords")

    @property
    def dwords(self) -> int:
        """Length without a tail."""
        return self.codec.size // 4

    def fits(self, dwords: int) -> bool:
        """Whether a command of this form can be ``dwords`` long."""
        if self.tail is None:
            return dwords == self.dwords
        return dwords >= self.dwords and not (4 * dwords - self.codec.size) % self.tail.size


class Decoded(NamedTuple):
    """A command read from a buffer."""

    command: Command[Any]
    length: int
    """In dwords."""
    header: Bits
    record: tuple[Any, ...] | None
    """The form's record; None where the command has no form, or none of this length."""
    tail: tuple[Any, ...]
    """The records of the tail."""

    def __str__(self) -> str:
        if self.record is None:
            shown = [self.header.describe()] if self.length == 1 else [f"header={int(self.header):#x}", f"{self.length} dwords"]
        else:
            fields = zip(getattr(self.record, "_fields", ()), self.record, strict=True)
            shown = [f"{name}={value.describe() if isinstance(value, Bits) else hex(value)}" for name, value in fields]
            shown += [f"({', '.join(hex(value) for value in element)})" for element in self.tail]
        return f"{self.command.name}({', '.join(shown)})"


@final
class Command(Generic[H]):
    """A declared command.

    ``match`` under ``mask`` is what its header always holds. ``since`` and ``until`` are the first and last graphics
    version that has it, of those modelled. ``audited_lengths`` are the only lengths that the kernel's mediator lets
    pass (empty: any), ``audited_length`` how the mediator finds the length where hardware does it otherwise.

    Raises: LayoutError when a form contradicts the rest of the declaration.
    """

    def __init__(
        self, name: str, match: int, mask: int, header_type: type[H], doc: str,
        *, engines: frozenset[Engine], length: Length = ONE_DWORD, forms: tuple[Form, ...] = (), audit: Audit = Audit.PASSED,
        audited_lengths: tuple[int, ...] = (), audited_length: Length | None = None, since: int = 8, until: int | None = None, source: str,
    ) -> None:  # fmt: skip
        self.name = name
        self.match = match
        self.mask = mask
        self.header_type = header_type
        self.doc = doc
        self.engines = engines
        self.length = length
        self.forms = forms
        self.audit = audit
        self.audited_lengths = audited_lengths
        self.audited_length = audited_length or length
        self.since = since
        self.until = until
        self.source = source
        if match & ~mask or length.mask & mask:
            raise LayoutError(f"{name}: {match:#x} under {mask:#x}, with its length in bits {length.mask:#x}, is no header")
        for form in forms:
            if int(form.header) & mask != match:
                raise LayoutError(f"{form.codec.name} begins with {int(form.header):#x}, which is no header of {name}")
            if form.tail is None and length.of(form.header) != form.dwords:
                raise LayoutError(f"{form.codec.name} is {form.dwords} dwords long, but its header says {length.of(form.header)}")
            if not isinstance(form.header, header_type):
                raise LayoutError(f"{form.codec.name} begins with a {type(form.header).__name__}, but {name} has a {header_type.__name__}")

    def __repr__(self) -> str:
        return f"<{self.name} {self.match:#010x}>"

    @property
    def client(self) -> Client:
        """The unit that the command is for."""
        return Client(self.match >> 29)

    @property
    def listed(self) -> bool:
        """Whether the kernel's mediator has the command in its table."""
        return self.audit is not Audit.ABSENT

    def exists(self, graphics_version: int) -> bool:
        """Whether hardware of ``graphics_version`` has the command."""
        return self.since <= graphics_version and (self.until is None or graphics_version <= self.until)

    def matches(self, header: int) -> bool:
        """Whether a command that begins with ``header`` is this one."""
        return header & self.mask == self.match

    def length_of(self, header: int) -> int:
        """Dwords of the command that begins with ``header``."""
        return self.length.of(header)

    def header(self, dwords: int | None = None, /, **fields: int) -> H:
        """A header with opcode and length in it and the named fields set.

        ``dwords`` is the length, by default that of the shortest form. Raises: UsageError when no header can say that
        length; ValueError for a field that the header does not have, or a value that does not fit it.
        """
        if dwords is None:
            dwords = min((form.dwords for form in self.forms), default=self.length.added)
        return self.header_type.of(self.match | self.length.field(dwords), **fields)

    def build(self, record: tuple[Any, ...], tail: bytes | Iterable[tuple[Any, ...]] = b"") -> bytes:
        """The bytes of the command that ``record`` and ``tail`` make, its header completed with opcode and length.

        A tail is given as records, or as bytes where it is data. Raises: UsageError when the record is no form of this
        command, or the length is not one that its form or its header can have; WireError for a value that does not fit.
        """
        form = next((form for form in self.forms if form.record is type(record)), None)
        if form is None:
            forms = ", ".join(form.codec.name for form in self.forms) or "none"
            raise UsageError(f"{self.name} from a {type(record).__name__}: its forms are {forms}")
        data = form.codec.pack(record)
        if form.tail is not None:
            pack = form.tail.pack
            data += tail if isinstance(tail, bytes) else b"".join([pack(element) for element in tail])
        elif tail:
            raise UsageError(f"{form.codec.name} with a tail: it has none")
        dwords, odd = divmod(len(data), 4)
        if odd or not form.fits(dwords):
            raise UsageError(f"{form.codec.name} of {len(data)} bytes: it is {form.codec.size} bytes and whole elements of its tail")
        header = int.from_bytes(data[:4], "little") & ~(self.mask | self.length.mask) | self.match | self.length.field(dwords)
        return header.to_bytes(4, "little") + data[4:]

    def form_of(self, dwords: int) -> Form | None:
        """The form that a command of ``dwords`` dwords has; None for a length that no form has."""
        return next((form for form in self.forms if form.fits(dwords)), None)

    def decode(self, data: bytes | bytearray | memoryview) -> Decoded:
        """Read the command that ``data`` begins with; what follows it is not looked at.

        Raises: UsageError when the data end before the command does, or are of another command.
        """
        header = int.from_bytes(bytes(data[:4]), "little")
        if len(data) < 4 or not self.matches(header):
            raise UsageError(f"{header:#x} begins no {self.name}, which has {self.match:#x} under {self.mask:#x}")
        dwords = self.length_of(header)
        if len(data) < 4 * dwords:
            raise UsageError(f"{self.name} of {dwords} dwords: only {len(data)} bytes are given")
        form = self.form_of(dwords)
        if form is None:
            return Decoded(self, dwords, self.header_type(header), None, ())
        body = bytes(data[: 4 * dwords])
        tail = form.tail
        elements = tuple(tail.unpack_from(body, at) for at in range(form.codec.size, len(body), tail.size)) if tail is not None else ()
        return Decoded(self, dwords, self.header_type(header), form.codec.unpack_from(body), elements)
