"""Models side by side on the same items: results of benchmarks read, averaged and compared.

What a run wrote (`runs`, `results`, `lmeval`) becomes cells (`cells`): a value of a model on a
benchmark, averaged over seeds. Two cells are compared item by item (`paired`), for both models
answered the same questions: the exact test is in `significance`, the interval in `bootstrap`.
"""
