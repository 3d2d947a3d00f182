"""The report: one HTML file that tells a project's way from movies to a map.

Made of parts (:mod:`relion_dispatch.report.parts`), each from a few files of the project; a part is
made again only when its files have changed. Nothing here is imported by what has to start fast.
"""
