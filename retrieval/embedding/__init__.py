"""Text to vectors: one port, ONNX runtime for the built-in model, sentence-transformers for any other."""
