"""What runs inside: the supervisor, the tests' process and the candidate's process.

These modules are loaded by a bare interpreter (no site packages), start fast and import only the
standard library. `supervisor` is the entry.
"""
