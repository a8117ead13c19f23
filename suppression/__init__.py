"""Addresses that must not be mailed: what an entry of the list is, and which of two entries counts.

A leaf: imports the standard library and itself, never `relay`. Plain values in, plain values out; what
is kept, and looked up before every attempt, is in `relay/store/suppressions.py`.
"""
