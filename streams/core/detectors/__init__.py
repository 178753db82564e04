"""Pure detectors, a file each: parameters, a state, and a step.

`step(params, state, ...)` takes in what a second (or one record) brought, changes `state`, and
returns only what is new: a score, phases entered, findings, a refusal, or nothing. What
another detector needs of a state is read by functions that change nothing.
"""
