"""How people and programs see what guests show: pictures in files, a frame in shared memory, a page in a browser."""

from __future__ import annotations
