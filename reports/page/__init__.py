"""Make one HTML page of whatever run folders hold, with its figures and tables beside it."""
