"""Run model-written Python programs (HumanEval, MBPP) where they can do no harm.

    from evaluation.sandbox.run import Program, run_program

    run_program(Program("def double(n): return 2 * n", "assert double(2) == 4")).passed

**What keeps the machine safe** (`confine`, `seccomp`): the program runs in a process of its own
with limits of time, memory, processes and files, and, as far as the machine permits, in namespaces,
under Landlock, a filter of system calls and another user id. Nothing of it is left afterwards.
`run.strongest_protection` finds out what is permitted, and says what is not and what that leaves
open.

**What a pass means** (`inside`). Candidate and tests run in one process, as in the harnesses of
both benchmarks, and when the tests have run to their end the process writes a nonce to a private
pipe. So a program does not pass that leaves early with whatever status (`sys.exit`, `os._exit(0)`,
from a thread or at exit), prints what looks like a verdict, writes to descriptors that it finds,
swallows what follows it in the file, or replaces built-ins and functions that the harness uses.

**What it does not protect from**: a program that sets out to cheat. In one process it can walk the
interpreter's frames, objects or memory to the nonce, read the tests and the answers in them, trace
and skip them, change the modules and frameworks that they use, or return an object that claims to
equal everything. No protection of the machine depends on this; only the score of that program does:
read programs whose score matters. `tests/evaluation/test_sandbox_verdict.py` tries both lists.
"""
