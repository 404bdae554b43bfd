"""Run model-written Python programs (HumanEval, MBPP) without trusting them.

    from evaluation.sandbox.program import Program
    from evaluation.sandbox.run import run_program

    run_program(Program("def double(n): return 2 * n", "assert double(2) == 4")).passed

**Why a pass cannot be forged.** Harnesses usually run the candidate's text followed by the tests in
one interpreter. Code in there can do anything that the harness can: print the marker, exit with
status 0, find a secret by walking frames, the garbage collector or its own memory, replace
built-ins, or return an object that equals everything. No secret helps, since whatever computes the
acknowledgment is in the candidate's reach. So here two processes run:

    caller -> supervisor -> tests' process -> candidate's process

The candidate's process is forked off before the tests' text is read, runs the candidate, and
answers calls over a pipe. The tests run in their own process; a candidate's function is there an
object that sends the call over and builds the answer from JSON: plain data, exact built-in types
(`inside.values`, `inside.wire`). The verdict goes to the supervisor over a pipe that the
candidate's process does not have. Nothing in the candidate's process is secret and nothing in it
decides; all that a hostile candidate can do is answer, and an answer counts only if it is right.

What this does not rule out: a candidate that knows or guesses the tests' answers; tests that ask
the candidate's objects about themselves (`assert first == second` for two of its instances) or that
use a helper which the candidate's text defines (HumanEval 32, 38 and 50 do): there its word is
taken. And where files are not protected, a candidate could change Duo itself on the disk.

**Where it differs from one interpreter.** Arguments and results are copied; in-place changes of a
list, set, dictionary or bytearray that is itself an argument are carried back, identity (`is`) is
not. A subclass of a plain type arrives as that type. Tests cannot hand over objects of classes of
their own, only plain data and functions, and catch a candidate's own exception classes as the
nearest built-in class. An object of a class of the candidate never equals plain data. None of this
changes a verdict on the reference solutions of HumanEval and MBPP.

**What keeps the machine safe**: `protection.protection` tells, and says what it leaves open.
"""
