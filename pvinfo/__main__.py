"""The ``pvinfo`` command: protocol documentation, page dumps, traces."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from . import __version__
from .command_line import end_with_status
from .errors import UsageError, WireError
from .explain import Explanation, explain_page, format_explanation, read_dump
from .opregion import OPREGION_SIGNATURE
from .opregion.explain import explain_opregion
from .submission_trace import compare_submissions, format_submissions
from .trace import NumberedRow, Op, TraceRow, read_numbered_trace
from .trace_diff import compare_traces, format_comparison
from .trace_show import is_paravirtual, rows_between, show_rows
from .trace_stats import format_stats, trace_stats

__all__ = ("main",)

_FORMATS: Final = ("html", "markdown", "c-header", "all")

_EXAMPLES: Final = """\
examples:
  pvinfo docs --out protocol
  pvinfo decode page.bin
  pvinfo trace show run.tsv --pv
  pvinfo trace diff real.tsv.xz ours.tsv
"""
_DOCS_EXAMPLES: Final = """\
examples:
  pvinfo docs --out protocol                      all three; open protocol/index.html
  pvinfo docs --out include --format c-header     include/gvtg_pvinfo.h alone
"""
_DECODE_EXAMPLES: Final = """\
examples:
  pvinfo decode page.bin                          4096 bytes, raw
  pvinfo decode page.txt                          what xxd or hexdump -C print of them
  pvinfo decode opregion.bin                      8192 bytes, as host-model serve --opregion writes them; a guest's are
                                                  in /sys/kernel/debug/dri/0/i915_opregion
"""
_TRACE_EXAMPLES: Final = """\
examples:
  pvinfo trace show run.tsv --range 0x2000-0x27ff
  pvinfo trace stats run.tsv.xz
  pvinfo trace diff real.tsv.xz ours.tsv
"""
_SHOW_EXAMPLES: Final = """\
examples:
  pvinfo trace show run.tsv --limit 50
  pvinfo trace show run.tsv --pv                  PVINFO page, fences and GGTT entries only
  pvinfo trace show run.tsv --range 0x44000-0x447ff
"""
_STATS_EXAMPLES: Final = """\
examples:
  pvinfo trace stats run.tsv
  pvinfo trace stats run.tsv --top 100
"""
_DIFF_EXAMPLES: Final = """\
examples:
  pvinfo trace diff real.tsv.xz ours.tsv && echo the same guest
  pvinfo trace diff --submissions real.tsv.xz ours.tsv
                                                  what host-model boot --physical --trace recorded

exit status: 0 when equal under the rules, 1 when not, 2 for a file that cannot be read
"""


def _describe(parser: argparse.ArgumentParser, description: str, examples: str) -> None:
    parser.description = description
    parser.epilog = examples
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def _range(text: str) -> tuple[int, int]:
    low, _, high = text.partition("-")
    try:
        first = int(low, 0)
        last = int(high, 0) if high else first
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no range of offsets such as 0x2000-0x27ff") from None
    if not 0 <= first <= last:
        raise argparse.ArgumentTypeError(f"{text!r} ends before it begins")
    return first, last


def _count(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 up")
    return number


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pvinfo")
    _describe(parser, "The contract between a GVT-g guest and its host: its documentation, page dumps and traces.", _EXAMPLES)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    docs = commands.add_parser("docs", help="render the protocol documentation")
    _describe(docs, "Renders every record, register, bit, enumeration, capability and notification from its declaration.", _DOCS_EXAMPLES)
    docs.add_argument("--out", type=Path, required=True, metavar="DIR", help="directory to write to; made if need be")
    docs.add_argument("--format", choices=_FORMATS, default="all", help="what to write (all)")

    decode = commands.add_parser("decode", help="explain a dump of the PVINFO page, or an OpRegion")
    _describe(
        decode,
        "Explains a 4 KiB dump of the PVINFO page, or an OpRegion of 8 KiB with its video BIOS table, field by field,\n"
        "and what a guest driver would make of it.",
        _DECODE_EXAMPLES,
    )
    decode.add_argument("file", type=Path, metavar="FILE", help="the dump")

    trace = commands.add_parser("trace", help="look at traces, or compare two")
    _describe(trace, "Looks at traces of a guest's accesses, as host-model serve --trace writes them; .xz is read as well.", _TRACE_EXAMPLES)
    actions = trace.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser("show", help="print a trace with names and meanings")
    _describe(show, "Prints a trace, registers by name and values in words.", _SHOW_EXAMPLES)
    show.add_argument("file", type=Path, metavar="FILE")
    show.add_argument("--pv", action="store_true", help="only the PVINFO page, fences and GGTT entries")
    show.add_argument("--range", type=_range, metavar="LO-HI", help="only registers that touch these byte offsets, both included")
    show.add_argument("--limit", type=_count, metavar="N", help="at most N rows")
    stats = actions.add_parser("stats", help="count what a trace holds")
    _describe(stats, "Counts reads and writes by block and register, GGTT entries and notifications.", _STATS_EXAMPLES)
    stats.add_argument("file", type=Path, metavar="FILE")
    stats.add_argument("--top", type=_count, default=20, metavar="N", help="registers to list (20)")
    diff = actions.add_parser("diff", help="compare what two drivers say to their host")
    _describe(
        diff,
        "Compares the ordered accesses of the PVINFO page, the fence writes and the number of GGTT entries of two traces.\n"
        "With --submissions: what was submitted to each engine of a physical GPU, the events and the breadcrumbs of it.\n"
        "Intended differences have named rules; each use is reported.",
        _DIFF_EXAMPLES,
    )
    diff.add_argument("--submissions", action="store_true", help="compare how two drivers of a physical GPU submit work")
    diff.add_argument("left", type=Path, metavar="A")
    diff.add_argument("right", type=Path, metavar="B")
    return parser


def _run_docs(arguments: argparse.Namespace) -> int:
    from .docgen import FORMATS, collect, write_documentation  # only this command needs the generator

    out: Path = arguments.out
    terminal = sys.stderr.isatty()

    def progress(name: str) -> None:
        print(f"\r\033[K{out / name}", end="", file=sys.stderr, flush=True)

    formats = tuple(FORMATS) if arguments.format == "all" else (arguments.format,)
    try:
        written = write_documentation(collect(), out, formats, progress=progress if terminal else None)
    finally:
        if terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
    first = {"html": "index.html", "markdown": "README.md", "c-header": written[-1].name}[formats[0]]
    print(f"{len(written)} files in {out}, begin with {out / first}")
    return 0


def _run_decode(arguments: argparse.Namespace) -> int:
    file: Path = arguments.file
    data = read_dump(file)
    try:
        explanation: Explanation = explain_opregion(data) if data.startswith(OPREGION_SIGNATURE) else explain_page(data)
    except WireError as error:
        raise WireError(f"{file}: {error.record}", error.field, error.offset, error.rule) from None
    sys.stdout.write(format_explanation(explanation))
    return 0


def _read_numbered(path: Path) -> list[NumberedRow]:
    try:
        return read_numbered_trace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except WireError as error:
        raise WireError(f"{path}: {error.record}", error.field, error.offset, error.rule) from None


def _read(path: Path) -> list[TraceRow]:
    return [numbered.row for numbered in _read_numbered(path)]


def _read_submissions(path: Path) -> list[NumberedRow]:
    rows = _read_numbered(path)
    if not any(numbered.row.op is Op.STATUS_EVENT for numbered in rows):
        raise UsageError(f"{path} holds no event of an engine: only a trace of a physical GPU does (host-model boot --physical --trace)")
    return rows


def _run_show(arguments: argparse.Namespace) -> int:
    rows = _read(arguments.file)
    if arguments.pv:
        rows = [row for row in rows if is_paravirtual(row)]
    if arguments.range is not None:
        rows = list(rows_between(rows, *arguments.range))
    for line in show_rows(rows, limit=arguments.limit):
        print(line)
    return 0


def _run_stats(arguments: argparse.Namespace) -> int:
    for line in format_stats(trace_stats(_read(arguments.file)), top=arguments.top):
        print(line)
    return 0


def _run_diff(arguments: argparse.Namespace) -> int:
    if arguments.submissions:
        submissions = compare_submissions(_read_submissions(arguments.left), _read_submissions(arguments.right))
        for line in format_submissions(submissions, str(arguments.left), str(arguments.right)):
            print(line)
        return 0 if submissions.equal else 1
    comparison = compare_traces(_read(arguments.left), _read(arguments.right))
    for line in format_comparison(comparison, str(arguments.left), str(arguments.right)):
        print(line)
    return 0 if comparison.equal else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` and return its exit status."""
    arguments = _arguments().parse_args(argv)
    run = {"docs": _run_docs, "decode": _run_decode, "show": _run_show, "stats": _run_stats, "diff": _run_diff}
    name = arguments.action if arguments.command == "trace" else arguments.command
    return end_with_status("pvinfo", lambda: run[name](arguments))


if __name__ == "__main__":
    sys.exit(main())
