"""The 2D engine, which draws rectangles: fills, copies, patterns, glyphs.

A command is read into a :class:`~.drawing.Drawing`: a rectangle of a surface and what every pixel of it becomes. Surfaces
(:mod:`.surface`) know how their rows are strewn over memory (:mod:`.tiling`); operands are patterns (:mod:`.pattern`) and
sources (:mod:`.source`), which a raster operation (:mod:`.raster_operation`) combines with what is there. The commands
stand by family in the modules whose names end in ``_commands``; importing :mod:`.commands` registers them all.
"""
