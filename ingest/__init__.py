"""From files to searchable chunks: sniffing, parsing, splitting, and the pipeline that stores them."""
