"""What :mod:`..base` promises the mediator, rule by rule."""
