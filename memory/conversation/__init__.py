"""What a conversation keeps besides its messages: summaries of its older turns, and what its tools note down."""
