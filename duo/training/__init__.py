"""Training: samples -> token ids with labels -> a model or an adapter that decides."""
