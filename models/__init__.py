"""The language-model seam: messages in, text and tool calls out, one tree of errors."""
