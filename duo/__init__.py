"""DUO: any chat language model, listening while it talks (the method itself)."""
