"""The nine benchmarks of the paper's Table 1, on any models, run by lm-eval.

    items found (`catalogue`, `folders`, `sources`) -> chosen (`choose`) -> laid out for lm-eval
    (`overlay`) -> answered by a model (`columns`, `models`, `answering`) -> scored (`scoring`)
    -> one file a result (`results`); `matrix` goes through all of it and takes up where it was.

How a benchmark is asked and scored stands in one small file a benchmark, `evaluation/tasks/
<profile>/<benchmark>.yaml` (`profiles`); they build on lm-eval's own tasks and copy none.
"""
