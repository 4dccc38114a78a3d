"""Whole clusters in virtual time: the library's own code, several replicas in one process, one thread at a
time.

``scheduler`` and ``primitives`` stand for the operating system, ``etcd`` for etcd, ``gateway`` for Discord; a
``script`` of faults goes with each seed, and ``verdict`` judges what happened. docs/simulation.md describes
all of it.
"""
