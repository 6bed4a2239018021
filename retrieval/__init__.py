"""Documents, chunks, embeddings, the vector store and hybrid search: text in, sources with provenance out."""
