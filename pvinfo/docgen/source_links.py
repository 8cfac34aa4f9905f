"""From a declared source, ``linux:drivers/gpu/drm/i915/i915_reg.h``, to a link a reader can follow."""

from __future__ import annotations

import re
from typing import Final

from .model import SourceDoc

__all__ = ("KERNEL_TAG", "sources_of", "take_sources")

KERNEL_TAG: Final = "v6.12"
"""The kernel that the declarations were read from, where a source names no other."""

_KERNEL_TREE: Final = "https://git.kernel.org/pub/scm/linux/kernel/git/stable/linux.git/tree"
_OTHER_LINKS: Final = {
    "vfio-user": "https://www.qemu.org/docs/master/interop/vfio-user.html",
}

_SOURCE: Final = r"[a-z][a-z0-9-]*(?:@[\w.-]+)?:[^\s,;]+"
_IN_DOCSTRING: Final = re.compile(rf"\s*\bSources?:\s+({_SOURCE}(?:\s*[,;]\s*{_SOURCE})*)\s*")


def _link(text: str) -> SourceDoc:
    scheme, _, place = text.partition(":")
    scheme, _, tag = scheme.partition("@")
    if scheme == "linux":
        path, _, _symbol = place.partition("#")
        path = path.partition(":")[0]
        return SourceDoc(text, f"{_KERNEL_TREE}/{path}?h={tag or KERNEL_TAG}")
    return SourceDoc(text, _OTHER_LINKS.get(scheme, ""))


def sources_of(*declared: str) -> tuple[SourceDoc, ...]:
    """The links of one or more declared sources, each perhaps a list; doubles dropped."""
    texts = (part.strip().rstrip(".") for text in declared for part in re.split(r"[,;]", text))
    return tuple(_link(text) for text in dict.fromkeys(text for text in texts if text))


def take_sources(docstring: str) -> tuple[str, tuple[str, ...]]:
    """``docstring`` without its ``Source:`` parts, and what they named."""
    found = tuple(match.group(1) for match in _IN_DOCSTRING.finditer(docstring))
    return _IN_DOCSTRING.sub("\n", docstring).strip(), found
