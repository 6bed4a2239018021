"""The vector store: one port, Qdrant in process and Qdrant as a server behind it."""
