"""Preprocessing split over many jobs, each with its share of the movies, and joined again.

A *shard* is a batch of movies. Each step up to extraction runs once for every shard, in a folder
of its own in which RELION sees the project as it is, but with the shard's movies only
(:mod:`bench`); its results are then moved to where one job for all movies would have put them. The
joined STAR files are written by RELION itself: it is told to do what is unfinished, and finds all
done. Which movie belongs to which shard is noted once and never changes (:mod:`register`).
"""
