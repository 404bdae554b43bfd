"""Numbers that a machine can give: benchmarks, interaction metrics, speed."""
