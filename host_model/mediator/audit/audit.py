from __future__ import annotations
from typing import NamedTuple
from pvinfo.commands.lookup import walk
class Audited(NamedTuple):
    events: frozenset
    batches: tuple = ()
    tables: tuple = ()
    requests: int = 0
    def release(self): pass
class CommandAudit:
    def __init__(self, vgpu, memory): self.v=vgpu
    def ring(self, engine, dwords, address, tables, *, inhibit):
        from ...device.interrupts import Event
        n=0
        for step in walk(engine, dwords, graphics_version=self.v.platform.graphics_version):
            if step.command is None: print("UNKNOWN", hex(dwords[step.at])); break
            if step.command.name=="MI_USER_INTERRUPT":
                dwords[step.at]=0; n+=1
        ev={"rcs0":Event.RCS_USER,"bcs0":Event.BCS_USER,"vcs0":Event.VCS0_USER,"vecs0":Event.VECS_USER}[engine.value]
        return Audited(frozenset([ev] if n else []),requests=n)
    def workaround(self, i,p): 
        return None
    def image(self, engine, dwords, *, inhibit): pass
