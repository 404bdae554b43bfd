"""Hold real-time conversations with any chat language model that listens while it talks."""
