"""Fuzzers: one module for each parser of what others send, whose docstring begins with what has to hold.

`make test` runs a few of the same examples each time; `make fuzz` runs new ones for as long as it is told.
"""
