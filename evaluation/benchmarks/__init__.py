"""Run the nine benchmarks of the paper's Table 1 on any models, by lm-eval, and compare models.

    an experiment or a command line (`experiment`) says which columns, benchmarks, profile, seeds
    -> items are found, checked and chosen (`items`, `fetch`) -> lm-eval's tasks are built (`tasks`,
    `programs`) -> a model answers (`model`) -> lm-eval scores, and its files are written (`run`,
    `results`) -> columns are compared item by item (`compare`)

What the nine are stands in `catalogue`.
"""
