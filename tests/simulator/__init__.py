"""Movies of a known specimen, and how far a RELION result is from that truth.

``python -m simulator`` writes a data set, ``python -m simulator.truth`` judges what a pipeline
made of it. Used by the tests and the demo; not part of the installed package.
"""
