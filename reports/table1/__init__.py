"""The paper's Table 1 with ours beside it: for a terminal, a paper, a spreadsheet, a figure."""
